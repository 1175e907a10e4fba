"""A read document can be written back unchanged; null means the default; ratings accept the MPA's spelling."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.cms.editor import RULE, VIDEO, Editor, new_editor
from tests.served_app import App, make_videos

pytestmark = pytest.mark.asyncio(loop_scope="module")

STAMPS = ("updatedAt", "updatedBy")
NAMES = st.text("abcdefgh é|,", min_size=1, max_size=12).map(str.strip).filter(bool)
TIMES = st.floats(1.0e9, 4.0e9) | st.none()
FEW = {"max_size": 3}

VIDEOS = st.fixed_dictionaries(
    {"title": NAMES, "playbackUrl": st.just("https://cdn.example/v.m3u8"), "mainTag": NAMES,
     "durationSeconds": st.floats(0.5, 20_000), "maturityRating": st.sampled_from(["G", "PG-13", "nc-17"])},
    optional={"tags": st.lists(NAMES, **FEW), "creatorId": NAMES, "editorialBoost": st.floats(-10, 10),
              "popularityOverride": st.none() | st.floats(0, 100), "language": st.sampled_from([None, "en", "pt-br"]),
              "countries": st.lists(st.sampled_from(["DE", "fr"]), **FEW), "publishedAt": TIMES,
              "ageBands": st.lists(st.sampled_from(["13-17", "65+"]), **FEW),
              "status": st.sampled_from(["active", "inactive"])},
)  # fmt: skip
RULES = st.fixed_dictionaries(
    {"name": NAMES, "action": st.just("boost"), "multiplier": st.floats(1.01, 10),
     "match": st.fixed_dictionaries({"tags": st.lists(NAMES, min_size=1, **FEW)},
                                    optional={"ageHours": st.just({"max": 48})})},
    optional={"startsAt": TIMES, "priority": st.integers(-9, 9), "enabled": st.booleans(),
              "audience": st.just({"countries": ["DE"]})},
)  # fmt: skip
PLAYLISTS = st.fixed_dictionaries({"name": NAMES}, optional={"videoIds": st.just(["vid_gone"]), "description": NAMES})
FEEDS = st.fixed_dictionaries(
    {"title": NAMES},
    optional={"base": st.fixed_dictionaries({"tags": st.lists(NAMES, **FEW), "playlists": st.just(["cup"])}),
              "enabled": st.booleans(), "fallbackOrder": st.sampled_from(["popular", "newest", "editorial"]),
              "weights": st.just({"quality": 1.5}), "defaultLimit": st.none() | st.integers(1, 50),
              "streakCap": st.integers(0, 9), "diversity": st.floats(0, 2), "maturityCeiling": st.just("PG-13")},
)  # fmt: skip
EXPERIMENTS = st.fixed_dictionaries(
    {"name": NAMES,
     "arms": st.just([{"name": "a", "percent": 50}, {"name": "b", "percent": 5, "weights": {"quality": 1}}])},
    optional={"hypothesis": NAMES, "feeds": st.just(["home", "kitchen"])},
)  # fmt: skip
CONFIGURATIONS = st.fixed_dictionaries(
    {"maturityPolicy": st.just("PG-13")},
    optional={"weights": st.just({"quality": 1.5}), "streakCap": st.integers(0, 9),
              "featureFlags": st.just({"co-watch": True}),
              "ageBandPolicies": st.just({"0-12": "g"})},
)  # fmt: skip
RESOURCES = {"videos": VIDEOS, "rules": RULES, "playlists": PLAYLISTS, "feeds": FEEDS, "experiments": EXPERIMENTS}
ANY = st.one_of(
    *(st.tuples(st.just(plural), form) for plural, form in RESOURCES.items()),
    st.tuples(st.just("configuration"), CONFIGURATIONS),
)


def content(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in STAMPS}


async def made(editor: Editor, plural: str, document: dict[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    """Create one of a kind; return its path and every way to read it."""
    if plural == "configuration":
        assert (await editor.change("PUT", plural, document, **{"X-Confirm-Maturity": "yes"})).status == 200
        return plural, [(await editor.get(plural)).json]
    assert (await editor.post(plural, {"id": "one", **document})).status in (201, 409)
    path = f"{plural}/one"
    replaced = await editor.change("PUT", path, document)
    assert replaced.status == 200, replaced.json
    listed = (await editor.get(plural)).json[plural]
    return path, [(await editor.get(path)).json, *listed]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ANY)
async def test_every_read_document_can_be_put_back_unchanged(app: App, case: tuple[str, dict[str, Any]]) -> None:
    plural, document = case
    editor = await new_editor(app)
    path, answers = await made(editor, plural, document)
    for answered in answers:
        before = (await editor.get(path)).json
        for verb in ("PUT", "PATCH") if plural != "experiments" else ("PUT",):
            written = await editor.change(verb, path, answered)
            assert written.status == 200, written.json
            assert content(written.json) == content(before)
            assert content((await editor.get(path)).json) == content(before)


async def test_drafts_can_be_put_back_as_read(app: App) -> None:
    editor = await new_editor(app)
    await editor.call("PUT", "rules/one/draft", RULE)
    draft = await editor.get("rules/one/draft")
    again = await editor.change("PUT", "rules/one/draft", draft.json)
    assert content(again.json) == content(draft.json)
    await editor.call("PUT", "configuration/draft", {"maturityPolicy": "PG", "streakCap": 4})
    saved = await editor.get("configuration/draft")
    again = await editor.change("PUT", "configuration/draft", saved.json)
    assert again.json["configuration"] == saved.json["configuration"]


async def test_put_with_another_id_or_model_is_refused(app: App) -> None:
    editor = await new_editor(app)
    for plural, document in (("videos", VIDEO), ("rules", RULE)):
        await editor.post(plural, {"id": "one", **document})
        answer = await editor.change("PUT", f"{plural}/one", {"id": "two", **document})
        assert answer.json["errors"][0]["code"] == "another_id"
    answer = await editor.change("PATCH", "configuration", {"modelVersion": "2026-11-a"})
    assert answer.json["errors"][0] == {
        "field": "modelVersion", "code": "read_only",
        "message": "modelVersion cannot be changed by this call. Leave it out.",
    }  # fmt: skip


async def test_listed_documents_can_be_imported_unchanged(app: App) -> None:
    editor = await new_editor(app, make_videos(5))
    await editor.post("videos", {"id": "v1", **VIDEO, "publishedAt": 1_790_000_000.75, "expiresAt": 1_990_000_000.5})
    listed = (await editor.get("videos")).json
    answer = await editor.post("imports", listed)
    assert answer.json["counts"] == {"unchanged": 6}
    assert (await editor.get("videos")).json == listed


async def test_video_exported_from_one_tenant_can_be_created_in_another(app: App) -> None:
    one, other = await new_editor(app, make_videos(4)), await new_editor(app)
    answer = await other.post("imports", (await one.get("videos")).json)
    assert answer.json["counts"] == {"created": 4}


LINK = "https://cdn.example/a"
NULLS = [
    ("videos", name, default)
    for name, default in {
        "tags": [], "countries": [], "ageBands": [], "platforms": [], "creatorId": "", "editorialBoost": 0,
        "popularityOverride": None, "language": None, "thumbnailUrl": None, "expiresAt": None,
        "posterUrl": None, "width": None, "height": None, "renditions": [], "captions": [],
        "metadata": {}, "action": None, "season": None, "episode": None,
    }.items()
] + [
    ("rules", name, default)
    for name, default in {"priority": 0, "enabled": True, "positions": [], "startsAt": None, "endsAt": None}.items()
] + [("playlists", "description", ""), ("playlists", "videoIds", [])] + [
    ("feeds", name, default)
    for name, default in (
        ("defaultLimit", None), ("maturityCeiling", None), ("weights", {}), ("fallbackOrder", "popular"),
    )
]  # fmt: skip
SET: dict[str, Any] = {
    "tags": ["a"], "countries": ["DE"], "ageBands": ["13-17"], "platforms": ["ios"], "creatorId": "anna",
    "editorialBoost": 3, "popularityOverride": 50, "language": "en", "thumbnailUrl": "https://cdn.example/t.jpg",
    "posterUrl": LINK, "width": 720, "height": 1280, "renditions": [{"url": LINK, "bitrate": 2_500_000}],
    "captions": [{"language": "en", "url": LINK}], "metadata": {"sku": "A-12"}, "action": {"label": "Buy", "url": LINK},
    "season": 2, "episode": 3,
    "expiresAt": "2099-01-01", "priority": 5, "enabled": False, "startsAt": "2030-01-01",
    "endsAt": "2031-01-01", "description": "x", "videoIds": ["v1"],
    "defaultLimit": 5, "maturityCeiling": "PG", "weights": {"quality": 1}, "fallbackOrder": "newest",
}  # fmt: skip


@pytest.mark.parametrize(("plural", "name", "default"), NULLS)
async def test_null_means_the_default_of_every_field(app: App, plural: str, name: str, default: Any) -> None:
    editor = await new_editor(app)
    whole = {"videos": VIDEO, "rules": RULE, "playlists": {"name": "Cup"}, "feeds": {"title": "Cup"}}[plural]
    given = {name: SET[name]} if name in SET else {}
    if name in ("season", "episode"):
        whole = {**whole, "seriesId": "garden"}
    await editor.post(plural, {"id": "one", **whole, **given})
    patched = await editor.change("PATCH", f"{plural}/one", {name: None})
    assert patched.status == 200, patched.json
    assert patched.json[name] == default
    assert (await editor.change("PUT", f"{plural}/one", {**whole, name: None})).json[name] == default
    if plural == "videos":
        await editor.change("PATCH", "videos/one", given)
        assert (await editor.post("imports", {"videos": [{"id": "one", name: None}]})).json["counts"] == {"updated": 1}
        assert (await editor.get("videos/one")).json[name] == default


async def test_null_means_the_default_in_the_configuration_and_its_objects(app: App) -> None:
    editor = await new_editor(app)
    before = (await editor.get("configuration")).json
    changed = {
        "streakCap": 7, "creatorCap": 7, "diversity": 1, "defaultLimit": 7, "affinityHalfLifeDays": 3,
        "popularityHalfLifeHours": 9, "usePersonalization": False, "weights": {"quality": 1},
        "featureFlags": {"co-watch": True}, "autoModel": "suggest", "holdout": False,
        "ageBandPolicies": {"0-12": "G"},
    }  # fmt: skip
    assert (await editor.change("PATCH", "configuration", changed)).status == 200
    confirm = {"X-Confirm-Maturity": "yes"}
    answer = await editor.change("PATCH", "configuration", dict.fromkeys(changed), **confirm)
    assert answer.json == before
    inside = {"weights": {"quality": None}, "featureFlags": {"co-watch": None}, "ageBandPolicies": {"0-12": None}}
    answer = await editor.change("PATCH", "configuration", inside)
    assert (answer.status, answer.json["weights"]) == (200, {})


async def test_null_for_a_required_field_is_refused(app: App) -> None:
    editor = await new_editor(app)
    await editor.post("videos", {"id": "v1", **VIDEO})
    assert (await editor.change("PATCH", "videos/v1", {"title": None})).status == 422


@pytest.mark.parametrize(
    ("written", "rating"),
    [("PG-13", "PG13"), ("NC-17", "NC17"), ("pg", "PG"), ("pg-13", "PG13"), ("Pg 13", "PG13"), ("g", "G")],
)  # fmt: skip
async def test_mpa_spelling_of_a_rating_is_accepted(app: App, written: str, rating: str) -> None:
    editor = await new_editor(app)
    created = await editor.post("videos", {"id": "v1", **VIDEO, "maturityRating": written})
    assert created.json["maturityRating"] == rating
    await editor.post("imports", {"videos": [{"id": "v2", **VIDEO, "maturityRating": written}]})
    assert (await editor.get("videos/v2")).json["maturityRating"] == rating
    confirm = {"X-Confirm-Maturity": "yes"}
    policy = await editor.change("PATCH", "configuration", {"maturityPolicy": written}, **confirm)
    assert policy.json["maturityPolicy"] == rating


@pytest.mark.parametrize("written", ["TV-MA", "PG-14", "", "R18", "13", "NC"])
async def test_rating_unknown_to_the_mpa_is_refused(app: App, written: str) -> None:
    editor = await new_editor(app)
    assert (await editor.post("videos", {"id": "v1", **VIDEO, "maturityRating": written})).status == 422
