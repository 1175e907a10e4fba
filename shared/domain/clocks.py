"""The time that has passed. The time of day (`time.time`) says when; somebody may set it, so no age may rest on it."""

from __future__ import annotations

import time

_SLEEPING_TOO = getattr(time, "CLOCK_BOOTTIME", None)


def elapsed_seconds() -> float:
    """Seconds since some moment of the past. Never goes back; on Linux also counts while the machine sleeps."""
    return time.monotonic() if _SLEEPING_TOO is None else time.clock_gettime(_SLEEPING_TOO)
