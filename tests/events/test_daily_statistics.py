"""Daily sums by video are correct in any order of events, bounded in size, and kept 90 days."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cms.videos.daily_figures import read_days
from events.daily_statistics import DAYS_BYTES, KEEP_SECONDS, Additions, body_of, day_id, packed_within, table_of
from ranking.columns import key64
from ranking.daily_table import COLUMNS, DAYS_PREFIX, MAX_VIDEOS, DayTable, UnreadableDay
from ranking.stats import UNVIEW, StatEvent
from shared.adapters.documents.port import VIDEO_STATS, Document, Upsert, query_all
from tests.events.test_stats_consumer import NOW, TENANT, World, batch

DAY = 86_400
TODAY = datetime.fromtimestamp(NOW, UTC).date()
kinds = st.sampled_from(
    ["impression", "video_view", "complete", "like", "unlike", "skip", "start", "stall", "playback_error"]
)
events = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]), st.floats(NOW - 7 * DAY, NOW), kinds, st.integers(0, 60_000), st.just(30.0)
    ),
    max_size=40,
)


def plain(told: Iterable[StatEvent], kind: str) -> Counter[tuple[str, date]]:
    """Recount the events."""
    return Counter((video, datetime.fromtimestamp(at, UTC).date()) for video, at, what, _, _ in told if what == kind)


@given(st.lists(events, max_size=4))
def test_daily_sums_equal_a_plain_recount_in_any_order_of_events(portions: list[list[StatEvent]]) -> None:
    days: dict[str, DayTable] = {}
    for portion in portions:
        additions = Additions(NOW)
        additions.add(portion)
        for day, added in additions.days.items():
            days.setdefault(day, DayTable()).merge(added)
    told = [event for portion in portions for event in portion]
    views, errors = plain(told, "video_view"), plain(told, "playback_error")
    starts, stalls = plain(told, "start"), plain(told, "stall")
    likes = plain(told, "like")
    likes.subtract(plain(told, "unlike"))
    for day, table in days.items():
        again = DayTable.unpack(table.pack(), table.pack_playback())
        assert (again.pack(), again.pack_playback()) == (table.pack(), table.pack_playback())
        for video in "abc":
            key, sums = (video, date.fromisoformat(day)), again.of(video)
            assert sums["views"] == views[key]
            assert sums["playbackErrors"] == errors[key]
            assert (sums["starts"], sums["stalls"]) == (starts[key], stalls[key])
            assert sums["likes"] == max(0, likes[key])
            watched = sum(w for v, at, k, w, _ in told if (v, k) == (video, "video_view") and key[1] == day_of(at))
            assert abs(sums["watchMs"] - watched) <= len(portions)
    assert sum(table.total()["views"] for table in days.values()) == views.total()


def day_of(at: float) -> date:
    return datetime.fromtimestamp(at, UTC).date()


def test_a_day_has_a_bounded_size_and_loses_no_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(1)
    table, told = DayTable(), 0
    for _ in range(12):
        additions = Additions(NOW)
        views = [(f"v{draw.randrange(20_000)}", NOW, "video_view", draw.uniform(0, 9e5), 300.0) for _ in range(3_000)]
        additions.add(views)
        told += len(views)
        table.merge(additions.days[TODAY.isoformat()])
    assert len(table) == MAX_VIDEOS + 1
    assert table.total()["views"] == told
    assert len(table.pack()) < 250_000


def test_days_of_one_write_fit_its_size_limit_and_lose_no_sum() -> None:
    draw, tables = np.random.default_rng(1), {}
    for day in range(11):
        tables[f"2026-11-{day + 1:02}"] = table = DayTable()
        keys = draw.integers(1, 2**63, 5_000).astype(np.uint64)
        table.add(keys, draw.integers(1, 2**31, (5_000, len(COLUMNS))))
    before = {day: table.total() for day, table in tables.items()}
    packed = packed_within(tables, DAYS_BYTES)
    assert sum(len(text) for texts in packed.values() for text in texts) <= DAYS_BYTES
    assert {day: DayTable.unpack(*texts).total() for day, texts in packed.items()} == before


def test_reduction_keeps_the_most_viewed_videos() -> None:
    table = DayTable()
    views = np.zeros((10, len(COLUMNS)), np.int64)
    views[:, COLUMNS.index("views")] = range(10)
    table.add(np.array([key64(f"v{n}") for n in range(10)], np.uint64), views)
    table.reduce(3)
    assert [table.of(f"v{n}")["views"] for n in (9, 8, 7, 6)] == [9, 8, 7, 0]
    assert table.total()["views"] == 45


def test_continued_play_replaces_its_earlier_watch_time() -> None:
    additions = Additions(NOW)
    additions.add([("a", NOW, "video_view", 10_000.0, 30.0)])
    additions.add([("a", NOW, "video_view", 25_000.0, 30.0), ("a", NOW, UNVIEW, 10_000.0, 30.0)])
    found = additions.days[TODAY.isoformat()].of("a")
    assert (found["views"], found["watchMs"]) == (1, 25_000)


def test_older_release_finds_only_its_own_columns() -> None:
    additions = Additions(NOW)
    additions.add([("a", NOW, "start", 0.0, 30.0), ("b", NOW, "like", 0.0, 30.0)])
    table = additions.days[TODAY.isoformat()]
    without = DayTable.unpack(table.pack())
    assert (without.of("a")["starts"], without.of("b")["likes"]) == (0, 1)
    body = body_of(TODAY.isoformat(), TENANT, (table.pack(), table.pack_playback()))
    assert DayTable.from_body(body).of("a")["starts"] == 1


def test_events_too_old_or_without_a_time_are_in_no_day() -> None:
    additions = Additions(NOW)
    additions.add([("a", NOW - 12 * DAY, "like", 0.0, 30.0), ("a", float("nan"), "like", 0.0, 30.0)])
    assert not additions.days


def test_damage_and_a_later_version_are_distinguished() -> None:
    with pytest.raises(UnreadableDay) as raised:
        table_of(Document("d", "t", {"v": 1, "packed": "no base64"}, "e"))
    assert not raised.value.newer
    with pytest.raises(UnreadableDay) as raised:
        table_of(Document("d", "t", {"v": 2, "packed": ""}, "e"))
    assert raised.value.newer


async def test_roll_up_writes_a_day_per_shard_and_they_are_read_together(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.prepare()
    world.send(batch(1, (0, 1)))
    world.send(batch(2, (0,), kind="complete"), f"{TENANT}#1")
    await world.rollup.run()
    world.send(batch(3, (0,)))
    await world.rollup.run()
    stored = await query_all(world.documents, VIDEO_STATS, TENANT, DAYS_PREFIX)
    assert [document.id for document in stored] == [day_id(TODAY.isoformat(), id) for id in (TENANT, f"{TENANT}#1")]
    assert {document.body["ttl"] for document in stored} == {KEEP_SECONDS}
    days = await read_days(world.documents, TENANT, TODAY - timedelta(days=89), TODAY)
    assert days[TODAY].of("v0") == dict(zip(COLUMNS, (0, 2, 40_000, 1, 0, 0, 0, 0), strict=True))
    assert days[TODAY].of("v1")["views"] == 1
    assert await read_days(world.documents, TENANT, TODAY - timedelta(days=9), TODAY - timedelta(days=1)) == {}
    assert await read_days(world.documents, "another", TODAY, TODAY) == {}


async def test_day_of_a_later_release_is_kept_and_the_rest_goes_on(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.prepare()
    later = {**body_of(TODAY.isoformat(), TENANT, ("who knows", "")), "v": 2}
    await world.documents.write(VIDEO_STATS, TENANT, [Upsert(later)])
    world.send(batch(1, (0,)))
    assert await world.rollup.run() == 1
    (kept,) = await query_all(world.documents, VIDEO_STATS, TENANT, DAYS_PREFIX)
    assert kept.body["packed"] == "who knows"
    assert (await world.views())[0] == 1
    await asyncio.sleep(0)
