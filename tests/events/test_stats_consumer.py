from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bootstrap import App
from events.archive import KEEP_DAYS, LATEST_DAYS, from_lines, is_due
from events.batch import Batch, encode, encode_all
from events.frame import MARK
from events.schema import Event
from events.stat_events import stat_events
from ranking.stats import STATS_PREFIX, StatsTable, merged
from shared.adapters.blobs.port import ARCHIVE
from shared.adapters.bus.port import ROLLUP, OutgoingMessage
from shared.adapters.documents.port import DAY_SECONDS, VIDEO_STATS, VIDEOS, Upsert, query_all
from shared.domain.feed_receipt import FeedReceipt
from shared.domain.fingerprint import fingerprint
from tests.events.topic import MemoryTopic, services_on
from tests.faulty_documents import FaultyDocuments, Trouble
from tests.memory_documents import MemoryDocuments
from tests.parts import stats_consumer
from tests.served_app import make_video

NOW = 1_700_000_000.0
TENANT = "tenant_1"
SERVED = FeedReceipt(int(NOW), True, True)


class World:
    """A roll-up on an in-memory store, topic and clock, with blobs in a folder."""

    def __init__(self, folder: Path) -> None:
        self.documents = FaultyDocuments(MemoryDocuments(lambda: NOW))
        self.topic = MemoryTopic()
        self.services: App = services_on(self.documents, self.topic, lambda: NOW, folder)
        self.rollup = stats_consumer(self.services)

    async def prepare(self, *tenants: str) -> None:
        for tenant in tenants or (TENANT,):
            await self.documents.write(VIDEOS, tenant, [Upsert(make_video(f"v{n}").to_document()) for n in range(5)])

    def send(self, batch: Batch, session: str | None = None) -> None:
        self.topic.put(OutgoingMessage(batch.id, session or batch.tenant_id, encode(batch)))

    async def table(self, tenant: str = TENANT) -> StatsTable:
        shards = await query_all(self.documents.inner, VIDEO_STATS, tenant, STATS_PREFIX)
        return merged(StatsTable.unpack(str(shard.body["packed"])) for shard in shards)

    async def views(self, tenant: str = TENANT) -> list[int]:
        """Return the views of v0 to v4."""
        table = await self.table(tenant)
        return [table.week(f"v{n}", NOW)["views"] for n in range(5)]

    async def archived(self) -> list[dict[str, Any]]:
        lines = []
        async for blob in self.services.blobs.list(ARCHIVE):
            lines += list(from_lines(await self.services.blobs.read(ARCHIVE, blob.name) or b""))
        return lines


@pytest.fixture
async def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    await world.prepare()
    return world


def batch(
    number: int,
    videos: tuple[int, ...] = (0,),
    *,
    tenant: str = TENANT,
    trusted: bool = False,
    quoting: bool = True,
    kind: str = "video_view",
    decided: bool = True,
) -> Batch:
    """A batch as published by the fold, all counted. Without `decided`: as an older release publishes it."""
    events = tuple(
        Event(
            kind,
            f"v{video}",
            int(NOW * 1000) - 1_000,
            fingerprint(f"{number} {at}"),
            watch_ms=20_000.0,
            request=0 if quoting else None,
        )
        for at, video in enumerate(videos)
    )
    counted = (quoting or trusted,) * len(events) if decided else None
    requests = (SERVED,) if quoting else ()
    return Batch(f"{number:032x}", tenant, f"user-{number % 3}", NOW, events, requests, trusted, counted=counted)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=6), min_size=1, max_size=12), st.integers(1, 4))
def test_counters_equal_a_plain_recount_however_batches_fall_into_runs(
    tmp_path: Path, batches: list[list[int]], runs: int
) -> None:
    async def tell() -> None:
        world = World(tmp_path)
        await world.prepare()
        for number, videos in enumerate(batches):
            world.send(batch(number, tuple(videos)))
            if number % runs == 0:
                await world.rollup.run()
        await world.rollup.run()
        everything = [video for videos in batches for video in videos]
        assert await world.views() == [everything.count(n) for n in range(5)]
        table = await world.table()
        assert table.week("v0", NOW)["watchMs"] == 20_000 * everything.count(0)
        assert table.week("v5", NOW)["views"] == 0, "videos nobody has get no statistics"
        assert not world.topic.waiting[TENANT]

    asyncio.run(tell())


async def test_redelivered_messages_change_nothing(world: World) -> None:
    for number in range(4):
        world.send(batch(number, (0, 1)))
    kept = dict(world.topic.waiting[TENANT])
    assert await world.rollup.run() == 4
    before = (await world.table()).pack()
    lines = sorted(str(line) for line in await world.archived())
    world.topic.waiting[TENANT] = dict(kept)  # settled, and still redelivered
    assert await world.rollup.run() == 0
    assert (await world.table()).pack() == before
    assert sorted(str(line) for line in await world.archived()) == lines
    assert world.services.telemetry.counters["batches_rolled_up", ("duplicate",)] == 4


