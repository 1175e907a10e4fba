"""The clock of message pump and timers: seconds since the epoch, and sleeping. Tests replace it by one they move."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

from shared.domain.clocks import elapsed_seconds


class Clock(Protocol):
    """Clock of the host."""

    def now(self) -> float:
        """Seconds since the epoch."""
        ...

    def elapsed(self) -> float:
        """Seconds since some moment; never goes back, whatever is done to the time of day."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return when `seconds` have passed on this clock."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        return time.time()

    def elapsed(self) -> float:
        return elapsed_seconds()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
