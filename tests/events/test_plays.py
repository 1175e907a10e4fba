"""A play reported by heartbeats counts one view with its furthest position, in any order of events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events.batch import Batch, decode, encode
from events.counting import Ledger, decide
from events.daily_statistics import Additions
from events.fold import fold, not_folded_yet
from events.plays import follow, in_statistics
from events.plays_handed_on import handed_on, told_of
from events.schema import Event, Play
from events.stat_events import stat_events
from events.video_facts import Facts
from ranking.daily_table import DayTable
from ranking.stats import StatsTable
from shared.domain.event_types import PROGRESS, START, VIDEO_VIEW
from shared.domain.feed_receipt import FeedReceipt
from shared.domain.fingerprint import fingerprint
from shared.domain.signals_document import VERSIONS, from_document, to_document
from shared.domain.user_signals import MAX_PLAY_SECONDS, MAX_PROGRESS, VIEWS, WATCH_MS, Progress, Signals

NOW = 1_795_000_000.0
NOW_MS = int(NOW * 1000)
DURATION = 40.0
FACTS = {f"v{n}": Facts("category", ("tag",), "creator", DURATION) for n in range(60)}
DURATIONS = dict.fromkeys(FACTS, DURATION)
RECEIPT = FeedReceipt(int(NOW) - 600, True, True, key=7)


def told(kind: str, video: str, position_ms: int, number: int, *, play: int = 1, quotes: bool = True) -> Event:
    """An event of a play; each play number began a minute ago."""
    began = NOW_MS - 60_000 * play
    key = fingerprint(f"{video}\nplay {play}") or 1
    return Event(
        kind,
        video,
        began + position_ms,
        fingerprint(f"{kind} {video} {play} {position_ms} {number}"),
        watch_ms=float(position_ms),
        request=0 if quotes else None,
        place=int(video[1:]) if quotes else None,
        play=Play(key, began),
    )


class Pipeline:
    """Fold, counting decision and roll-up of one user, without store and bus."""

    def __init__(self, version: int) -> None:
        self._version = version
        self.signals: Signals | None = None
        self.stats, self.day = StatsTable(), DayTable()

    def take(self, events: Sequence[Event]) -> None:
        batch = Batch("b" * 32, "tenant", "user", NOW, tuple(events), (RECEIPT,))
        (batch,) = decode(encode(batch, 1 + self._version % 2))
        old = self.signals
        fresh = tuple(not_folded_yet(old, batch.events))
        followed = follow(old.progress if old else Progress(), fresh, FACTS)
        new = fold(old, batch.events, FACTS, 14.0, NOW, NOW, fresh, followed)
        decision = decide(batch, fresh, Ledger(new.counted, new.daily_counts), NOW, followed.steps)
        new.counted, new.daily_counts = decision.ledger.receipts, decision.ledger.today or new.daily_counts
        new.progress = in_statistics(new.progress, decision.plays)
        self.signals = from_document(orjson.loads(orjson.dumps(to_document(new, self._version))))
        told = orjson.loads(orjson.dumps(told_of(followed.steps, decision)))
        on = replace(batch, events=handed_on(fresh, told), counted=decision.counted)
        (on,) = decode(encode(on, 1 + self._version % 2))
        self.stats.add(counted := stat_events([on], DURATIONS, NOW + 300))
        additions = Additions(NOW)
        additions.add(counted)
        for added in additions.days.values():
            self.day.merge(added)

    @property
    def watched(self) -> tuple[int, int]:
        """The user's views and ms."""
        if self.signals is None:
            return 0, 0
        return int(self.signals.daily["views"].sum()), int(self.signals.daily["watch_ms"].sum())

    def counted(self, video: str) -> tuple[int, int, int, int]:
        """Return a video's views and ms, in the week's statistics and in the daily ones."""
        week, day = self.stats.week(video, NOW), self.day.of(video)
        return week["views"], week["watchMs"], day["views"], day["watchMs"]


positions = st.lists(st.integers(500, 90_000), min_size=1, max_size=12)


