"""Accepted events count once whatever a client repeats and however a store or worker fails."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from shared.adapters.bus.port import DUPLICATE_WINDOW_SECONDS, BusUnavailable, OutgoingMessage
from shared.adapters.documents.port import USER_ACTIVITY, VIDEO_STATS
from tests.e2e.test_bad_requests import is_problem
from tests.faulty_documents import Trouble
from tests.parts import signals_consumer
from tests.served_app import App, Client, make_videos

pytestmark = pytest.mark.asyncio(loop_scope="module")

_numbers = itertools.count()


def views(client: Client, count: int, **fields: Any) -> list[dict[str, Any]]:
    """Views of a second each, every one at its own time."""
    return [
        {
            "type": "video_view",
            "videoId": f"vid_fitness_{1 + n % 5}",
            "timestamp": client.app.now_ms(60) + next(_numbers),
            "watchTimeMs": 1_000,
            **fields,
        }
        for n in range(count)
    ]


async def total(client: Client) -> int:
    """Return how many views the user's signals hold."""
    await client.app.folded()
    answer = await client.signals()
    if answer.status == 404:
        return 0
    assert answer.json["totalWatchTimeLast7dMs"] == 1_000 * answer.json["totalViewsLast7d"]
    return int(answer.json["totalViewsLast7d"])


async def test_the_same_batch_posted_three_times_counts_once(app: App) -> None:
    client = await app.tenant(make_videos(20))
    batch = views(client, 7)
    answers = [await client.post(batch) for _ in range(3)]
    assert {answer.status for answer in answers} == {202}
    assert len({answer.json["batchId"] for answer in answers}) == 1
    assert await total(client) == 7


async def test_same_batch_counts_once_after_the_duplicate_window_of_the_bus(app: App) -> None:
    client = await app.tenant(make_videos(20))
    batch = views(client, 3)
    await client.post(batch)
    assert await total(client) == 3
    app.clock.advance(DUPLICATE_WINDOW_SECONDS + 60)
    assert (await client.post(batch)).status == 202
    assert await total(client) == 3


async def test_events_repacked_into_another_batch_count_once(app: App) -> None:
    client = await app.tenant(make_videos(20))
    events = views(client, 12)
    await client.post(events[:8])
    await app.folded()
    await client.post(events[4:])
    assert await total(client) == 12
    await client.post([*events[::-1], *events])
    assert await total(client) == 12


async def test_event_id_identifies_an_event_whatever_else_changes(app: App) -> None:
    client = await app.tenant(make_videos(20))
    (first,), (second,) = views(client, 1, eventId="e-1"), views(client, 1, eventId="e-1")
    assert first["timestamp"] != second["timestamp"]
    await client.post([first])
    await client.post([second])
    assert await total(client) == 1


async def test_one_idempotency_key_on_two_bodies_loses_nothing(app: App) -> None:
    client = await app.tenant(make_videos(20))
    key = {"Idempotency-Key": "the-same-by-mistake"}
    first, second = views(client, 2), views(client, 3)
    ids = [(await client.post(body, key)).json["batchId"] for body in (first, second, first)]
    assert ids[0] == ids[2] != ids[1]
    assert await total(client) == 5


async def test_the_same_body_of_two_users_or_tenants_is_two_batches(app: App) -> None:
    client = await app.tenant(make_videos(20))
    other = client.as_user()
    neighbor = (await app.tenant(make_videos(20))).as_user(client.user)
    batch = views(client, 2)
    ids = {(await who.post(batch)).json["batchId"] for who in (client, other, neighbor)}
    assert len(ids) == 3
    assert [await total(who) for who in (client, other, neighbor)] == [2, 2, 2]


async def test_concurrent_batches_of_one_user_all_count(app: App) -> None:
    client = await app.tenant(make_videos(20))
    batches = [views(client, 3) for _ in range(20)]
    answers = await asyncio.gather(*(client.post(batch) for batch in batches))
    assert {answer.status for answer in answers} == {202}
    assert await total(client) == 60


async def test_two_workers_folding_for_one_user_lose_and_double_nothing(app: App) -> None:
    """Two consumers share no lock of a process, so only the store's etags keep them apart."""
    from events.batch import Batch, encode
    from events.schema import parse_event

    client = await app.tenant(make_videos(20))
    now = app.clock.now()
    bodies = [
        encode(
            Batch(
                f"batch-{number}",
                client.tenant_id,
                client.user_key,
                now,
                tuple(parse_event(event, now)[0] for event in views(client, 2)),
            )
        )
        for number in range(15)
    ]
    workers = [signals_consumer(app.services), signals_consumer(app.services)]
    deliveries = [worker.handle(body) for body in bodies for worker in workers]
    outcomes = await asyncio.gather(*deliveries)
    assert sorted(outcomes) == ["duplicate"] * 15 + ["folded"] * 15
    assert await total(client) == 30


async def test_applied_write_reported_as_failed_counts_once(app: App) -> None:
    client = await app.tenant(make_videos(20))
    await client.post(views(client, 2))
    assert await total(client) == 2
    trouble = Trouble(frozenset({USER_ACTIVITY.name}), frozenset({client.user_key}), cut_after_write=2)
    with app.documents.in_trouble(trouble):
        await client.post(views(client, 100))
        assert await total(client) == 102
    assert trouble.cut_after_write == 1, "the second attempt found the marker and wrote nothing"


