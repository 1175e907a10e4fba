"""Definitions of a long view (the positive signal of demand, quality, user signals and the offline evaluation) and of
counted watch time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LONG_VIEW_SECONDS = 18.0
MOST_LOOPS = 3.0
MOST_OF_A_SHORT_VIDEO_SECONDS = 60.0
MOST_OF_UNKNOWN_LENGTH_SECONDS = 600.0


def is_long_view(watch_ms: float, duration_seconds: float) -> bool:
    """Tell whether a view was long: the whole video, or 18 s of a longer one.

    This is the definition of the KuaiRand log; it agrees with 98 % of its 185,000 recorded flags. A video of unknown
    duration (≤ 0) needs 18 s.
    """
    return watch_ms >= _needed_ms(duration_seconds)


def interest(watch_ms: float, duration_seconds: float) -> float:
    """Return how much interest a view shows, in [0, 1]: the time watched ÷ the time that a long view needs."""
    return min(1.0, max(0.0, watch_ms) / _needed_ms(duration_seconds))


def _needed_ms(duration_seconds: float) -> float:
    return (min(duration_seconds, LONG_VIEW_SECONDS) if duration_seconds > 0 else LONG_VIEW_SECONDS) * 1000.0


def long_views(watch_ms: NDArray[Any], duration_seconds: NDArray[Any]) -> NDArray[np.bool_]:
    """Compute `is_long_view` for whole columns."""
    needed = np.where(duration_seconds > 0, np.minimum(duration_seconds, LONG_VIEW_SECONDS), LONG_VIEW_SECONDS)
    return np.asarray(watch_ms >= needed * 1000.0)


def watch_fraction(watch_ms: float, duration_seconds: float) -> float:
    """Return the share of a video that was watched, in [0, 1]; 0 if the duration is unknown."""
    return min(1.0, watch_ms / (duration_seconds * 1000.0)) if duration_seconds > 0 and watch_ms > 0 else 0.0


def counted_watch_ms(watch_ms: NDArray[Any], duration_seconds: NDArray[Any]) -> NDArray[np.float64]:
    """Return the watch time that counts, for whole columns: at most three times the video's length, or a minute for a
    short video; ten minutes if the length is unknown (≤ 0).

    Videos loop, and people watch them again. But a phone left alone for hours must not dominate an average.
    """
    most = np.where(
        duration_seconds > 0,
        np.maximum(duration_seconds * MOST_LOOPS, MOST_OF_A_SHORT_VIDEO_SECONDS),
        MOST_OF_UNKNOWN_LENGTH_SECONDS,
    )
    return np.asarray(np.minimum(watch_ms, most * 1000.0), np.float64)


def counted_watch_time(watch_ms: float | None, duration_seconds: float) -> float:
    """Return `counted_watch_ms` of one view; 0 for an event without a watch time."""
    if not watch_ms or watch_ms <= 0:
        return 0.0
    loops = max(duration_seconds * MOST_LOOPS, MOST_OF_A_SHORT_VIDEO_SECONDS)
    return min(float(watch_ms), 1000.0 * (loops if duration_seconds > 0 else MOST_OF_UNKNOWN_LENGTH_SECONDS))
