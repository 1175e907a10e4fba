from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.daily_counts import COUNTERS, MAX_BYTES, MOST, DailyCounts

DAY = 20_000
videos = st.integers(0, 2**32 - 1)


def counted(added: list[tuple[int, int]]) -> DailyCounts:
    counts = DailyCounts()
    for day, video in added:
        counts = counts.with_counted(day, video)
    return counts


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(DAY - 2, DAY), videos | st.integers(0, 3)), max_size=80))
def test_a_video_is_never_counted_less_than_it_was_on_the_newest_day(added: list[tuple[int, int]]) -> None:
    counts = counted(added)
    newest = max((day for day, _ in added), default=0)
    for video, times in Counter(video for day, video in added if day == newest).items():
        assert counts.of(newest, video) >= min(MOST, times)
    assert DailyCounts.unpack(counts.pack()) == counts
    assert len(counts.pack()) in (0, MAX_BYTES)


def test_videos_of_different_counters_do_not_mix() -> None:
    counts = counted([(DAY, 4), (DAY, 4), (DAY, 5)])
    assert [counts.of(DAY, video) for video in (4, 5, 6, 4 + COUNTERS)] == [2, 1, 0, 2]


def test_new_day_starts_at_zero_and_an_old_one_does_not_return() -> None:
    counts = counted([(DAY, 4)] * 20)
    assert counts.of(DAY, 4) == MOST
    assert counts.of(DAY + 1, 4) == 0
    newer = counts.with_counted(DAY + 1, 5)
    assert (newer.of(DAY + 1, 4), newer.of(DAY + 1, 5)) == (0, 1)
    late = newer.with_counted(DAY, 5)
    assert (late.day, late.of(DAY, 5), late.of(DAY + 1, 5)) == (DAY + 1, 2, 2)


def test_future_day_becomes_today() -> None:
    ahead = counted([(DAY + 90, 4)])
    assert ahead.until(DAY).of(DAY, 4) == 1
    assert ahead.until(DAY).of(DAY + 1, 4) == 0
    assert counted([(DAY, 4)]).until(DAY + 1) == counted([(DAY, 4)])


@pytest.mark.parametrize("length", [1, 4, MAX_BYTES - 1, MAX_BYTES + 1])
def test_bytes_of_another_length_are_refused(length: int) -> None:
    with pytest.raises(ValueError, match="daily counts"):
        DailyCounts.unpack(b"x" * length)