async def test_store_outage_delays_the_fold_and_loses_nothing(app: App) -> None:
    client = await app.tenant(make_videos(20))
    dead = await app.services.bus.peek_dead_letters("signals", 100)
    with app.documents.in_trouble(Trouble(frozenset({USER_ACTIVITY.name}), writes_fail=True)):
        for _ in range(3):
            assert (await client.post(views(client, 2))).status == 202
        await asyncio.sleep(0.1)
    assert await total(client) == 6
    assert await app.services.bus.peek_dead_letters("signals", 100) == dead


async def test_bus_outage_is_a_503_and_the_same_batch_counts_later(app: App) -> None:
    client = await app.tenant(make_videos(20))
    batch = views(client, 4)
    app.bus.down = BusUnavailable("down", retry_after_seconds=7)
    answer = await client.post(batch)
    app.bus.down = None
    assert is_problem(answer, 503, "unavailable")
    assert answer.headers["Retry-After"] == "7"
    assert await total(client) == 0
    assert (await client.post(batch)).status == 202
    assert await total(client) == 4


async def test_an_unreadable_message_is_dead_lettered_with_its_reason_and_blocks_nobody(app: App) -> None:

    client = await app.tenant(make_videos(20))
    before = len(await app.services.bus.peek_dead_letters("signals", 100))
    await app.services.bus.publish(OutgoingMessage("odd", client.tenant_id, b'{"v": 0}'))
    await client.post(views(client, 2))
    assert await total(client) == 2
    letters = await app.services.bus.peek_dead_letters("signals", 100)
    assert len(letters) == before + 1
    assert letters[-1].reason == "unreadable"
    await app.rolled_up()
    assert "unreadable" in {letter.reason for letter in await app.services.bus.peek_dead_letters("rollup", 100)}


# ---- video statistics


async def stats(client: Client, video: str) -> dict[str, int]:
    """Return a video's plain counts of the week, as the roll-up wrote them."""
    from ranking.stats import STATS_PREFIX, StatsTable, merged
    from shared.adapters.documents.port import query_all

    await client.app.rolled_up()
    shards = await query_all(client.app.documents, VIDEO_STATS, client.tenant_id, STATS_PREFIX)
    table = merged(StatsTable.unpack(str(shard.body["packed"])) for shard in shards)
    return table.week(video, client.app.clock.now())


async def test_only_events_that_quote_a_served_feed_count_for_videos(app: App) -> None:
    client = await app.tenant(make_videos(20))
    served = (await client.feed()).json["feedRequestId"]
    foreign = (await client.as_user().feed()).json["feedRequestId"]
    forged = served[:-3] + "AAA"
    await client.post(views(client, 5, videoId="vid_fitness_1", feedRequestId=served))
    for quoted in (foreign, forged, "req-1", None):
        await client.post(views(client, 3, videoId="vid_fitness_1", feedRequestId=quoted))
    week = await stats(client, "vid_fitness_1")
    assert (week["views"], week["watchMs"]) == (1, 1_000), "each video and type of a page counts once"
    assert await total(client) == 17, "in the user's own signals all of them count"


async def test_trusted_senders_and_permissive_tenants_count_without_a_receipt(app: App) -> None:
    trusted = await app.tenant(make_videos(20))
    await app.save_key(trusted.tenant_id, "key-of-the-cms-0001", "cms", name="cms")
    await trusted.with_key("key-of-the-cms-0001").post(views(trusted, 2, videoId="vid_fitness_1"))
    allowing = await app.tenant(make_videos(20), count_anonymous_events=True)
    await allowing.post(views(allowing, 3, videoId="vid_fitness_1"))
    assert (await stats(trusted, "vid_fitness_1"))["views"] == 2
    assert (await stats(allowing, "vid_fitness_1"))["views"] == 3


async def test_feed_request_id_is_valid_for_a_day(app: App) -> None:
    client = await app.tenant(make_videos(20))
    served = (await client.feed()).json["feedRequestId"]
    app.clock.advance(24 * 3_600 + 5)
    await client.post(views(client, 3, videoId="vid_fitness_1", feedRequestId=served))
    assert (await stats(client, "vid_fitness_1"))["views"] == 0


async def test_rolled_up_statistics_reach_the_popular_feed(app: App) -> None:
    client = await app.tenant(make_videos(30, ("a", "b", "c")), count_anonymous_events=True)
    before = (await client.as_user().feed(limit=30)).ids
    loved = before[-1]
    for _ in range(4):
        viewer = client.as_user()
        await viewer.post(views(viewer, 20, videoId=loved, watchTimeMs=30_000))
    await app.rolled_up()
    assert (await client.as_user().feed(limit=30)).ids[0] == loved


async def test_events_of_each_tenant_are_rolled_up_separately(app: App) -> None:
    first = await app.tenant(make_videos(20), count_anonymous_events=True)
    second = await app.tenant(make_videos(20), count_anonymous_events=True)
    await first.post(views(first, 2, videoId="vid_fitness_1"))
    await second.post(views(second, 5, videoId="vid_fitness_1"))
    assert (await stats(first, "vid_fitness_1"))["views"] == 2
    assert (await stats(second, "vid_fitness_1"))["views"] == 5
