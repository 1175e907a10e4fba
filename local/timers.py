"""Timer triggers: schedules in NCRONTAB (six fields, UTC) or as an interval (`hh:mm:ss`), and the loop of each timer.

A timer never runs twice at once. Ticks missed while it ran are made up for by one run, marked past due. A failed run
is logged and the next tick goes on. Nothing is remembered across restarts.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from cronsim import CronSim, CronSimError

from local.clock import Clock
from local.host_json import parse_timespan
from local.invocation import HostedFunction, Invoker, UnsupportedFunction, timer_request

PAST_DUE_SECONDS = 1.0
LONGEST_SLEEP_SECONDS = 60.0  # then look at the clock again: it may have been set, or the machine may have slept
_FIELD = re.compile(r"[0-9A-Za-z*,/-]+", re.ASCII)
_NAMES = "JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC|SUN|MON|TUE|WED|THU|FRI|SAT"
_OTHER_WORD = re.compile(rf"(?<![A-Z])(?!(?:{_NAMES})(?![A-Z]))[A-Z]+")


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a timer runs: every `interval_seconds`, or as the NCRONTAB `expression` says."""

    expression: str
    interval_seconds: float | None = None

    def following(self, after: float) -> float:
        """The first time after `after` (seconds since the epoch)."""
        if self.interval_seconds is not None:
            return after + self.interval_seconds
        return next(_occurrences(self.expression, after)).timestamp()


def parse_schedule(text: str) -> Schedule:
    """A timer trigger's schedule. Raises ValueError with what would be right."""
    if ":" in text:
        seconds = parse_timespan(text)
        if seconds <= 0:
            raise ValueError(f"{text!r}: the interval must be longer than nothing")
        return Schedule(text, seconds)
    fields = text.split()
    if len(fields) != 6:
        raise ValueError(f"{text!r} has {len(fields)} fields; NCRONTAB has six: second minute hour day month weekday")
    if not all(_FIELD.fullmatch(part) for part in fields) or _OTHER_WORD.search(text.upper()):
        raise ValueError(f"{text!r} uses what NCRONTAB does not know; allowed are numbers, names, * , - and /")
    try:
        next(_occurrences(text, 0.0))
    except CronSimError as error:
        raise ValueError(f"{text!r}: {error}") from None
    except StopIteration:
        raise ValueError(f"{text!r} never comes") from None
    return Schedule(text)


def _occurrences(expression: str, after: float) -> CronSim:
    occurrences = CronSim(expression, datetime.fromtimestamp(after, UTC))
    occurrences.day_and = True  # NCRONTAB: day and weekday must both match; Debian's cron takes either
    return occurrences


class Timer:
    """One timer-triggered function."""

    def __init__(self, function: HostedFunction, invoker: Invoker, clock: Clock) -> None:
        try:
            self._schedule = parse_schedule(str(function.trigger["schedule"]))
        except ValueError as error:
            raise UnsupportedFunction(f"function {function.name}: schedule {error}") from None
        self.function = function
        self._run_on_startup = function.trigger.get("runOnStartup") is True
        self._invoker = invoker
        self._clock = clock
        self._running = asyncio.Lock()
        self._last: float | None = None
        self._loop_task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to tick."""
        self._loop_task = asyncio.create_task(self._tick(), name=f"timer {self.function.name}")

    async def run(self, past_due: bool = False) -> None:
        """Run now, after a run that is under way; raises what the function raises."""
        async with self._running:
            now = self._clock.now()
            request = timer_request(past_due, self._last, self._schedule.following(now), now)
            self._last = now
            await self._invoker.trigger(self.function, request)

    async def stop(self, grace_seconds: float) -> None:
        """No more ticks; a run under way may finish within the grace, then it is cancelled."""
        task, self._loop_task = self._loop_task, None
        if task is None:
            return
        if self._running.locked():
            await asyncio.wait([task, released := asyncio.create_task(self._released())], timeout=grace_seconds,
                               return_when=asyncio.FIRST_COMPLETED)  # fmt: skip
            released.cancel()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def _released(self) -> None:
        async with self._running:
            pass

    async def _tick(self) -> None:
        if self._run_on_startup:
            await self._run_safely(past_due=False)
        due = self._schedule.following(self._clock.now())
        while True:
            await self._sleep_until(due)
            await self._run_safely(past_due=self._clock.now() - due > PAST_DUE_SECONDS)
            due = self._schedule.following(due)
            now = self._clock.now()
            if due <= now:
                await self._run_safely(past_due=True)
                due = self._schedule.following(now)

    async def _run_safely(self, past_due: bool) -> None:
        try:
            await self.run(past_due)
        except Exception as error:
            self._invoker.failed(self.function, error)

    async def _sleep_until(self, due: float) -> None:
        while (left := due - self._clock.now()) > 0:
            await self._clock.sleep(min(left, LONGEST_SLEEP_SECONDS))
