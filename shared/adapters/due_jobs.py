"""Several jobs of one timer, each at its own period: with zone redundancy every timer has two instances that are paid.

The jobs run side by side. None waits for another, and the failure of one ends no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

LOOK_SECONDS = 5.0
"""While a long job works, how often a call looks for others whose time has come."""


@dataclass(eq=False, slots=True)
class DueJob:
    """`seconds` is the period by the time of day; with 0 the job runs once at every call, however long that takes."""

    run: Callable[[], Awaitable[object]]
    seconds: int = 0
    _last: int | None = field(default=None, init=False)

    def due(self, now: float) -> bool:
        """Whether a period has begun since this was last asked. The first time is always one."""
        period = int(now // self.seconds) if self.seconds else None
        was, self._last = self._last, period
        return period is None or period != was


class DueJobs:
    """`clock` gives seconds since the epoch. What ran last is known to this process alone: after a restart all are
    due, so each job must do no harm when it runs too often, or twice at once in two processes."""

    def __init__(self, jobs: Sequence[DueJob], clock: Callable[[], float], look_seconds: float = LOOK_SECONDS) -> None:
        self._jobs = jobs
        self._clock = clock
        self._look_seconds = look_seconds

    async def run(self) -> None:
        """Run what is due. While one of these still works, jobs that become due again are run again, so a long job
        holds up no short one. Raises what failed after all have ended; an `ExceptionGroup` of several failures."""
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
