"""Feed responses: fields, caching, freshness, configuration, health, and the debug endpoints."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest
import pytest_asyncio

from local.story import story_events
from privacy.api import PrivacyApi
from shared.adapters.documents.port import VIDEOS, Upsert
from tests.e2e.test_bad_requests import is_problem
from tests.served_app import Answer, App, Client, make_video, make_videos

pytestmark = pytest.mark.asyncio(loop_scope="module")

ITEM_FIELDS = {
    "videoId",
    "playbackUrl",
    "thumbnailUrl",
    "title",
    "mainTag",
    "tags",
    "durationSeconds",
    "maturityRating",
    "score",
    "rank",
}
PAGE_FIELDS = {
    "mode",
    "reason",
    "items",
    "nextCursor",
    "feedRequestId",
    "modelVersion",
    "experiment",
    "freshness",
}


def age_of(text: str, app: App) -> float:
    return app.clock.now() - datetime.fromisoformat(text).timestamp()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(app: App) -> AsyncIterator[Client]:
    client = await app.tenant(make_videos(60, ("cooking", "fitness", "travel")))
    await client.post(story_events(app.clock.now()))
    await app.folded()
    yield client


# ---- the page


async def test_a_page_has_exactly_the_documented_fields(client: Client) -> None:
    answer = await client.feed(limit=3)
    assert answer.headers["Content-Type"] == "application/json"
    assert set(answer.json) == PAGE_FIELDS
    for place, item in enumerate(answer.json["items"]):
        assert set(item) == ITEM_FIELDS
        assert item["rank"] == place
        assert isinstance(item["score"], float)
    assert len(answer.json["feedRequestId"]) == 56


async def test_an_item_is_the_video_as_the_content_team_wrote_it(app: App) -> None:
    video = make_video(
        "vid_1",
        "fitness",
        "PG",
        title='Quote " and \\ and ünïcödé 🏋️',
        thumbnail_url=None,
        tags=("a", "b"),
        duration_seconds=12.5,
    )
    client = await app.tenant([video])
    (item,) = (await client.feed()).json["items"]
    assert {name: item[name] for name in ITEM_FIELDS - {"score", "rank"}} == {
        "videoId": "vid_1",
        "playbackUrl": "https://cdn.example/vid_1.m3u8",
        "thumbnailUrl": None,
        "title": 'Quote " and \\ and ünïcödé 🏋️',
        "mainTag": "fitness",
        "tags": ["a", "b"],
        "durationSeconds": 12.5,
        "maturityRating": "PG",
    }


async def test_ranks_increase_across_all_pages(client: Client) -> None:
    pages = await client.walk(limit=7)
    ranks = [item["rank"] for page in pages for item in page.json["items"]]
    assert ranks == list(range(len(ranks)))


async def test_both_freshness_times_are_recent(client: Client) -> None:
    freshness = (await client.feed()).json["freshness"]
    assert -2 <= age_of(freshness["content"], client.app) < 30
    assert -2 <= age_of(freshness["signals"], client.app) < 60


async def test_no_category_streak_exceeds_the_tenants_cap(app: App) -> None:
    videos = make_videos(40, ("a", "b"))
    for cap in (1, 2, 3):
        client = await app.tenant(videos, streak_cap=cap)
        tags = [item["mainTag"] for page in await client.walk(limit=7) for item in page.json["items"]][:30]
        assert all(len(set(tags[at : at + cap + 1])) > 1 for at in range(len(tags) - cap))


async def test_editorial_boost_lifts_a_video_and_an_invalid_stored_one_is_bounded(app: App) -> None:
    videos = [make_video(f"vid_{n}", f"category {n}") for n in range(20)]
    lifted = make_video("lifted", "other", editorial_boost=10.0)
    sunk = make_video("sunk", "another", editorial_boost=-1e9)
    client = await app.tenant([*videos, lifted, sunk])
    ids = (await client.feed(limit=50)).ids
    assert ids[0] == "lifted"
    assert ids[-1] == "sunk"


async def test_tenant_weights_change_its_own_order_only(app: App) -> None:
    hour = 3_600.0
    videos = [
        make_video(f"vid_{n}", f"category {n}", published_at=app.clock.now() - n * hour, duration_seconds=200.0 - n)
        for n in range(20)
    ]
    newest_first = await app.tenant(videos, weights={"RecencyHours": 500.0})
    oldest_first = await app.tenant(videos, weights={"recency": -500.0})
    orders = []
    for client in (newest_first, oldest_first):
        events = [
            {"type": "like", "videoId": "elsewhere", "timestamp": app.now_ms(60 + n), "eventId": f"{n}"}
            for n in range(4)
        ]
        await client.post(events)
        await app.folded()
        page = await client.feed()
        assert page.json["mode"] == "personalized"
        assert page.json["modelVersion"].startswith("global-")
        assert "+" in page.json["modelVersion"], "the version says that weights were overridden"
        orders.append([int(id.removeprefix("vid_")) for id in page.ids])
    assert orders == [sorted(orders[0]), sorted(orders[1], reverse=True)]


async def test_invalid_stored_weights_do_not_stop_the_feed(app: App) -> None:
    client = await app.tenant(make_videos(30), weights={"no_such_feature": 3.0})
    await client.post(story_events(app.clock.now()))
    await app.folded()
    page = await client.feed()
    assert page.json["mode"] == "personalized"
    assert "+" not in page.json["modelVersion"]
    assert app.counted("invalid_weights", client.tenant_id) == 1


# ---- caching


async def test_personalized_page_is_revalidated_and_a_popular_one_cached_ten_seconds(client: Client) -> None:
    assert (await client.feed()).headers["Cache-Control"] == "private, no-cache"
    assert (await client.as_user().feed()).headers["Cache-Control"] == "private, max-age=10"


async def test_unchanged_page_is_answered_with_304_and_no_body(client: Client) -> None:
    page = await client.feed(limit=5)
    etag = page.headers["Etag"]
    assert etag.startswith('W/"')
    for sent in (etag, etag.removeprefix("W/"), f'"other", {etag}', "*"):
        again = await client.feed({"If-None-Match": sent}, limit=5)
        assert (again.status, again.body) == (304, b"")
        assert again.headers["Etag"] == etag
        assert again.headers["Cache-Control"] == page.headers["Cache-Control"]


async def test_another_page_mode_or_order_has_another_etag(client: Client) -> None:
    page = await client.feed(limit=5)
    etag = page.headers["Etag"]
    others = [
        await client.feed({"If-None-Match": etag}, limit=6),
        await client.feed({"If-None-Match": etag}, limit=5, cursor=page.json["nextCursor"]),
        await client.feed({"If-None-Match": etag, "X-Personalization": "off"}, limit=5),
        await client.as_user().feed({"If-None-Match": etag}, limit=5),
    ]
    assert [answer.status for answer in others] == [200] * 4
    assert etag not in {answer.headers["Etag"] for answer in others}


async def test_config_reports_enforced_settings_and_can_be_revalidated(client: Client) -> None:
    answer = await client.get("/v1/config")
    assert answer.headers["Cache-Control"] == "private, max-age=300"
    config = answer.json
    assert config["feed"]["maxLimit"] == 50
    assert config["events"]["maxEvents"] == 100
    assert config["events"]["maxBytes"] == 256 * 1024
    assert set(config["hints"]) == {"country", "language", "ageBand", "platform"}
    assert (await client.feed(limit=config["feed"]["maxLimit"])).status == 200
    assert (await client.feed(limit=config["feed"]["maxLimit"] + 1)).status == 400
    again = await client.get("/v1/config", {"If-None-Match": answer.headers["Etag"]})
    assert (again.status, again.body) == (304, b"")


# ---- unusual catalogs


async def nothing(client: Client) -> bool:
    answer = await client.feed()
    assert answer.status == 200
    assert answer.json["nextCursor"] is None
    return bool(answer.json["items"] == [])


async def test_an_empty_catalog_is_an_empty_feed(app: App) -> None:
    client = await app.tenant()
    assert await nothing(client)
    assert app.counted("feed_empty", client.tenant_id) == 1


async def test_a_catalog_above_the_tenants_policy_is_an_empty_feed(app: App) -> None:
    videos = [make_video(f"vid_{n}", rating=("R", "NC17")[n % 2]) for n in range(30)]
    assert await nothing(await app.tenant(videos, maturity_policy="PG13"))
    assert len((await (await app.tenant(videos, maturity_policy="NC17")).feed(limit=50)).ids) == 30


@pytest.mark.parametrize("rating", ["", "X", "pg", "PG-13", "TV-MA", "G "])
async def test_a_video_with_an_unknown_rating_is_never_served(app: App, rating: str) -> None:
    assert await nothing(await app.tenant([make_video("vid_1", rating=rating)], maturity_policy="NC17"))


@pytest.mark.parametrize("policy", [None, "", "X", "everything", "pg13"])
async def test_unknown_policy_admits_only_g_rated_videos(app: App, policy: str | None) -> None:
    videos = [make_video(rating, rating=rating) for rating in ("G", "PG", "PG13", "R", "NC17")]
    client = await app.tenant(videos, maturity_policy=policy)
    assert (await client.feed()).ids == ["G"]


async def test_an_age_band_lowers_the_policy_and_never_raises_it(app: App) -> None:
    videos = [make_video(rating, rating=rating) for rating in ("G", "PG", "PG13", "R", "NC17")]
    bands = {"0-12": "G", "13-17": "PG", "18-64": "NC17", "65+": "odd"}
    client = await app.tenant(videos, maturity_policy="PG13", age_band_policies=bands)

    async def admitted(band: str) -> set[str]:
        return set((await client.feed(ageBand=band)).ids)

    assert await admitted("0-12") == {"G"}
    assert await admitted("13-17") == {"G", "PG"}
    assert await admitted("18-64") == await admitted("30-40") == {"G", "PG", "PG13"}
    assert await admitted("65+") == {"G"}


async def test_schedule_status_and_country_decide_who_sees_a_video(app: App) -> None:
    now = app.clock.now()
    videos = [
        make_video("on air", published_at=now - 60, expires_at=now + 3_600),
        make_video("not yet", published_at=now + 3_600),
        make_video("over", expires_at=now - 1),
        make_video("taken down", active=False),
        make_video("for Germany", countries=("de",)),
    ]
    client = await app.tenant(videos)
    assert set((await client.feed(country="fr")).ids) == {"on air"}
    assert set((await client.feed(country="DE")).ids) == {"on air", "for Germany"}


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"title": 7, "tags": "fitness", "durationSeconds": "long", "publishedAt": None},
        {"maturityRating": "PG", "durationSeconds": -5, "editorialBoost": "high", "expiresAt": "never", "tags": [1]},
        {"maturityRating": 3},
        {"kind": "playlist"},
        {"kind": "video", "deleted": True},
    ],
)
async def test_one_damaged_video_does_not_hide_the_catalog(app: App, row: dict[str, Any]) -> None:
    client = await app.tenant(make_videos(3))
    odd = {"kind": "video", **row, "id": "odd"}
    await app.documents.write(VIDEOS, client.tenant_id, [Upsert(odd)])
    answer = await client.feed()
    assert answer.status == 200
    assert set(answer.ids) - {"odd"} == {"vid_fitness_1", "vid_cooking_1", "vid_travel_1"}


async def test_new_video_and_takedown_appear_without_a_restart(app: App) -> None:
    from tests.served_app import eventually

    client = await app.tenant(make_videos(3))
    assert len((await client.feed()).ids) == 3
    added, gone = make_video("brand_new"), make_video("vid_fitness_1", active=False)
    await app.documents.write(VIDEOS, client.tenant_id, [Upsert(v.to_document()) for v in (added, gone)])

    async def shows() -> bool:
        return set((await client.feed()).ids) == {"brand_new", "vid_cooking_1", "vid_travel_1"}

    await eventually(shows)


async def test_tombstone_removes_a_video(app: App) -> None:
    client = await app.tenant(make_videos(3))
    await client.feed()
    tombstone = {"id": "vid_fitness_1", "kind": "video", "deleted": True, "ttl": 86_400}
    await app.documents.write(VIDEOS, client.tenant_id, [Upsert(tombstone)])
    await app.see_content()
    assert set((await client.feed()).ids) == {"vid_cooking_1", "vid_travel_1"}


async def test_tenants_with_the_same_video_ids_see_their_own(app: App) -> None:
    first = await app.tenant([make_video("vid_1", title="of the first")])
    second = await app.tenant([make_video("vid_1", title="of the second")])
    assert (await first.feed()).json["items"][0]["title"] == "of the first"
    assert (await second.feed()).json["items"][0]["title"] == "of the second"


async def test_dismissed_video_does_not_come_back(app: App) -> None:
    client = await app.tenant(make_videos(30))
    events = [
        {"type": "not_interested", "videoId": f"vid_travel_{n}", "timestamp": app.now_ms(60)} for n in range(1, 5)
    ]
    await client.post(events)
    await app.folded()
    page = await client.feed(limit=50)
    assert page.json["mode"] == "personalized"
    assert not {f"vid_travel_{n}" for n in range(1, 5)} & set(page.ids)


# ---- health


async def test_health_and_ready_need_no_key(app: App) -> None:
    health = await app.request("GET", "/health")
    assert (health.status, health.json) == (200, {"status": "alive"})
    ready = await app.request("GET", "/ready")
    assert (ready.status, ready.json["status"]) == (200, "ready")
    assert set(ready.json["dependencies"]) == {"documents", "bus", "blobs", "flags", "tenants", "clock"}
    assert set(ready.json["dependencies"].values()) == {"ready"}
    assert all(0 <= age < 30 for age in ready.json["ageSeconds"].values())


# ---- debug endpoints


async def test_debug_signals_agree_with_a_plain_count(client: Client, app: App) -> None:
    signals = (await client.signals()).json
    fitness, cooking = signals["categoryStats"]["fitness"], signals["categoryStats"]["cooking"]
    assert fitness["views"] == pytest.approx(6, rel=0.01)
    assert fitness["watchTimeMs"] == pytest.approx(6 * 26_000, rel=0.01)
    assert fitness["skips"] == 0
    assert cooking["skips"] == pytest.approx(4, rel=0.01)
    assert signals["categoryStatsLost"] == 0
    assert signals["totalViewsLast7d"] == 6
    assert signals["totalWatchTimeLast7dMs"] == 6 * 26_000
    assert signals["skipRateLast7d"] == 0.4
    assert signals["events"] == 10
    assert 0 < age_of(signals["lastActiveAt"], app) < 600
    assert 0 <= age_of(signals["updatedAt"], app) < 60


async def test_user_without_stored_data_is_404(client: Client) -> None:
    assert is_problem(await client.as_user().signals(), 404, "no_signals")


async def test_same_hash_in_another_tenant_is_another_user(client: Client, app: App) -> None:
    neighbor = (await app.tenant(make_videos(3))).as_user(client.user)
    assert is_problem(await neighbor.signals(), 404, "no_signals")


async def test_hash_in_the_url_is_accepted_only_where_enabled_and_is_validated(client: Client, app: App) -> None:
    headers = {"X-Tenant-Id": client.tenant_id, "X-Api-Key": app.ops_key}

    async def asked(user: str) -> Answer:
        return await app.request("GET", "/v1/debug/user-signals", headers, {"userHash": user})

    assert (await asked(client.user)).json["events"] == 10
    assert is_problem(await asked("jane@example.com"), 400, "invalid_user")
    api = app.services.apis[PrivacyApi]
    api.user_hash_in_url = False
    try:
        assert is_problem(await asked(client.user), 400, "user_in_url")
    finally:
        api.user_hash_in_url = True