@settings(max_examples=120, deadline=None)
@given(positions, st.booleans(), st.sampled_from(VERSIONS), st.data())
def test_watch_time_is_equal_for_any_order_and_repeats_of_heartbeats(
    furthest: list[int], ends: bool, version: int, data: st.DataObject
) -> None:
    events = [told(PROGRESS, "v1", at, number) for number, at in enumerate(furthest)]
    events += [told(VIDEO_VIEW, "v1", data.draw(st.integers(500, 90_000)), 0)] if ends else []
    seconds = int(max(event.watch_ms or 0 for event in events) / 1000 + 0.5)
    again = data.draw(st.lists(st.sampled_from(events), max_size=8))
    repacked = [replace(event, identity=event.identity ^ 1) for event in again]
    arrives = data.draw(st.permutations([*events, *again, *repacked]))
    pipeline, size = Pipeline(version), data.draw(st.integers(1, 5))
    for at in range(0, len(arrives), size):
        pipeline.take(arrives[at : at + size])
    assert pipeline.watched == (1, seconds * 1000)
    assert pipeline.counted("v1") == (1, seconds * 1000) * 2
    assert pipeline.signals is not None
    assert pipeline.signals.events == 1
    (row,) = pipeline.signals.categories.values.tolist()
    faded = 0.5 ** ((pipeline.signals.newest_minute - (NOW_MS // 60_000 - 1)) / (14 * 1440))
    assert row[VIEWS] == pytest.approx(faded, rel=1e-4)
    assert row[WATCH_MS] == pytest.approx(faded * seconds * 1000, rel=1e-4)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(1, MAX_PROGRESS), st.integers(500, 90_000)), max_size=40),
    st.sampled_from(VERSIONS),
    st.data(),
)
def test_overlapping_plays_never_count_for_each_other(
    events: list[tuple[int, int, int]], version: int, data: st.DataObject
) -> None:
    heartbeats = [told(PROGRESS, f"v{video}", at, number, play=play) for number, (video, play, at) in enumerate(events)]
    furthest: dict[tuple[int, int], int] = {}
    for video, play, at in events:
        furthest[video, play] = max(furthest.get((video, play), 0), int(at / 1000 + 0.5))
    if len(furthest) > MAX_PROGRESS:
        return
    pipeline = Pipeline(version)
    for each in data.draw(st.permutations(heartbeats)):
        pipeline.take([each])
    assert pipeline.watched == (len(furthest), 1000 * sum(furthest.values()))
    for video in {name[0] for name in furthest}:
        assert pipeline.counted(f"v{video}")[0] == 1, "one view a page and video, whichever of its plays came first"


@settings(max_examples=40, deadline=None)
@given(st.permutations([(play, at) for play in range(1, 2 * MAX_PROGRESS) for at in (10_000, 30_000)]))
def test_nothing_counts_twice_with_more_plays_than_are_kept(order: list[tuple[int, int]]) -> None:
    pipeline, known = Pipeline(3), set()
    for number, (play, at) in enumerate(order):
        before = pipeline.watched
        pipeline.take([told(PROGRESS, f"v{play}", at, number, play=play)])
        after = pipeline.watched
        known.add(play)
        assert 0 <= after[0] - before[0] <= 1
        assert after[0] <= len(known)
        assert after[1] <= 30_000 * len(known)
    assert pipeline.signals is not None
    assert len(pipeline.signals.progress.keys) <= MAX_PROGRESS


def test_newest_plays_are_complete_whatever_came_before() -> None:
    pipeline = Pipeline(3)
    for play in range(60, 0, -1):
        for at in (10_000, 20_000, 30_000):
            pipeline.take([told(PROGRESS, f"v{play % 50}", at, play, play=play)])
    assert pipeline.watched == (60, 60 * 30_000)


def test_killed_app_loses_at_most_one_heartbeat_interval() -> None:
    pipeline = Pipeline(3)
    for at in (10_000, 20_000, 30_000):
        pipeline.take([told(PROGRESS, "v1", at, 0)])
    assert pipeline.watched == (1, 30_000), "killed at 39 s, with a heartbeat every 10 s"


