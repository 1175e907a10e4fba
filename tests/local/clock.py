"""Manual clock: time passes only when a test moves it; sleepers wake in order."""

from __future__ import annotations

import asyncio
import heapq
from itertools import count

SETTLE_ROUNDS = 25


async def settle() -> None:
    """Run every task that can run without time passing."""
    for _ in range(SETTLE_ROUNDS):
        await asyncio.sleep(0)


class ManualClock:
    """Implements the host's `Clock`."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self._now = now
        self._order = count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self._now

    def elapsed(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        waking = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._order), waking))
        await waking

    async def advance(self, seconds: float) -> None:
        """Advance time and wake each sleeper at its time."""
        await settle()
        end = self._now + seconds
        while self._sleepers and self._sleepers[0][0] <= end:
            self._now, _, waking = heapq.heappop(self._sleepers)
            if not waking.done():
                waking.set_result(None)
            await settle()
        self._now = end
        await settle()
