"""Runs several jobs in one timer function, each with its own period.

With zone redundancy, every timer function keeps two billed instances; sharing one saves that. Jobs run concurrently:
none waits for another, and a failure ends only its own job.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

LOOK_SECONDS = 5.0
"""Period at which a call looks for due jobs while a long one runs."""


@dataclass(eq=False, slots=True)
class DueJob:
    """A job and its period in `seconds`, counted by the time of day. With 0 it runs once at every call."""

    run: Callable[[], Awaitable[object]]
    seconds: int = 0
    _last: int | None = field(default=None, init=False)

    def due(self, now: float) -> bool:
        """Whether a period has begun since the last call. True at the first call."""
        period = int(now // self.seconds) if self.seconds else None
        was, self._last = self._last, period
        return period is None or period != was


class DueJobs:
    """Runs jobs when they are due. `clock` returns seconds since the epoch.

    Only this process knows when a job last ran. After a restart all are due, so a job must do no harm when it runs too
    often, or in two processes at once.
    """

    def __init__(self, jobs: Sequence[DueJob], clock: Callable[[], float], look_seconds: float = LOOK_SECONDS) -> None:
        self._jobs = jobs
        self._clock = clock
        self._look_seconds = look_seconds

    async def run(self) -> None:
        """Run the due jobs. While one still runs, others that become due run again, so a long job delays no short one.

        After all have ended, raises the failure of a job, or an `ExceptionGroup` of several.
        """
        failures: list[Exception] = []
        running: set[DueJob] = set()

        async def safely(job: DueJob) -> None:
            try:
                await job.run()
            except Exception as error:
                failures.append(error)
            finally:
                running.discard(job)

        async with asyncio.TaskGroup() as group:

            def begin(jobs: Sequence[DueJob]) -> set[asyncio.Task[None]]:
                now = self._clock()
                due = [job for job in jobs if job not in running and job.due(now)]
                running.update(due)
                return {group.create_task(safely(job)) for job in due}

            pending, periodic = begin(self._jobs), [job for job in self._jobs if job.seconds]
            while pending:
                _, pending = await asyncio.wait(pending, timeout=self._look_seconds)
                if pending:
                    begin(periodic)
        if len(failures) > 1:
            raise ExceptionGroup("several jobs failed", failures)
        if failures:
            raise failures[0]
