"""Every invalid document gets an understandable error. The sentences are part of the interface."""

from __future__ import annotations

from typing import Any

import pytest

from cms.access.models import NewKeyForm, NewTenantForm, RotationForm, UserTokenKeyForm
from cms.configuration.models import ConfigurationForm
from cms.experiments.models import NewExperimentForm
from cms.feeds.models import NewFeedForm
from cms.forms import Form, check
from cms.imports.files import LINES_KIND, read_file, read_line
from cms.imports.rows import VIDEO_FILE, apply_row
from cms.rules.models import NewPlaylistForm, NewRuleForm
from cms.videos.models import NewVideoForm
from shared.web.problems import Problem
from tests.cms.editor import RULE, VIDEO

FORMS: dict[str, tuple[type[Form], dict[str, Any]]] = {
    "video": (NewVideoForm, {"id": "vid_1", **VIDEO}),
    "configuration": (ConfigurationForm, {"maturityPolicy": "PG13"}),
    "rule": (NewRuleForm, {"id": "more-fitness", **RULE}),
    "playlist": (NewPlaylistForm, {"id": "weekend", "name": "Weekend", "videoIds": ["vid_1"]}),
    "feed": (NewFeedForm, {"id": "kitchen", "title": "Kitchen", "base": {"categories": ["cooking"]}}),
    "experiment": (
        NewExperimentForm,
        {
            "id": "taste",
            "name": "Taste",
            "arms": [{"name": "now", "percent": 50}, {"name": "more", "percent": 50, "weights": {"quality": 1}}],
        },
    ),
    "key": (NewKeyForm, {"name": "Anna", "scopes": ["cms"]}),
    "tenant": (NewTenantForm, {"tenantId": "news"}),
    "rotation": (RotationForm, {}),
    "public key": (UserTokenKeyForm, {"keyId": "2026", "publicKey": "x"}),
}
GONE = object()

REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("video", {"id": "a b"}, "id must be 1 to 128 letters, digits or . _ : ~ -, not beginning with . : or ~."),
    ("video", {"id": "~audit:1"}, "id must be 1 to 128 letters, digits or . _ : ~ -, not beginning with . : or ~."),
    ("video", {"title": GONE}, "title is missing."),
    ("video", {"title": "   "}, "title must not be empty."),
    ("video", {"title": "x" * 201}, "title can have at most 200 characters."),
    ("video", {"title": 7}, "title must be text."),
    ("video", {"playbackUrl": "ftp://x/y"}, "playbackUrl must be a whole link that begins with https://, "
     "such as https://cdn.example/a.m3u8."),
    ("video", {"playbackUrl": "javascript:alert(1)"}, "playbackUrl must be a whole link that begins with "
     "https://, such as https://cdn.example/a.m3u8."),
    ("video", {"durationSeconds": 0}, "durationSeconds must be more than 0."),
    ("video", {"durationSeconds": "thirty"}, "durationSeconds must be a number."),
    ("video", {"durationSeconds": float("nan")}, "durationSeconds must be a finite number."),
    ("video", {"durationSeconds": 1e9}, "durationSeconds must be 86400 or less."),
    ("video", {"maturityRating": "PG-14"}, "maturityRating must be one of G, PG, PG13, R, NC17."),
    ("video", {"maturityRating": GONE}, "maturityRating is missing."),
    ("video", {"editorialBoost": 11}, "editorialBoost must be 10 or less."),
    ("video", {"popularityOverride": -1}, "popularityOverride must be 0 or more."),
    ("video", {"tags": "fitness"}, "tags must be a list."),
    ("video", {"tags": [f"t{n}" for n in range(21)]}, "tags can have at most 20 entries."),
    ("video", {"tags": ["ok", ""]}, "tags[1] must not be empty."),
    ("video", {"ageBands": ["teens"]}, "ageBands[0] must be an age band such as 13-17 or 65+."),
    ("video", {"countries": ["Germany"]}, "countries[0] must be a country of two letters (ISO 3166-1)."),
    ("video", {"language": "english!"}, "language must be a language tag such as en or pt-BR."),
    ("video", {"publishedAt": "soon"}, "publishedAt must be a time such as 2026-11-20T12:00:00Z, or seconds since "
     "1970."),
    ("video", {"publishedAt": 1_760_000_000_000}, "publishedAt must be a time such as 2026-11-20T12:00:00Z, or "
     "seconds since 1970."),
    ("video", {"publishedAt": "2026-11-20T12:00:00Z", "expiresAt": "2026-11-20T11:00:00Z"},
     "expiresAt must be later than publishedAt."),
    ("video", {"titel": "x"}, "There is no field titel. Did you mean title?"),
    ("configuration", {"maturityPolicy": GONE}, "maturityPolicy is missing."),
    ("configuration", {"maturityPolicy": "adults"}, "maturityPolicy must be one of G, PG, PG13, R, NC17."),
    ("configuration", {"ageBandPolicies": {"teen": "PG"}}, "ageBandPolicies.teen must be an age band such as 13-17 or "
     "65+."),
    ("configuration", {"ageBandPolicies": {"13-17": "R"}}, "ageBandPolicies.13-17 allows stronger ratings than "
     "maturityPolicy. Choose PG13 or milder."),
    ("configuration", {"defaultLimit": 51}, "defaultLimit must be 50 or less."),
    ("configuration", {"defaultLimit": 2.5}, "defaultLimit must be a whole number."),
    ("configuration", {"usePersonalization": "yes"}, "usePersonalization must be true or false."),
    ("configuration", {"weights": {"quality": float("inf")}}, "weights.quality must be a finite number."),
    ("configuration", {"weights": {"quality": 1e9}}, "The weight of 'quality' must lie in [-1000, 1000]."),
    ("configuration", {"weights": {"quality": "high"}}, "weights.quality must be a number."),
    ("configuration", {"affinityHalfLifeDays": 0.5}, "affinityHalfLifeDays must be 1 or more."),
    ("configuration", {"popularityHalfLifeHours": 500}, "popularityHalfLifeHours must be 168 or less."),
    ("configuration", {"streakCap": -1}, "streakCap must be 0 or more."),
    ("configuration", {"diversity": 3}, "diversity must be 2 or less."),
    ("configuration", {"rateLimits": {"rps": 5}}, "There is no field rateLimits.rps. Known here: "
     "feedRequestsPerSecond, eventBatchesPerSecond."),
    ("configuration", {"rateLimits": {"feedRequestsPerSecond": 0}}, "rateLimits.feedRequestsPerSecond must be 1 or "
     "more."),
    ("configuration", {"featureFlags": {"Use New": True}}, "The name of a feature flag must be 1 to 64 lower-case "
     "letters, digits or -, a letter or digit first."),
    ("configuration", {"featureFlags": {"new-diversifier": "on"}}, "featureFlags.new-diversifier must be true or "
     "false."),
    ("configuration", {"featureFlags": []}, "featureFlags must be an object."),
    ("rule", {"id": "More Fitness"}, "id must be 1 to 64 lower-case letters, digits, - or _, a letter "
     "or digit first, such as summer-push."),
    ("rule", {"action": "hide"}, "action must be one of boost, suppress, pin, exclude, limit."),
    ("rule", {"match": {}}, "match is empty, so the rule would apply to every video. Add a condition."),
    ("rule", {"match": GONE}, "match is missing."),
    ("rule", {"match": {"categorys": ["a"]}}, "There is no field match.categorys. Did you mean categories?"),
    ("rule", {"match": {"ageHours": {"min": 5, "max": 2}}}, "min must not be greater than max."),
    ("rule", {"match": {"durationSeconds": {"min": -1}}}, "match.durationSeconds.min must be 0 or more."),
    ("rule", {"multiplier": GONE}, "The multiplier of a boost must be more than 1 and at most 10."),
    ("rule", {"multiplier": 0.5}, "The multiplier of a boost must be more than 1 and at most 10."),
    ("rule", {"multiplier": 100}, "The multiplier of a boost must be more than 1 and at most 10."),
    ("rule", {"action": "suppress", "multiplier": 0}, "The multiplier of a suppress must be from 0.1 to below 1."),
    ("rule", {"action": "exclude"}, "multiplier is only for the actions boost and suppress. Leave it out."),
    ("rule", {"action": "pin", "multiplier": GONE}, "A rule with the action pin needs "
     "positions, such as [1] for the top of the feed."),
    ("rule", {"action": "pin", "multiplier": GONE, "positions": [0]}, "positions[0] must be 1 or more."),
    ("rule", {"positions": [1]}, "positions are only for the action pin, not for boost. Leave them out."),
    ("rule", {"audience": {"platforms": ["Windows Phone!"]}}, "audience.platforms[0] must be a platform such as ios, "
     "android or web."),
    ("rule", {"priority": 5_000}, "priority must be 1000 or less."),
    ("rule", {"startsAt": 1_000, "endsAt": 900}, "endsAt must be later than startsAt."),
    ("playlist", {"videoIds": ["a", "b", "a"]}, "videoIds lists a video twice. List each video once."),
    ("playlist", {"videoIds": [f"v{n}" for n in range(501)]}, "videoIds can have at most 500 entries."),
    ("playlist", {"name": None}, "name must be text."),
    ("feed", {"id": "home"}, "home and following are reserved ids. Choose another id."),
    ("feed", {"title": GONE}, "title is missing."),
    ("feed", {"base": {"languages": ["en"]}}, "There is no field base.languages. Known here: playlists, categories, "
     "creators, tags, series."),
    ("feed", {"base": {"tags": [f"t{n}" for n in range(51)]}}, "base.tags can have at most 50 entries."),
    ("feed", {"fallbackOrder": "oldest"}, "fallbackOrder must be one of popular, newest, editorial."),
    ("feed", {"maturityCeiling": "PG-14"}, "maturityCeiling must be one of G, PG, PG13, R, NC17."),
    ("feed", {"diversity": 3}, "diversity must be 2 or less."),
    ("feed", {"defaultLimit": 51}, "defaultLimit must be 50 or less."),
    ("experiment", {"feeds": []}, "feeds must not be empty."),
    ("experiment", {"arms": [{"name": "a", "percent": 60}, {"name": "b", "percent": 60, "weights": {"quality": 1}}]},
     "The shares of the arms add up to 120 %. Lower them to 100 % in all."),
    ("experiment", {"arms": [{"name": "a", "percent": 5}, {"name": "b", "percent": 5}]}, "Two arms are the same. "
     "Give them different models or weights."),
    ("experiment", {"arms": [{"name": "a", "percent": 5}]}, "arms needs at least 2 entries."),
    ("key", {"scopes": []}, "scopes must not be empty."),
    ("key", {"scopes": ["admin"]}, "scopes[0] must be one of sdk, cms, privacy, ops."),
    ("key", {"name": "a\nb"}, "name must be a name such as Anna (newsroom)."),
    ("tenant", {"tenantId": "_platform"}, "tenantId must be 1 to 64 letters, digits, - or _, a letter or digit first."),
    ("rotation", {"overlapHours": 1_000}, "overlapHours must be 168 or less."),
    ("public key", {"publicKey": "hello"}, "publicKey must be a public key in PEM."),
    ("public key", {"publicKey": "-----BEGIN PRIVATE KEY-----"}, "publicKey holds a private key, which is now "
     "exposed. Create a new key pair and send its public key."),
]  # fmt: skip


