"""What counts as a long view: the one positive signal that every room means when it says a video was watched."""

from __future__ import annotations

LONG_VIEW_MS = 18_000.0


def is_long_view(watch_ms: float, duration_ms: float) -> bool:
    """Watched to the end, or for 18 s of a longer video (the definition of the KuaiRand logs).

    With an unknown duration (0) only the 18 s count.
    """
    return watch_ms >= (min(duration_ms, LONG_VIEW_MS) if duration_ms > 0 else LONG_VIEW_MS)


def watch_fraction(watch_ms: float, duration_ms: float) -> float:
    """The watched share of the video in [0, 1]; with an unknown duration the share of 18 s."""
    return min(1.0, watch_ms / (duration_ms if duration_ms > 0 else LONG_VIEW_MS))
