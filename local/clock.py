"""Clock of message pump and timers: the time, and sleeping. Tests replace it by one that they control."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

from shared.domain.clocks import elapsed_seconds


class Clock(Protocol):
    """Clock of the host."""

    def now(self) -> float:
        """Return seconds since the epoch."""
        ...

    def elapsed(self) -> float:
        """Return monotonic seconds since an arbitrary moment."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return when `seconds` have passed on this clock."""
        ...


class SystemClock:
    """Clock of the machine."""

    def now(self) -> float:
        return time.time()

    def elapsed(self) -> float:
        return elapsed_seconds()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
