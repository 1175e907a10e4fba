"""Timer triggers on a manual clock: schedules, overlap, failures, stopping."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import azure.functions as func
import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.host import LocalHost
from local.invocation import UnsupportedFunction
from local.timers import next_tick
from tests.local.bus import FakeBus
from tests.local.clock import ManualClock, settle

NOON = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC).timestamp()


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


# ---- schedules


@pytest.mark.parametrize(
    ("schedule", "following"),
    [
        ("*/30 * * * * *", "2026-11-20T12:00:30"),
        ("0 */5 * * * *", "2026-11-20T12:05:00"),
        ("15 0 3 * * *", "2026-11-21T03:00:15"),
        ("0 0 12 * * MON-FRI", "2026-11-23T12:00:00"),
        ("0 0 0 13 * FRI", "2027-08-13T00:00:00"),
        ("0 0 0 1 JAN *", "2027-01-01T00:00:00"),
        ("0 0 0 29 2 *", "2028-02-29T00:00:00"),
    ],
)
def test_next_tick_follows_the_schedule(schedule: str, following: str) -> None:
    assert next_tick(schedule, NOON) == at(following)


@given(st.floats(0, 4_000_000_000), st.sampled_from(["*/30 * * * * *", "0 0 3 * * *", "7 * * * * *"]))
def test_the_next_tick_is_always_later(after: float, schedule: str) -> None:
    assert next_tick(schedule, after) > after


@pytest.mark.parametrize(
    ("schedule", "reason"),
    [
        ("*/5 * * * *", "has six fields"),
        ("", "has six fields"),
        ("00:00:30", "has six fields"),
        ("61 * * * * *", "Bad second"),
        ("0 0 0 30 2 *", "Bad day"),
    ],
)
def test_a_schedule_that_is_not_ncrontab_is_refused(schedule: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"is not NCRONTAB.* {reason}"):
        next_tick(schedule, NOON)


# ---- the loop


class Ticks:
    """A function that records its runs; waits while `held`, fails while `failing`."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.at: list[float] = []
        self.past_due: list[bool] = []
        self.running = self.most = 0
        self.free = asyncio.Event()
        self.free.set()
        self.failing = False

    async def tick(self, timer: func.TimerRequest) -> None:
        self.at.append(self.clock.now() - NOON)
        self.past_due.append(timer.past_due)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.free.wait()
        finally:
            self.running -= 1
        if self.failing:
            raise RuntimeError("on purpose")


@pytest.fixture
async def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
async def ticks(clock: ManualClock) -> Ticks:
    return Ticks(clock)


def app_with(function: Callable[..., Any], schedule: str) -> func.FunctionApp:
    app = func.FunctionApp()
    app.timer_trigger(arg_name="timer", schedule=schedule)(function)
    return app


@asynccontextmanager
async def running(ticks: Ticks, schedule: str) -> AsyncIterator[LocalHost]:
    host = LocalHost(app_with(ticks.tick, schedule), FakeBus(), {}, clock=ticks.clock)
    await host.start(port=0)
    await settle()
    yield host
    await host.stop(grace_seconds=0)


async def test_timer_runs_on_its_schedule(ticks: Ticks, clock: ManualClock) -> None:
    async with running(ticks, "*/30 * * * * *"):
        await clock.advance(95)
    assert ticks.at == [30, 60, 90]
    assert ticks.past_due == [False] * 3


async def test_a_rare_timer_is_on_time(ticks: Ticks, clock: ManualClock) -> None:
    async with running(ticks, "0 0 3 * * *"):
        await clock.advance(86_400)
    assert ticks.at == [15 * 3_600]


async def test_one_run_makes_up_for_ticks_missed_during_a_long_run(ticks: Ticks, clock: ManualClock) -> None:
    async with running(ticks, "*/30 * * * * *"):
        ticks.free.clear()
        await clock.advance(130)
        assert ticks.at == [30]
        ticks.free.set()
        await clock.advance(50)
    assert ticks.at == [30, 130, 150, 180]
    assert ticks.past_due == [False, True, False, False]
    assert ticks.most == 1


async def test_failure_is_logged_and_the_next_tick_still_runs(
    ticks: Ticks, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(ticks, "*/30 * * * * *"):
        ticks.failing = True
        await clock.advance(31)
        ticks.failing = False
        await clock.advance(30)
    assert ticks.at == [30, 60]
    assert caplog.text.count("function tick failed") == 1


async def test_a_timer_run_on_request_never_overlaps_another_run(ticks: Ticks, clock: ManualClock) -> None:
    async with running(ticks, "*/30 * * * * *") as host:
        ticks.free.clear()
        by_hand = [asyncio.create_task(host.run_timer("tick")) for _ in range(2)]
        await clock.advance(30)
        assert ticks.running == 1
        ticks.free.set()
        await asyncio.gather(*by_hand)
        await settle()
        assert len(ticks.at) == 3
        assert ticks.most == 1
        ticks.failing = True
        with pytest.raises(RuntimeError, match="on purpose"):
            await host.run_timer("tick")
        with pytest.raises(KeyError, match="no timer function"):
            await host.run_timer("tock")


async def test_timer_receives_its_schedule_status(ticks: Ticks, clock: ManualClock) -> None:
    told: list[dict[str, str]] = []

    async def tick(timer: func.TimerRequest) -> None:
        told.append(timer.schedule_status)

    ticks.tick = tick  # type: ignore[method-assign]
    async with running(ticks, "*/30 * * * * *"):
        await clock.advance(60)
    assert [status["Last"] for status in told] == ["1970-01-01T00:00:00+00:00", "2026-11-20T12:00:30+00:00"]
    assert [status["Next"] for status in told] == ["2026-11-20T12:01:00+00:00", "2026-11-20T12:01:30+00:00"]


async def test_stopping_finishes_a_run(ticks: Ticks, clock: ManualClock) -> None:
    async with running(ticks, "*/30 * * * * *") as host:
        ticks.free.clear()
        await clock.advance(30)
        assert ticks.running == 1
        stopping = asyncio.create_task(host.stop(grace_seconds=30))
        await settle()
        assert not stopping.done()
        ticks.free.set()
        await stopping
        await clock.advance(300)
    assert ticks.at == [30]


async def test_stopping_cancels_a_run_that_exceeds_the_grace_period(ticks: Ticks, clock: ManualClock) -> None:
    async with running(ticks, "*/30 * * * * *") as host:
        ticks.free.clear()
        await clock.advance(30)
        await host.stop(grace_seconds=0.01)
        assert ticks.running == 0


def test_bad_schedule_is_refused_with_the_name_of_the_function() -> None:
    async def broken(timer: func.TimerRequest) -> None:
        pass

    with pytest.raises(UnsupportedFunction, match=r"function broken: schedule '\* \* \*' is not NCRONTAB"):
        LocalHost(app_with(broken, "* * *"), FakeBus(), {})