@pytest.mark.parametrize("kind", [kind for kind in FORMS if kind != "public key"])
def test_base_documents_of_the_refusal_cases_are_accepted(kind: str) -> None:
    form, good = FORMS[kind]
    assert check(form, good) == (form.model_validate(good), [])


@pytest.mark.parametrize(
    ("kind", "change", "message"), REFUSED, ids=[f"{k}-{n}" for n, (k, _, _) in enumerate(REFUSED)]
)
def test_invalid_document_is_refused_with_an_understandable_sentence(
    kind: str, change: dict[str, Any], message: str
) -> None:
    form, good = FORMS[kind]
    payload = {name: value for name, value in {**good, **change}.items() if value is not GONE}
    read, faults = check(form, payload)
    assert read is None
    assert message in [fault.message for fault in faults]


def test_an_unknown_weight_is_refused_with_the_known_ones() -> None:
    _, faults = check(ConfigurationForm, {"maturityPolicy": "G", "weights": {"Recency": 1}})
    assert faults[0].message.startswith("Unknown feature 'Recency'. Known: demand_1h, ")


def test_error_text_never_quotes_the_value_sent() -> None:
    secret = "someone@example.com"
    for form, good in FORMS.values():
        for name in good:
            _, faults = check(form, {**good, name: secret})
            assert not [fault for fault in faults if secret in fault.message]