def test_start_event_counts_no_view_and_creates_no_play() -> None:
    pipeline = Pipeline(3)
    pipeline.take([replace(told(START, "v1", 0, 0), play=None)])
    assert pipeline.watched == (0, 0)
    assert pipeline.counted("v1") == (0, 0, 0, 0)
    assert pipeline.day.of("v1")["starts"] == 1
    assert pipeline.signals is not None
    assert (pipeline.signals.events, pipeline.signals.progress.plays()) == (0, [])


def test_view_shorter_than_a_second_is_one_view_without_watch_time() -> None:
    pipeline = Pipeline(3)
    pipeline.take([told(PROGRESS, "v1", 150, 0)])
    assert pipeline.watched == (0, 0)
    pipeline.take([told(VIDEO_VIEW, "v1", 150, 0)])
    pipeline.take([told(VIDEO_VIEW, "v1", 150, 1)])
    assert pipeline.watched == (1, 0)


def test_unfinished_play_counts_at_most_three_video_lengths() -> None:
    pipeline = Pipeline(3)
    for at in (100_000, 200_000, 86_400_000):
        pipeline.take([told(PROGRESS, "v1", at, 0)])
    assert pipeline.watched == (1, 120_000)
    assert pipeline.counted("v1") == (1, 120_000) * 2
    assert (
        follow(Progress(), [told(PROGRESS, "v1", 86_400_000, 0)], {"v1": Facts("", (), "", 36_000.0)}).steps[0]
        == (
            follow(Progress(), [told(PROGRESS, "v1", MAX_PLAY_SECONDS * 1000, 1)], {"v1": Facts("", (), "", 36_000.0)})
        ).steps[0]
    )


def test_statistics_count_a_play_once_an_event_of_it_quotes_a_receipt() -> None:
    pipeline = Pipeline(3)
    pipeline.take([told(PROGRESS, "v1", 10_000, 0, quotes=False)])
    assert (pipeline.watched, pipeline.counted("v1")) == ((1, 10_000), (0, 0, 0, 0))
    pipeline.take([told(PROGRESS, "v1", 20_000, 0)])
    pipeline.take([told(VIDEO_VIEW, "v1", 25_000, 0, quotes=False)])
    assert (pipeline.watched, pipeline.counted("v1")) == ((1, 25_000), (1, 25_000) * 2)


def test_second_play_of_a_page_counts_for_the_user_and_not_in_statistics() -> None:
    pipeline = Pipeline(3)
    for play in (2, 1):
        for at in (10_000, 20_000):
            pipeline.take([told(PROGRESS, "v1", at, 0, play=play)])
    assert (pipeline.watched, pipeline.counted("v1")) == ((2, 40_000), (1, 20_000) * 2)


@pytest.mark.parametrize("lost", [("additions",), ("additions", "counted", "dailyCounts")])
def test_play_whose_progress_an_older_release_dropped_never_counts_again(lost: tuple[str, ...]) -> None:
    pipeline = Pipeline(2)
    pipeline.take([told(PROGRESS, "v1", 20_000, 0)])
    assert pipeline.signals is not None
    document = to_document(pipeline.signals, 2)
    pipeline.signals = from_document({name: value for name, value in document.items() if name not in lost})
    pipeline.take([told(PROGRESS, "v1", 30_000, 0)])
    pipeline.take([told(VIDEO_VIEW, "v1", 35_000, 0)])
    assert pipeline.watched == (1, 20_000)
    pipeline.take([told(PROGRESS, "v2", 10_000, 0, play=-1)])
    assert pipeline.watched == (2, 30_000), "a play that begins later counts"


def test_without_consent_only_the_final_view_counts() -> None:
    events = (told(PROGRESS, "v1", 20_000, 0), told(VIDEO_VIEW, "v1", 25_000, 0))
    batch = Batch("b" * 32, "tenant", "-", NOW, events, (RECEIPT,), consented=False)
    decision = decide(batch, events, Ledger(today=None), NOW)
    assert decision.counted == (False, True)
    counted = stat_events([replace(batch, counted=decision.counted)], DURATIONS, NOW)
    assert [(kind, watch_ms) for _, _, kind, watch_ms, _ in counted] == [(VIDEO_VIEW, 25_000.0)]
