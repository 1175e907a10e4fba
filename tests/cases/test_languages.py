"""Languages and countries have one canonical form everywhere, and languages one matching rule."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.countries import COUNTRIES, canonical_country
from shared.domain.language_codes import LANGUAGES, SCRIPTS
from shared.domain.languages import (
    canonical_language,
    language_key,
    reduced_key,
    same_language,
    with_prefixes,
)
from tests.cms.editor import VIDEO, new_editor
from tests.e2e.conftest import _no_secret_is_ever_logged, app
from tests.served_app import App, make_video

__all__ = ["_no_secret_is_ever_logged", "app"]
pytestmark = pytest.mark.asyncio(loop_scope="module")

tags = st.builds(
    lambda *parts: "-".join(part for part in parts if part),
    st.sampled_from(["en", "zh", "sr", "pt", "nb", "gsw", "iw"]) | st.sampled_from(sorted(LANGUAGES)),
    st.sampled_from(["", "", "hans", "hant", "latn", "cyrl"]),
    st.sampled_from(["", "us", "gb", "tw", "cn", "rs", "419"]) | st.sampled_from(sorted(COUNTRIES)),
)
keys = tags.map(language_key).filter(bool)


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("iw", "he"),
        ("in_ID", "id-id"),
        ("ji", "yi"),
        ("mo", "ro"),
        ("tl", "fil"),
        ("eng", "en"),
        ("ger", "de"),
        ("eng-USA", "en-us"),
        ("en-UK", "en-gb"),
        ("sh", "sr-latn"),
        ("zh-cmn-Hans-CN", "zh-hans-cn"),
        ("zh-yue-HK", "yue-hk"),
        ("zh_CN_#Hans", "zh-hans-cn"),
        ("es-419", "es-419"),
        ("de-DE-1996", "de-de"),
        ("en-US-u-hc-h12", "en-us"),
        ("en-a-bbb-x-us", "en"),
        ("ca_ES@valencia", "ca-es"),
        ("haw", "haw"),
    ],
)
async def test_a_language_tag_is_read_into_its_canonical_form(text: str, tag: str) -> None:
    assert canonical_language(text) == canonical_language(text.upper()) == tag


@pytest.mark.parametrize(
    "text", ["", "-", "_", "e", "xx", "english", "en-XX", "en-zzza", "C", "123", "é", "e n", "x-en"]
)
async def test_unassigned_language_is_ignored(text: str) -> None:
    assert canonical_language(text) is None


@pytest.mark.parametrize(
    ("one", "other", "match"),
    [
        ("en-US", "en", True),
        ("en", "en-US", True),
        ("en-US", "en-GB", False),
        ("en", "eng", True),
        ("en", "enm", False),
        ("zh-CN", "zh-Hans", True),
        ("zh_Hans_CN", "zh-CN", True),
        ("zh-TW", "zh-Hant", True),
        ("zh-TW", "zh-Hans", False),
        ("zh-Hans", "zh-Hant", False),
        ("zh", "zh-Hant-TW", True),
        ("en-Latn-US", "en-US", True),
        ("sr-Latn", "sr-RS", False),
        ("nb-NO", "no", True),
        ("iw-IL", "he", True),
    ],
)
async def test_languages_match_when_either_matches_the_other(one: str, other: str, match: bool) -> None:
    first, second = language_key(one), language_key(other)
    assert first
    assert second
    assert same_language(first, second) is same_language(second, first) is match


@given(tags)
async def test_canonicalizing_a_language_twice_changes_nothing(text: str) -> None:
    tag = canonical_language(text, lenient=True)
    assert tag
    assert canonical_language(tag) == tag
    assert all(part in LANGUAGES | SCRIPTS or part.upper() in COUNTRIES or part.isdigit() for part in tag.split("-"))


@given(st.text(max_size=70))
async def test_any_text_is_a_language_or_none(text: str) -> None:
    tag = canonical_language(text, lenient=True)
    assert tag is None or canonical_language(tag) == tag
    country = canonical_country(text)
    assert country is None or canonical_country(country) == country


@given(keys, st.frozensets(keys, max_size=8))
async def test_reduced_language_matches_as_the_full_tag_does(key: str, named: frozenset[str]) -> None:
    prefixes = with_prefixes(named)
    reduced = reduced_key(key, prefixes)
    assert [same_language(reduced, each) for each in named] == [same_language(key, each) for each in named]
    assert reduced_key(reduced, prefixes) == reduced


# ---- in feeds


@pytest.mark.parametrize("viewer", ["en-US", "en_GB", "en"])
async def test_untagged_videos_rank_between_match_and_mismatch(app: App, viewer: str) -> None:
    client = await app.tenant(
        [make_video("plain"), make_video("match", language="en"), make_video("mismatch", language="ja")]
    )
    assert (await client.feed(language=viewer)).ids == ["match", "plain", "mismatch"]


async def test_a_language_without_region_matches_videos_with_one(app: App) -> None:
    client = await app.tenant(
        [make_video("plain"), make_video("match", language="en-us"), make_video("mismatch", language="ja")]
    )
    assert (await client.feed(language="en")).ids == ["match", "plain", "mismatch"]


async def test_videos_without_speech_rank_as_untagged(app: App) -> None:
    client = await app.tenant([make_video("mute", language="zxx"), make_video("mismatch", language="ja")])
    assert (await client.feed(language="en")).ids == ["mute", "mismatch"]


async def test_deprecated_stored_codes_match_the_canonical_ones(app: App) -> None:
    videos = [make_video("ja", language="ja"), make_video("old", language="iw"), make_video("uk", countries=("UK",))]
    client = await app.tenant(videos)
    for viewer in ("he", "iw", "heb", "he-IL"):
        assert (await client.feed(language=viewer)).ids == ["old", "ja"]
    for country in ("GB", "UK", "gbr"):
        assert "uk" in (await client.feed(country=country)).ids


@pytest.mark.parametrize(("audience", "viewer"), [("iw", "he-IL"), ("he", "iw"), ("he-IL", "he"), ("HE_il", "he-IL")])
async def test_rule_matches_languages_as_the_ranking_does(app: App, audience: str, viewer: str) -> None:
    editor = await new_editor(app, [make_video("a"), make_video("b", "gossip")])
    rule = {"id": "r", "name": "No gossip", "action": "exclude", "match": {"categories": ["gossip"]},
            "audience": {"languages": [audience]}}  # fmt: skip
    assert (await editor.post("rules", rule)).status == 201
    await editor.seen()
    assert (await editor.client.feed(language=viewer)).ids == ["a"]
    assert len((await editor.client.feed(language="ja")).ids) == 2


# ---- in the CMS


async def test_codes_are_canonical_when_they_are_written(app: App) -> None:
    editor = await new_editor(app)
    given = {"language": "iw_IL", "countries": ["uk", "GB", "deu"], "platforms": ["Android-TV"], "ageBands": ["00-12"]}
    made = await editor.post("videos", {"id": "v", **VIDEO, **given})
    wanted = {"language": "he-il", "countries": ["GB", "DE"], "platforms": ["android_tv"], "ageBands": ["0-12"]}
    assert {name: made.json[name] for name in wanted} == wanted


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("countries", ["XX"]),
        ("countries", ["ZZ"]),
        ("countries", ["DE", "QQ"]),
        ("language", "xx"),
        ("language", "en-XX"),
        ("ageBands", ["17-13"]),
        ("ageBands", ["12"]),
        ("platforms", ["iOS 17!"]),
    ],
)
async def test_unassigned_code_is_refused_in_the_cms(app: App, field: str, value: object) -> None:
    editor = await new_editor(app)
    refused = await editor.post("videos", {"id": "v", **VIDEO, field: value})
    assert (refused.status, refused.code) == (422, "invalid_document")
    assert refused.json["errors"][0]["field"].startswith(field)


async def test_stored_unassigned_code_blocks_no_other_edit(app: App) -> None:
    editor = await new_editor(app, [make_video("v", language="xx", countries=("XX",))])
    assert (await editor.change("PATCH", "videos/v", {"title": "Another"})).status == 200
    read = await editor.get("videos/v")
    assert (read.json["language"], read.json["countries"]) == ("xx", ["XX"])
    assert (await editor.change("PUT", "videos/v", read.json)).status == 200


async def test_deprecated_stored_codes_are_returned_in_canonical_form(app: App) -> None:
    editor = await new_editor(app, [make_video("v", language="iw", countries=("UK",))])
    read = (await editor.get("videos/v")).json
    assert (read["language"], read["countries"]) == ("he", ["GB"])


async def test_an_import_reads_codes_as_the_cms_does(app: App) -> None:
    editor = await new_editor(app)
    rows = [{"id": "a", **VIDEO, "language": "iw", "countries": ["UK"]}, {"id": "b", **VIDEO, "countries": ["XX"]}]
    assert (await editor.post("imports", {"videos": rows})).json["counts"] == {"created": 1, "rejected": 1}
    read = (await editor.get("videos/a")).json
    assert (read["language"], read["countries"]) == ("he", ["GB"])
    assert (await editor.get("videos/b")).status == 404
