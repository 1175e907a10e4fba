"""Jobs that share a timer run at their own periods, independent of each other's failures."""

from __future__ import annotations

import asyncio

import pytest

from shared.adapters.due_jobs import DueJob, DueJobs


class World:
    """A clock, and jobs that record when they ran."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.ran: list[str] = []
        self.go_on = asyncio.Event()

    def job(self, name: str, seconds: int = 0, error: Exception | None = None) -> DueJob:
        async def run() -> None:
            self.ran.append(name)
            if error is not None:
                raise error

        return DueJob(run, seconds)

    def long_job(self) -> DueJob:
        async def run() -> None:
            self.ran.append("long")
            await self.go_on.wait()

        return DueJob(run)

    def jobs(self, *jobs: DueJob) -> DueJobs:
        return DueJobs(jobs, lambda: self.now, look_seconds=0.001)


async def test_each_job_runs_at_its_own_period() -> None:
    world = World()
    jobs = world.jobs(world.job("each"), world.job("half", 30), world.job("whole", 60))
    for _ in range(12):
        await jobs.run()
        world.now += 10
    assert {name: world.ran.count(name) for name in set(world.ran)} == {"each": 12, "half": 5, "whole": 3}


async def test_late_call_runs_a_missed_job_once() -> None:
    world = World()
    jobs = world.jobs(world.job("half", 30))
    await jobs.run()
    world.now += 3_600
    await jobs.run()
    await jobs.run()
    assert world.ran == ["half", "half"]


async def test_failing_job_stops_no_other_and_is_reported() -> None:
    world = World()
    jobs = world.jobs(world.job("bad", 0, ValueError("bad")), world.job("good"), world.job("later", 30))
    with pytest.raises(ValueError, match="bad"):
        await jobs.run()
    assert world.ran == ["bad", "good", "later"]
    worse = world.jobs(world.job("one", 0, ValueError("one")), world.job("other", 0, KeyError("other")))
    with pytest.raises(ExceptionGroup) as found:
        await worse.run()
    assert len(found.value.exceptions) == 2


async def test_long_job_does_not_delay_a_short_one() -> None:
    world = World()
    call = asyncio.create_task(world.jobs(world.long_job(), world.job("each"), world.job("half", 30)).run())
    async with asyncio.timeout(60):
        for wanted in (1, 2, 3):
            while world.ran.count("half") < wanted:  # noqa: ASYNC110 - only looking tells
                await asyncio.sleep(0.001)
            world.now += 30
    assert not call.done()
    world.go_on.set()
    await call
    assert world.ran.count("long") == world.ran.count("each") == 1, "what has no period waits for the next call"


async def test_cancelled_call_cancels_its_jobs() -> None:
    world = World()
    call = asyncio.create_task(world.jobs(world.long_job()).run())
    while not world.ran:  # noqa: ASYNC110
        await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    world.go_on.set()
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == 1
