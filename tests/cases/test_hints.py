"""A hint about the viewer never fails the feed: it is normalized, or ignored and counted."""

from __future__ import annotations

from urllib.parse import quote

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from feed.query import HINTS
from tests.e2e.conftest import _no_secret_is_ever_logged, app
from tests.served_app import Answer, App, Client, make_video

__all__ = ["_no_secret_is_ever_logged", "app"]
pytestmark = pytest.mark.asyncio(loop_scope="module")

VIDEOS = [
    make_video("for_nobody_in_particular"),
    make_video("in_english", language="en"),
    make_video("in_chinese", language="zh"),
    make_video("in_japanese", language="ja"),
    make_video("for_germany", countries=("DE",)),
    make_video("for_ios", platforms=("ios",)),
    make_video("for_android_tv", platforms=("android_tv",)),
    make_video("for_all_ages", rating="G"),
]
CHILDREN, POLICY = {"for_all_ages"}, {video.id for video in VIDEOS if not video.countries}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(app: App) -> Client:
    return await app.tenant(VIDEOS, maturity_policy="PG", age_band_policies={"0-12": "G"})


async def asked(client: Client, query: str) -> Answer:
    """Request the feed with a query string sent unchanged."""
    return await client.get(f"/v1/feed?{query}")


def above(page: Answer, first: str, second: str) -> bool:
    return page.ids.index(first) < page.ids.index(second)


# ---- normalized spelling


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("language=en_US", "in_english"),
        ("language=EN", "in_english"),
        ("language=en-US-u-hc-h12", "in_english"),
        ("language=en_US.UTF-8", "in_english"),
        ("language=en_US@calendar%3Dbuddhist", "in_english"),
        ("language=eng", "in_english"),
        ("language=%20en%20", "in_english"),
        ("Language=en", "in_english"),
        ("language=zh_Hans_CN", "in_chinese"),
        ("language=zh-Hant-TW", "in_chinese"),
        ("language=zh_CN_%23Hans", "in_chinese"),
        ("platform=iOS", "for_ios"),
        ("platform=IOS", "for_ios"),
        ("platform=android-tv", "for_android_tv"),
        ("platform=Android%20TV", "for_android_tv"),
    ],
)
async def test_separators_case_and_extensions_of_a_hint_do_not_matter(client: Client, query: str, first: str) -> None:
    page = await asked(client, query)
    others = {"in_english", "in_chinese", "in_japanese", "for_ios", "for_android_tv"} - {first}
    rivals = {id for id in others if id.startswith(first[:3])}
    assert page.status == 200
    assert rivals
    assert all(above(page, first, rival) for rival in rivals)


@pytest.mark.parametrize("value", ["de", "DE", "deu", "dd", "%20De%20"])
async def test_country_is_recognized_by_each_of_its_codes(client: Client, value: str) -> None:
    assert "for_germany" in (await asked(client, f"country={value}")).ids


# ---- unreadable hints


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("language=english!", "language"),
        ("language=xx", "language"),
        ("language=" + "a" * 4_000, "language"),
        ("country=Germany", "country"),
        ("country=XX", "country"),
        ("country=de-CH", "country"),
        ("platform=iOS%2017!", "platform"),
        ("platform=" + "x" * 17, "platform"),
        ("ageBand=teenager", "ageBand"),
    ],
)
async def test_unreadable_hint_is_counted_by_its_name_alone(app: App, client: Client, query: str, name: str) -> None:
    before = app.counted("hints_unread", name)
    assert (await asked(client, query)).status == 200
    assert app.counted("hints_unread", name) == before + 1
    value = query.partition("=")[2]
    assert not any(value in labels for _, labels in app.services.telemetry.counters)


async def test_unreadable_hint_is_ignored(client: Client) -> None:
    plain = await client.feed()
    for query in ("language=english!", "country=Germany", "platform=iOS%2017!"):
        assert (await asked(client, query)).ids == plain.ids


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.sampled_from(sorted(HINTS)) | st.sampled_from(["ageband", "AGE_BAND", "Language", "x"]),
        st.text(st.characters(codec="utf-8"), max_size=80) | st.sampled_from(["65 ", "null", ",", "0-13,99", "en,de"]),
        max_size=5,
    )
)
@example({"ageBand": "0-12 "})
async def test_no_hint_breaks_the_feed_or_raises_the_rating(client: Client, hints: dict[str, str]) -> None:
    page = await asked(client, "&".join(f"{name}={quote(value, safe='')}" for name, value in hints.items()))
    assert page.status == 200
    assert set(page.ids) <= POLICY | {"for_germany"}
    assert page.ids


# ---- age bands


@pytest.mark.parametrize("value", ["65+", "65%2B", "65%20", "65%252B", "65%20%2B", "65%E2%80%9399"])
async def test_an_open_age_band_is_read_escaped_or_not(app: App, client: Client, value: str) -> None:
    before = app.counted("hints_unread", "ageBand")
    assert set((await asked(client, f"ageBand={value}")).ids) == POLICY
    assert app.counted("hints_unread", "ageBand") == before


@pytest.mark.parametrize("value", ["teenager", "null", "unknown", "17-13", "-5", "+", "12-", "13-x", "9" * 50])
async def test_unreadable_age_band_means_the_strictest(client: Client, value: str) -> None:
    assert set((await asked(client, f"ageBand={value}")).ids) == CHILDREN


# ---- repeated, empty, null


async def test_first_of_a_repeated_hint_counts_but_every_age_band_counts(client: Client) -> None:
    assert "for_germany" in (await asked(client, "country=DE&country=FR")).ids
    assert "for_germany" not in (await asked(client, "country=FR&country=DE")).ids
    for query in ("ageBand=30-40&ageBand=0-12", "ageBand=0-12&ageBand=30-40", "ageBand=30-40&ageband=5-6",
                  "ageBand=30-40&ageBand=adult"):  # fmt: skip
        assert set((await asked(client, query)).ids) == CHILDREN
    assert (await asked(client, "limit=2&limit=5")).code == "invalid_limit"


@pytest.mark.parametrize("word", ["", "null", "undefined", "nil", "None", "(null)", "NaN"])
async def test_placeholder_hint_counts_as_not_sent(app: App, client: Client, word: str) -> None:
    plain, before = await client.feed(), {name: app.counted("hints_unread", name) for name in HINTS}
    for name in ("limit", "cursor", "country", "language", "platform"):
        page = await asked(client, f"{name}={quote(word)}")
        assert (page.status, page.ids) == (200, plain.ids), name
    assert {name: app.counted("hints_unread", name) for name in HINTS} == before


async def test_empty_age_band_counts_as_not_sent_but_the_word_null_fails_closed(client: Client) -> None:
    assert set((await asked(client, "ageBand=")).ids) == POLICY
    assert set((await asked(client, "ageBand=null")).ids) == CHILDREN


@pytest.mark.parametrize(("query", "code"), [("limit=ten", "invalid_limit"), ("cursor=nulls", "invalid_cursor")])
async def test_any_other_wrong_limit_or_cursor_is_refused(client: Client, query: str, code: str) -> None:
    assert (await asked(client, query)).code == code
