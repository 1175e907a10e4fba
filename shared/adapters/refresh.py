"""Refreshes data in memory: a background loop, and a catch-up for a process that slept.

A request waits for a refresh only when the data is too old, as on a frozen instance that wakes up, and then only within
a budget.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

from shared.adapters.reporting import reason_of
from shared.observability.metrics import Telemetry

Action = Callable[[], Awaitable[None]]

ATTEMPT_SECONDS = 1.0
"""Least time between two attempts that requests start while a source is down."""


class Refresher:
    """Runs `action` every `interval` seconds, or 5 to 15 % earlier, so that instances do not run in step.

    After a failure the first pause is `first_pause` seconds (default: two intervals). It doubles with every further
    failure up to `longest_pause` (default: 30 s, or an interval if that is longer). `refreshed_at`: the start of the
    last successful action by `clock`, None before the first; data written before it is in memory. `clock` must be
    monotonic, in seconds: with the time of day, ages would be wrong after the clock is set.
    """

    def __init__(
        self,
        name: str,
        action: Action,
        interval: float,
        clock: Callable[[], float],
        telemetry: Telemetry,
        *,
        first_pause: float | None = None,
        longest_pause: float | None = None,
    ) -> None:
        self._name = name
        self._action = action
        self._interval = interval
        self._first_pause = 2 * interval if first_pause is None else first_pause
        self._longest_pause = max(30.0, interval) if longest_pause is None else longest_pause
        self._clock = clock
        self._telemetry = telemetry
        self._lock = asyncio.Lock()
        self._loop: asyncio.Task[None] | None = None
        self._asked: asyncio.Task[bool] | None = None
        self._failures = 0
        self._tried_at = float("-inf")
        self.refreshed_at: float | None = None
        telemetry.watch("refresh_age_seconds", self.age, name)

    def age(self) -> float | None:
        """Return the seconds since `refreshed_at`, None before the first. A negative age means a broken clock: it is
        counted and returned as 0, and the next request refreshes."""
        if self.refreshed_at is None:
            return None
        age = self._clock() - self.refreshed_at
        if age < 0:
            self._telemetry.count("negative_ages", self._name)
            return 0.0
        return age

    def start(self) -> None:
        """Start the loop on the running event loop. A second call does nothing."""
        if self._loop is None:
            self._loop = asyncio.create_task(self._run(), name=f"refresh-{self._name}")

    async def stop(self) -> None:
        """Stop the loop, and refreshes that requests started."""
        tasks: list[asyncio.Task[Any]] = [task for task in (self._loop, self._asked) if task is not None]
        self._loop = self._asked = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def refresh(self) -> bool:
        """Run the action: now, or after the current run, whose reads can predate this call.

        Callers that wait together share one run. Returns True when it succeeded; failures are counted.
        """
        asked_at = self._clock()
        async with self._lock:
            if self.refreshed_at is not None and self.refreshed_at > asked_at:
                return True
            began_at = self._tried_at = self._clock()
            try:
                await self._action()
            except Exception as error:
                self._failures += 1
                self._telemetry.count("refresh_failures", self._name)
                self._telemetry.dependencies.failed(self._name, reason_of(error))
                return False
            self._failures = 0
            self._telemetry.dependencies.works(self._name)
            self.refreshed_at = began_at
            return True

    async def ensure_fresh(self, age_seconds: float, budget_seconds: float) -> None:
        """Return at once when the last refresh is at most `age_seconds` old; else wait for one, within the budget.

        The refresh itself goes on after the budget: if it were cancelled, changes it had read could be lost.
        """
        now = self._clock()
        if self.refreshed_at is not None and 0 <= now - self.refreshed_at <= age_seconds:
            return
        if 0 <= now - self._tried_at < ATTEMPT_SECONDS:
            return
        if self._asked is None or self._asked.done():
            self._asked = asyncio.create_task(self.refresh(), name=f"refresh-{self._name}-asked")
        done, _ = await asyncio.wait({self._asked}, timeout=budget_seconds)
        if not done:
            self._telemetry.count("refresh_failures", self._name)

    async def _run(self) -> None:
        while True:
            pause = self._interval
            if self._failures:
                pause = min(self._first_pause * 2 ** min(self._failures - 1, 10), self._longest_pause)
            await asyncio.sleep(pause * random.uniform(0.85, 0.95))  # noqa: S311 (jitter, not a secret)
            await self.refresh()
