import numpy as np
import pytest

from ranking.watching import counted_watch_ms, counted_watch_time, is_long_view, long_views, watch_fraction


@pytest.mark.parametrize(
    ("watch_ms", "duration", "expected"),
    [(9_999, 10.0, False), (10_000, 10.0, True), (18_000, 300.0, True), (17_999, 300.0, False), (17_000, 0.0, False)],
)
def test_a_view_is_long_when_watched_whole_or_for_18_seconds(watch_ms: float, duration: float, expected: bool) -> None:
    assert is_long_view(watch_ms, duration) is expected
    assert long_views(np.array([watch_ms]), np.array([duration])).tolist() == [expected]


def test_watched_share_is_between_zero_and_one() -> None:
    assert [watch_fraction(5_000, 10.0), watch_fraction(99_000, 10.0), watch_fraction(5, 0.0)] == [0.5, 1.0, 0.0]


@pytest.mark.parametrize(
    ("watch_ms", "duration", "expected"),
    [
        (28_800_000, 50.0, 150_000),
        (130_000, 50.0, 130_000),
        (45_000, 8.0, 45_000),
        (300_000, 8.0, 60_000),
        (28_800_000, 0.0, 600_000),
        (None, 50.0, 0),
        (0, 50.0, 0),
    ],
)
def test_watch_time_counts_up_to_three_video_lengths(watch_ms: float | None, duration: float, expected: int) -> None:
    assert counted_watch_time(watch_ms, duration) == expected
    assert counted_watch_ms(np.array([watch_ms or 0.0]), np.array([duration])).tolist() == [expected]
