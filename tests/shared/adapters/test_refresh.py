from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest

from shared.adapters.refresh import Refresher
from shared.observability.metrics import Telemetry


class Source:
    """A refreshable source: `held` is the last value read, and a gate can hold a read."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.written = 0
        self.held = 0
        self.reads = 0
        self.fails = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.telemetry = Telemetry()
        self.refresher = Refresher("source", self.pull, 0.01, self.clock, self.telemetry)

    def clock(self) -> float:
        self.now += 0.001
        return self.now

    async def pull(self) -> None:
        self.reads += 1
        if self.fails:
            raise ConnectionError("secret-in-the-message")
        value = self.written
        await self.gate.wait()
        self.held = value


async def eventually(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not happened():  # noqa: ASYNC110 - only looking tells
            await asyncio.sleep(0.005)


async def test_a_refresh_after_a_write_sees_it_even_while_an_older_one_runs() -> None:
    source = Source()
    source.gate.clear()
    under_way = asyncio.create_task(source.refresher.refresh())
    await asyncio.sleep(0)
    source.written = 1
    asked = asyncio.create_task(source.refresher.refresh())
    await asyncio.sleep(0)
    source.gate.set()
    assert await under_way
    assert await asked
    assert source.held == 1


async def test_waiting_callers_share_one_run() -> None:
    source = Source()
    source.gate.clear()
    waiting = [asyncio.create_task(source.refresher.refresh()) for _ in range(10)]
    await asyncio.sleep(0)
    source.gate.set()
    assert all(await asyncio.gather(*waiting))
    assert source.reads == 2  # the running one, and one for all later callers


async def test_age_counts_from_the_start_of_the_read() -> None:
    source = Source()
    source.gate.clear()
    before = source.now
    refreshing = asyncio.create_task(source.refresher.refresh())
    await asyncio.sleep(0)
    source.now += 10
    source.gate.set()
    await refreshing
    assert source.refresher.refreshed_at is not None
    assert source.refresher.refreshed_at - before < 1


async def test_failure_is_counted_and_logged_once_without_its_text(
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = Source()
    source.fails = True
    with caplog.at_level(logging.DEBUG):
        assert not await source.refresher.refresh()
        assert not await source.refresher.refresh()
    assert source.telemetry.counters["refresh_failures", ("source",)] == 2
    assert len(caplog.records) == 1
    assert "secret-in-the-message" not in caplog.text
    assert source.refresher.refreshed_at is None
    source.fails = False
    assert await source.refresher.refresh()


async def test_fresh_source_is_not_read_again() -> None:
    source = Source()
    await source.refresher.refresh()
    source.now += 29
    await source.refresher.ensure_fresh(30, 1.0)
    assert source.reads == 1
    source.now += 2
    await source.refresher.ensure_fresh(30, 1.0)
    assert source.reads == 2


async def test_caller_waits_for_a_stale_source_at_most_its_budget() -> None:
    source = Source()
    source.gate.clear()
    await source.refresher.ensure_fresh(30, 0.01)
    assert source.telemetry.counters["refresh_failures", ("source",)] == 1


async def test_timed_out_caller_does_not_stop_its_refresh() -> None:
    source = Source()
    source.gate.clear()
    source.written = 1
    for _ in range(3):
        source.now += 60
        await source.refresher.ensure_fresh(30, 0.01)
    source.gate.set()
    await eventually(lambda: source.held == 1)
    assert source.reads == 1, "those who wait ask for one read between them"


async def test_stopping_also_ends_a_requested_refresh() -> None:
    source = Source()
    source.gate.clear()
    await source.refresher.ensure_fresh(30, 0.01)
    await source.refresher.stop()
    source.gate.set()
    await asyncio.sleep(0)
    assert source.refresher.refreshed_at is None


async def test_loop_keeps_reading_until_stopped_and_survives_failures() -> None:
    source = Source()
    source.refresher.start()
    source.refresher.start()
    source.fails = True
    await eventually(lambda: source.reads >= 2)
    source.fails = False
    source.written = 7
    await eventually(lambda: source.held == 7)
    await source.refresher.stop()
    reads = source.reads
    await asyncio.sleep(0.05)
    assert source.reads == reads