def test_every_error_of_a_document_is_reported_at_once() -> None:
    _, faults = check(NewRuleForm, {"name": "", "action": "x", "match": {}, "typo": 1})
    assert {fault.field for fault in faults} == {"name", "action", "id", "typo"}


FILES: list[tuple[bytes, str, int, str]] = [
    (b"{", "application/json", 400, "The file is not valid JSON."),
    (b'{"rows": []}', "application/json", 400, 'The file must look like {"videos": [...]}.'),
    (b'{"videos": []}', "application/json", 400, "The file has no rows. Check that it is the right one."),
    (b"", "text/csv", 400, "The first line must name the columns, and one of them must be id."),
    (b"title,tags\nx,y", "text/csv", 400, "The first line must name the columns, and one of them must be id."),
    (b"id,title\n\xff\xfe", "text/csv", 400, "The file is not in UTF-8. Save it as 'CSV UTF-8'."),
    (b"<videos/>", "text/xml", 415, "Set Content-Type to application/json, application/x-ndjson or text/csv."),
    (b"1\n" * 50_001, "application/x-ndjson", 413, "A file can have at most 50,000 rows. Split it."),
    (b"x" * 32_000_001, "text/csv", 413, "A file can have at most 32 MB. Split it."),
]


@pytest.mark.parametrize(("body", "kind", "status", "message"), FILES, ids=range(len(FILES)))
def test_file_that_is_no_list_of_rows_is_refused_whole(body: bytes, kind: str, status: int, message: str) -> None:
    with pytest.raises(Problem) as refused:
        read_file(body, kind, VIDEO_FILE)
    assert (refused.value.status, refused.value.detail) == (status, message)


ROWS: list[tuple[bytes, str]] = [
    (b"nonsense", "The row is not valid JSON."),
    (b"[1]", "The row must be a JSON object."),
    (b"{}", "id is missing."),
    (b'{"id": 7}', "id must be text."),
    (b'{"id": "v1", "title": "x"}', "playbackUrl is missing."),
    (b'{"id": "v1", "rating": "PG"}', "There is no field rating. Did you mean maturityRating?"),
]


@pytest.mark.parametrize(("line", "message"), ROWS, ids=range(len(ROWS)))
def test_a_bad_row_is_refused_alone(line: bytes, message: str) -> None:
    outcome, document = apply_row(read_line(read_file(line, LINES_KIND, VIDEO_FILE), 0), None, 0.0, "Anna")
    assert (outcome.status, document) == ("rejected", None)
    assert message in [fault.message for fault in outcome.faults]


def test_at_least_80_refusal_cases_are_tested() -> None:
    assert len(REFUSED) + len(FILES) + len(ROWS) >= 80
