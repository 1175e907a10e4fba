"""Definition of a long view: the positive signal of demand, quality, user signals and the offline evaluation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LONG_VIEW_SECONDS = 18.0


def is_long_view(watch_ms: float, duration_seconds: float) -> bool:
    """Whether a view was long: the whole video, or 18 s of a longer one.

    This is the definition of the KuaiRand log; it agrees with 98 % of its 185,000 recorded flags. A video of unknown
    duration (≤ 0) needs 18 s.
    """
    needed = min(duration_seconds, LONG_VIEW_SECONDS) if duration_seconds > 0 else LONG_VIEW_SECONDS
    return watch_ms >= needed * 1000.0


def long_views(watch_ms: NDArray[Any], duration_seconds: NDArray[Any]) -> NDArray[np.bool_]:
    """Compute `is_long_view` for whole columns."""
    needed = np.where(duration_seconds > 0, np.minimum(duration_seconds, LONG_VIEW_SECONDS), LONG_VIEW_SECONDS)
    return np.asarray(watch_ms >= needed * 1000.0)


def watch_fraction(watch_ms: float, duration_seconds: float) -> float:
    """Return the share of a video that was watched, in [0, 1]; 0 if the duration is unknown."""
    return min(1.0, watch_ms / (duration_seconds * 1000.0)) if duration_seconds > 0 and watch_ms > 0 else 0.0
