"""Monotonic clock for ages and time-outs. The time of day (`time.time`) can be set, so no age must use it."""

from __future__ import annotations

import time

_SLEEPING_TOO = getattr(time, "CLOCK_BOOTTIME", None)


def elapsed_seconds() -> float:
    """Return seconds since an arbitrary moment. Never goes back; on Linux it also counts while the machine sleeps."""
    return time.monotonic() if _SLEEPING_TOO is None else time.clock_gettime(_SLEEPING_TOO)
