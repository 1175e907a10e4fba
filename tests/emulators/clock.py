"""A clock that tests move by hand."""

from __future__ import annotations

import time


class MovableClock:
    """Wall time plus whatever was added to it. Time only moves forward."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time() + self._ahead

    def advance(self, seconds: float) -> None:
        """Let that many seconds pass at once."""
        if seconds < 0:
            raise ValueError("time only moves forward")
        self._ahead += seconds

    async def pass_by(self, seconds: float) -> None:
        """`advance` for those who await it."""
        self.advance(seconds)
