"""Timer triggers: runs each timer's function by its schedule in NCRONTAB (six fields, UTC).

A timer never runs twice at once. After ticks were missed during a run, one run follows, marked past due. A failed run
is logged, and the next tick runs as usual. No state is kept across restarts.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime

from cronsim import CronSim, CronSimError

from local.clock import Clock
from local.invocation import HostedFunction, Invoker, UnsupportedFunction, timer_request

PAST_DUE_SECONDS = 1.0
LONGEST_SLEEP_SECONDS = 60.0  # then the clock is read again: it can have been set, or the machine can have slept


def next_tick(schedule: str, after: float) -> float:
    """Return the first tick after `after` (seconds since the epoch). Raises ValueError for an invalid schedule."""
    if len(schedule.split()) != 6:
        raise ValueError(f"{schedule!r} is not NCRONTAB, which has six fields: second minute hour day month weekday")
    try:
        ticks = CronSim(schedule, datetime.fromtimestamp(after, UTC))
    except CronSimError as error:
        raise ValueError(f"{schedule!r} is not NCRONTAB: {error}") from None
    ticks.day_and = True  # NCRONTAB: day and weekday must both match; Debian's cron takes either
    return next(ticks).timestamp()


class Timer:
    """One timer-triggered function."""

    def __init__(self, function: HostedFunction, invoker: Invoker, clock: Clock) -> None:
        self._schedule = str(function.trigger["schedule"])
        try:
            next_tick(self._schedule, clock.now())
        except ValueError as error:
            raise UnsupportedFunction(f"function {function.name}: schedule {error}") from None
        self.function = function
        self._invoker = invoker
        self._clock = clock
        self._running = asyncio.Lock()
        self._last: float | None = None
        self._loop_task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the schedule."""
        self._loop_task = asyncio.create_task(self._tick(), name=f"timer {self.function.name}")

    async def run(self, past_due: bool = False) -> None:
        """Run now, after a current run has ended. Raises the function's errors."""
        async with self._running:
            now = self._clock.now()
            request = timer_request(past_due, self._last, next_tick(self._schedule, now), now)
            self._last = now
            await self._invoker.trigger(self.function, request)

    async def stop(self, grace_seconds: float) -> None:
        """Start no more runs. A current one can finish within the grace, then it is cancelled."""
        task, self._loop_task = self._loop_task, None
        if task is None:
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._running.acquire(), grace_seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def _tick(self) -> None:
        due = next_tick(self._schedule, self._clock.now())
        while True:
            if not await self._sleep_until(due):
                due = next_tick(self._schedule, self._clock.now())
                continue
            await self._run_safely(past_due=self._clock.now() - due > PAST_DUE_SECONDS)
            due = next_tick(self._schedule, due)
            now = self._clock.now()
            if due <= now:
                await self._run_safely(past_due=True)
                due = next_tick(self._schedule, now)

    async def _run_safely(self, past_due: bool) -> None:
        try:
            await self.run(past_due)
        except Exception as error:
            self._invoker.failed(self.function, error)

    async def _sleep_until(self, due: float) -> bool:
        """Sleep until `due`. Return False when the clock was set back: the next tick must be computed again."""
        now = self._clock.now()
        while (left := due - now) > 0:
            await self._clock.sleep(min(left, LONGEST_SLEEP_SECONDS))
            before, now = now, self._clock.now()
            if now < before:
                return False
        return True