async def test_session_lost_before_settling_counts_nothing_twice(world: World) -> None:
    for number in range(3):
        world.send(batch(number))
    world.topic.lose_session_before = "complete"
    await world.rollup.run()
    assert await world.views() == [3, 0, 0, 0, 0]
    assert world.services.telemetry.counters["batches_rolled_up", ("lock_lost",)] == 1
    world.send(batch(3))
    await world.rollup.run()
    assert await world.views() == [4, 0, 0, 0, 0]
    assert not world.topic.waiting[TENANT]
    assert len(await world.archived()) == 4


async def test_applied_write_reported_as_failed_counts_once(world: World) -> None:
    world.send(batch(0))
    await world.rollup.run()
    world.send(batch(1))
    with world.documents.in_trouble(Trouble(frozenset({VIDEO_STATS.name}), cut_after_write=1)):
        await world.rollup.run()
    await world.rollup.run()
    assert await world.views() == [2, 0, 0, 0, 0]
    assert not world.topic.waiting[TENANT]


@pytest.mark.parametrize("more", [0, 2])
async def test_owner_that_lost_its_session_writes_nothing(world: World, more: int) -> None:
    """The second owner gets the same messages, perhaps with newer ones, and finishes before the first."""
    world.send(batch(0))
    await world.rollup.run()
    world.send(batch(1))

    async def second_owner() -> None:
        world.topic.take_away(TENANT)
        for number in range(more):
            world.send(batch(2 + number))
        await stats_consumer(world.services).run()

    with world.documents.in_trouble(Trouble(frozenset({VIDEO_STATS.name}), before_write=second_owner)):
        await world.rollup.run()
    assert await world.views() == [2 + more, 0, 0, 0, 0]
    assert len(await world.archived()) == 2 + more
    assert world.services.telemetry.counters["batches_rolled_up", ("lock_lost",)] == 1
    assert not world.topic.waiting[TENANT]


async def test_nothing_is_received_or_lost_while_the_store_is_down(world: World) -> None:
    world.send(batch(0))
    with world.documents.in_trouble(Trouble(reads_fail=True)):
        assert await world.rollup.run() == 0
    assert world.services.telemetry.counters["store_failures", ("rollup",)] >= 1
    assert await world.rollup.run() == 1


async def test_events_without_a_served_feed_count_only_from_a_trusted_sender(world: World) -> None:
    for number, batches in enumerate(((True, False), (False, True), (False, False))):
        quoting, trusted = batches
        world.send(batch(number, (number,), quoting=quoting, trusted=trusted, decided=False))
    await world.rollup.run()
    assert await world.views() == [1, 1, 0, 0, 0]


async def test_shards_of_one_tenant_add_up_and_tenants_stay_separate(world: World) -> None:
    await world.prepare("tenant_2")
    world.send(batch(0), f"{TENANT}#0")
    world.send(batch(1), f"{TENANT}#1")
    world.send(batch(2), f"{TENANT}#1")
    world.send(batch(3, tenant="tenant_2"))
    await world.rollup.run()
    assert await world.views() == [3, 0, 0, 0, 0]
    assert await world.views("tenant_2") == [1, 0, 0, 0, 0]


async def test_batch_in_another_tenants_session_counts_for_nobody(world: World) -> None:
    await world.prepare("tenant_2")
    world.send(batch(0, tenant="tenant_2"), TENANT)
    await world.rollup.run()
    assert await world.views() == await world.views("tenant_2") == [0, 0, 0, 0, 0]
    assert not world.topic.waiting[TENANT]


async def test_unreadable_messages_are_dead_lettered_and_block_nobody(world: World) -> None:
    world.send(batch(0))
    world.topic.put(OutgoingMessage("odd", TENANT, b"odd"))
    world.send(batch(1))
    assert await world.rollup.run() == 2
    assert [reason for _, reason in world.topic.dead] == ["unreadable"]
    assert world.services.telemetry.counters["messages_set_aside", (ROLLUP, "unreadable")] == 1
    assert await world.views() == [2, 0, 0, 0, 0]


async def test_unreadable_statistics_start_afresh_and_are_reported(world: World) -> None:
    odd = {"id": f"stats:{TENANT}", "kind": "stats", "lastSequence": 0, "packed": "odd"}
    await world.documents.write(VIDEO_STATS, TENANT, [Upsert(odd)])
    world.send(batch(0))
    await world.rollup.run()
    assert await world.views() == [1, 0, 0, 0, 0]
    assert world.services.telemetry.counters["store_failures", ("unreadable_stats",)] == 1


async def test_every_event_kind_is_counted_in_its_counter(world: World) -> None:
    for number, kind in enumerate(("impression", "video_view", "like", "like", "unlike", "skip")):
        world.send(batch(number, kind=kind))
    await world.rollup.run()
    week = (await world.table()).week("v0", NOW)
    assert week == {"impressions": 1, "views": 1, "watchMs": 20_000, "likes": 1, "avgWatchMs": 20_000}


