"""An app key and invented users move statistics and co-watch only by what served pages contained."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from events.archive import counts, from_lines
from ranking.stats import STATS_PREFIX, StatsTable, merged
from shared.adapters.blobs.port import ARCHIVE
from shared.adapters.documents.port import VIDEO_STATS, query_all
from shared.domain.event_types import EVENT_TYPES
from tests.served_app import App, Client, make_videos, served

pytestmark = pytest.mark.asyncio(loop_scope="module")

VICTIM = "vid_travel_3"


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["1", "2"])
async def app(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[App]:
    folder = tmp_path_factory.mktemp("app")
    async with served(folder, write_receipt_version=request.param) as app:
        yield app


def knows_pages(app: App) -> bool:
    return app.services.settings.write_receipt_version == "2"


def told(app: App, kind: str, video: str, count: int, receipt: str | None = None) -> list[dict[str, Any]]:
    """Events of one type about one video, each with its own time."""
    watch = {"watchTimeMs": 30_000} if kind == "video_view" else {}
    quoted = {"feedRequestId": receipt} if receipt else {}
    return [{"type": kind, "videoId": video, "timestamp": app.now_ms(60) + n, **watch, **quoted} for n in range(count)]


async def weeks(client: Client) -> StatsTable:
    await client.app.folded()
    await client.app.rolled_up()
    stored = await query_all(client.app.documents, VIDEO_STATS, client.tenant_id, STATS_PREFIX)
    return merged(StatsTable.unpack(str(shard.body["packed"])) for shard in stored if "packed" in shard.body)


async def week(client: Client, video: str) -> dict[str, int]:
    return (await weeks(client)).week(video, client.app.clock.now())


async def test_hundred_views_of_a_video_missing_from_the_page_count_nothing(app: App) -> None:
    client = await app.tenant(make_videos(60))
    page = (await client.feed(limit=1)).json
    assert page["items"][0]["videoId"] != VICTIM
    for _ in range(10):
        app.clock.advance(1)
        await client.post(told(app, "video_view", VICTIM, 100, page["feedRequestId"]))
    found = await week(client, VICTIM)
    assert found["views"] == (0 if knows_pages(app) else 1)
    assert (await client.signals()).json["totalViewsLast7d"] == 1_000, "their own signals count what they did"


async def test_each_video_and_event_type_counts_once_per_receipt(app: App) -> None:
    client = await app.tenant(make_videos(60))
    page = (await client.feed(limit=5)).json
    ids = [item["videoId"] for item in page["items"]]
    for kind in EVENT_TYPES:
        await client.post([event for video in ids for event in told(app, kind, video, 5, page["feedRequestId"])])
        await app.folded()
    table = await weeks(client)
    for video in ids:
        found = table.week(video, app.clock.now())
        assert (found["impressions"], found["views"], found["likes"]) == (1, 1, 0)


async def test_no_events_push_a_video_below_zero(app: App) -> None:
    client = await app.tenant(make_videos(60))
    fan = client.as_user()
    liked = (await fan.feed(limit=50)).json
    await fan.post(told(app, "like", liked["items"][0]["videoId"], 1, liked["feedRequestId"]))
    victim = liked["items"][0]["videoId"]
    for _ in range(5):
        enemy = client.as_user()
        page = (await enemy.feed(limit=50)).json
        await enemy.post(told(app, "unlike", victim, 100, page["feedRequestId"]))
        await enemy.post(told(app, "skip", victim, 100, page["feedRequestId"]))
    assert (await week(client, victim))["likes"] == 1


async def test_one_user_moves_a_video_by_a_bounded_amount_a_day(app: App) -> None:
    client = await app.tenant(make_videos(3))
    for _ in range(40):
        app.clock.advance(1)
        page = (await client.feed(limit=3)).json
        await client.post(told(app, "video_view", VICTIM.replace("3", "1"), 3, page["feedRequestId"]))
    await app.folded()
    assert (await week(client, VICTIM.replace("3", "1")))["views"] <= 12


async def test_resent_bytes_of_an_opted_out_user_count_once_after_two_hours(app: App) -> None:
    client = await app.tenant(make_videos(20))
    off = {"X-Personalization": "off", "Idempotency-Key": "one-batch"}
    page = (await client.feed(off, limit=5)).json
    video = page["items"][0]["videoId"]
    events = told(app, "video_view", video, 2, page["feedRequestId"])
    for hours in (0, 2, 20):
        app.clock.advance(hours * 3_600)
        assert (await client.post(events, off)).status == 202
        assert (await week(client, video))["views"] == 1
    assert (await client.signals()).status == 404, "nothing is kept about the user"


async def test_events_of_an_opted_out_user_without_a_receipt_count_nowhere(app: App) -> None:
    client = await app.tenant(make_videos(20))
    await client.post(told(app, "video_view", VICTIM, 50), {"X-Personalization": "off"})
    assert (await week(client, VICTIM))["views"] == 0


async def test_invented_users_without_receipts_add_nothing_to_co_watch(app: App) -> None:
    client = await app.tenant(make_videos(20))
    for _ in range(20):
        user = client.as_user()
        events = [*told(app, "complete", "vid_fitness_1", 1), *told(app, "complete", VICTIM, 1)]
        await user.post([*events, *told(app, "complete", "nobody_has_this", 1)])
    await app.folded()
    await app.rolled_up()
    assert not await app.services.table_builder.build(client.tenant_id)


async def test_co_watch_holds_only_counted_views_of_catalog_videos(app: App) -> None:
    client = await app.tenant(make_videos(20))
    for _ in range(6):
        user = client.as_user()
        page = (await user.feed(limit=2)).json
        ids = [item["videoId"] for item in page["items"]]
        events = [
            each for id in (*ids, VICTIM, "nobody") for each in told(app, "complete", id, 1, page["feedRequestId"])
        ]
        await user.post(events)
    await app.folded()
    await app.rolled_up()
    assert await app.services.table_builder.build(client.tenant_id)
    catalog = await app.services.feed.catalogs.get(client.tenant_id)
    await app.services.feed.catalogs.refresh()
    table = catalog.stats.cowatch.table if catalog.stats.cowatch else None
    assert table is not None
    assert len(table.keys) == (2 if knows_pages(app) else 3)


async def test_uncounted_events_are_archived_as_uncounted(app: App) -> None:
    client = await app.tenant(make_videos(20))
    page = (await client.feed(limit=1)).json
    video = page["items"][0]["videoId"]
    await client.post(told(app, "video_view", video, 10, page["feedRequestId"]))
    await app.folded()
    await app.rolled_up()
    lines: list[dict[str, Any]] = []
    async for blob in app.services.blobs.list(ARCHIVE, f"{client.tenant_id}/"):
        lines += from_lines(await app.services.blobs.read(ARCHIVE, blob.name) or b"")
    assert len(lines) == 10
    assert sum(counts(line) for line in lines) == 1
