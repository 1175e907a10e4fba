"""Clocks that tests move by hand."""

from __future__ import annotations

import time


class MovableClock:
    """The machine's time plus an offset. Time only moves forward, but the clock can be set."""

    def __init__(self) -> None:
        self._ahead = 0.0
        self._set_by = 0.0

    def now(self) -> float:
        """Return seconds since the epoch by this clock."""
        return time.time() + self._ahead + self._set_by

    def elapsed(self) -> float:
        """Return seconds since a fixed moment."""
        return time.monotonic() + self._ahead

    def step(self, seconds: float) -> None:
        """Set the clock forward, or back for a negative `seconds`. No time passes."""
        self._set_by += seconds

    def advance(self, seconds: float) -> None:
        """Let that many seconds pass at once."""
        if seconds < 0:
            raise ValueError("time only moves forward")
        self._ahead += seconds

    async def pass_by(self, seconds: float) -> None:
        """`advance` for those who await it."""
        self.advance(seconds)