async def test_events_too_old_to_be_deleted_in_time_count_and_are_not_archived(world: World) -> None:
    on_time = replace(batch(1), accepted_at=NOW - LATEST_DAYS * DAY_SECONDS)
    too_late = replace(batch(2), accepted_at=NOW - LATEST_DAYS * DAY_SECONDS - 1)
    world.send(too_late)
    world.send(on_time)
    assert await world.rollup.run() == 2
    assert (await world.views())[0] == 2
    assert [line["batch"] for line in await world.archived()] == [on_time.id]
    assert world.services.telemetry.counters["batches_archived", ("too_late",)] == 1
    [name] = [blob.name async for blob in world.services.blobs.list(ARCHIVE)]
    oldest_ends = on_time.accepted_at + KEEP_DAYS * DAY_SECONDS
    assert is_due(name, oldest_ends - DAY_SECONDS), "a day early, since it is asked once a day"


async def test_the_archive_has_each_event_once_and_no_user(world: World) -> None:
    for number in range(3):
        world.send(batch(number, (0, 1)))
    await world.rollup.run()
    lines = await world.archived()
    assert len(lines) == 6
    assert not any("user-" in str(line.values()) for line in lines)
    assert len({line["user"] for line in lines}) == 3, "a pseudonym tells users apart"


async def test_one_key_counts_at_most_four_usual_peak_minutes_a_minute(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    def logged(event: str) -> int:
        return [record.getMessage() for record in caplog.records].count(event)

    caplog.set_level("INFO")
    rollup = stats_consumer(world.services, usual_peak_floor=25.0)
    for run in range(2):
        for number in range(10):
            world.send(batch(100 * run + number, (0,) * 10))
        await rollup.run()
        assert await world.views() == [100, 0, 0, 0, 0], "also over several writes"
    assert len(await world.archived()) == 200
    assert world.services.telemetry.counters["events_over_peak", (TENANT,)] == 100
    assert (logged("statistics_over_peak"), logged("statistics_within_peak")) == (1, 0)
    world.send(replace(batch(300, (0,) * 10), accepted_at=NOW - 61))
    await rollup.run()
    assert await world.views() == [110, 0, 0, 0, 0], "another minute"
    assert (logged("statistics_over_peak"), logged("statistics_within_peak")) == (1, 1)


async def test_undecided_messages_of_an_older_release_count_within_the_caps(world: World) -> None:
    for number in range(3):
        world.send(batch(number * 3, (0, 0, 0, 1), decided=False))
    await world.rollup.run()
    assert await world.views() == [1, 1, 0, 0, 0]


async def test_message_of_a_newer_version_waits_and_blocks_no_other(world: World) -> None:
    world.topic.put(OutgoingMessage("newer", TENANT, bytes([MARK, 3, 0, 0, 1, 0])))
    world.send(batch(1))
    for _ in range(2):
        await world.rollup.run()
    assert sum(await world.views()) == len(batch(1).events)
    assert world.topic.dead == []
    assert len(world.topic.waiting[TENANT]) == 1
    assert world.services.telemetry.counters["bus_failures", ("newer_message",)] == 2, "once a run"


async def test_several_batches_of_a_message_count_once_and_are_archived(world: World) -> None:
    several = [batch(1), batch(2)]
    message = OutgoingMessage("several", TENANT, encode_all(several))
    events = sum(len(each.events) for each in several)
    world.topic.put(message)
    await world.rollup.run()
    assert sum(await world.views()) == events
    assert len(await world.archived()) == events
    assert {line["origin"] for line in await world.archived()} == {"live"}
    assert world.services.telemetry.counters["batches_rolled_up", ("added",)] == 2


@pytest.mark.parametrize("reason", ["unreadable", "failed"])
async def test_bad_batch_of_a_message_is_dead_lettered_alone(
    world: World, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = batch(2)
    if reason == "unreadable":
        bad = replace(bad, user_key="no/key")
    else:
        monkeypatch.setattr("events.shard_writer.stat_events", failing_for(bad.id))
    world.topic.put(OutgoingMessage("several", TENANT, encode_all([batch(1), bad, batch(3)])))
    world.send(batch(4))
    for _ in range(2):
        await world.rollup.run()
    assert await world.views() == [3, 0, 0, 0, 0]
    assert {line["batch"] for line in await world.archived()} == {batch(n).id for n in (1, 3, 4)}
    assert [why for _, why in world.topic.dead_letters] == [reason]
    assert [letter.session_id for letter in world.topic.letters] == [TENANT], "so that a replay finds its session"
    assert world.topic.dead == []
    assert not world.topic.waiting[TENANT]
    assert world.services.telemetry.counters["messages_set_aside", (ROLLUP, reason)] == 1


def failing_for(id: str) -> Any:
    """`stat_events` that fails for one batch."""

    def fails(batches: Any, *rest: Any) -> Any:
        if any(each.id == id for each in batches):
            raise RuntimeError
        return stat_events(batches, *rest)

    return fails
