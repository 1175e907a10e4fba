"""Drainers share the sessions, keep drained ones until the run ends, and stop in time."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest

from events import session_drainer
from events.session_drainer import READY_SECONDS, Drained, Run, SessionDrainer
from shared.adapters.blobs.port import BlobsUnavailable
from shared.adapters.bus.port import BusUnavailable
from shared.observability.metrics import Telemetry


@dataclass(eq=False)
class Session:
    bus: Sessions
    session_id: str

    async def close(self) -> None:
        self.bus.owned.discard(self.session_id)


@dataclass
class Sessions:
    """A number of portions waits in each session; a session has one owner at a time."""

    portions: Counter[str]
    owned: set[str] = field(default_factory=set)
    owned_at_most: int = 0

    async def next_session(self, subscription: str, wait_seconds: float) -> Session | None:
        for id, left in self.portions.items():
            if left and id not in self.owned:
                self.owned.add(id)
                self.owned_at_most = max(self.owned_at_most, len(self.owned))
                return Session(self, id)
        return None


@dataclass
class Work:
    """Takes one portion per visit; `arriving` new ones come during each."""

    bus: Sessions
    arriving: int = 0
    visits: list[str] = field(default_factory=list)

    async def drain(self, session: Any, run: Run) -> Drained:
        assert session.session_id in self.bus.owned
        self.visits.append(session.session_id)
        await asyncio.sleep(0)
        self.bus.portions[session.session_id] += self.arriving - 1
        return Drained(1, to_its_end=self.bus.portions[session.session_id] <= self.arriving)


async def always_ready() -> None:
    pass


def drainer(
    bus: Any, work: Work, *, run_seconds: float = 60.0, elapsed: Any = None, ready: Any = always_ready
) -> SessionDrainer:
    return SessionDrainer(
        bus=bus,
        ready=ready,
        drain=work.drain,
        telemetry=Telemetry(),
        run_seconds=run_seconds,
        sessions_at_once=2,
        elapsed=elapsed or (lambda: 0.0),
    )


async def test_busy_session_continues_and_a_drained_one_waits_for_the_next_run() -> None:
    bus = Sessions(Counter(busy=1, quiet=1))
    work = Work(bus, arriving=1)
    assert await drainer(bus, work).run() == 2
    assert sorted(work.visits) == ["busy", "quiet"], "what comes in meanwhile waits for the next run"
    assert not bus.owned, "the run over, everything is free"
    work.arriving, bus.portions["busy"], work.visits = 0, 4, []
    await drainer(bus, work).run()
    assert Counter(work.visits) == Counter(busy=4, quiet=1)


async def test_several_drainers_share_the_sessions_without_overlap() -> None:
    bus = Sessions(Counter({f"tenant-{n}": 3 for n in range(40)}))
    works = [Work(bus) for _ in range(4)]
    added = await asyncio.gather(*(drainer(bus, work).run() for work in works))
    assert sum(added) == 120
    assert all(added), "each has its share"
    assert not any(bus.portions.values())
    assert not bus.owned


async def test_sessions_held_after_draining_stay_below_the_connection_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session_drainer, "HELD_AT_MOST", 5)
    bus = Sessions(Counter({f"tenant-{n}": 1 for n in range(50)}))
    assert await drainer(bus, Work(bus)).run() == 50
    assert bus.owned_at_most <= 5 + 2


async def test_a_run_takes_no_session_after_its_time() -> None:
    now = 0.0

    class Slow(Work):
        async def drain(self, session: Any, run: Run) -> Drained:
            nonlocal now
            now += 4.0
            return await super().drain(session, run)

    bus = Sessions(Counter({f"tenant-{n}": 1 for n in range(50)}))
    await drainer(bus, Slow(bus), run_seconds=28.0, elapsed=lambda: now).run()
    assert 28.0 <= now <= 28.0 + 2 * 4.0


async def test_blob_health_is_checked_rarely_but_before_each_session_while_failing() -> None:
    now, asked, down = 0.0, 0, False

    async def ready() -> None:
        nonlocal asked
        asked += 1
        if down:
            raise BlobsUnavailable("down")

    async def drain(session: Any, run: Run) -> Drained:
        if down:
            raise BlobsUnavailable("down")
        return await work.drain(session, run)

    bus = Sessions(Counter(a=3, b=3))
    work = Work(bus)
    drains = SessionDrainer(
        bus=bus,  # type: ignore[arg-type]
        ready=ready,
        drain=drain,
        telemetry=Telemetry(),
        run_seconds=60.0,
        sessions_at_once=1,
        elapsed=lambda: now,
    )
    assert (await drains.run(), asked) == (6, 1)
    now, bus.portions = 2 * READY_SECONDS, Counter(a=1)
    assert (await drains.run(), asked) == (1, 2)
    down, bus.portions = True, Counter(a=1)
    assert (await drains.run(), asked) == (0, 2), "what was ready is found to be down at the write"
    assert (await drains.run(), asked) == (0, 3)
    assert (await drains.run(), asked) == (0, 4), "while they fail each run asks before it receives anything"


async def test_workers_starting_together_check_the_blobs_once() -> None:
    asked = 0

    async def ready() -> None:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)

    bus = Sessions(Counter(a=2, b=2))
    assert (await drainer(bus, Work(bus), ready=ready).run(), asked) == (4, 1)


async def test_bus_failure_ends_the_run_and_releases_its_sessions() -> None:
    bus = Sessions(Counter(a=1, b=1))
    asked = 0

    class Failing(Sessions):
        async def next_session(self, *arguments: Any) -> Session | None:
            nonlocal asked
            asked += 1
            if asked > 2:
                raise BusUnavailable("gone")
            return await bus.next_session(*arguments)

    assert await drainer(Failing(bus.portions), Work(bus)).run() == 2
    assert not bus.owned


async def test_waiting_session_is_drained_again_by_an_idle_worker() -> None:
    now, bus = 0.0, Sessions(Counter(a=1, b=30))

    work = Work(bus)

    async def drain(session: Any, run: Run) -> Drained:
        nonlocal now
        now += 1.0
        work.visits.append(session.session_id)
        if session.session_id == "b":
            bus.portions["b"] -= 1
        return Drained(1, to_its_end=session.session_id == "a")

    tested = drainer(bus, work, elapsed=lambda: now)
    tested._drain = drain
    await tested.run()
    assert Counter(work.visits) == Counter(a=2, b=30), "after its rest of 25 s, once more in 32"


async def test_idle_worker_waits_for_the_others_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_drainer, "IDLE_SECONDS", 3_600.0)
    bus = Sessions(Counter(a=20))
    async with asyncio.timeout(30):
        assert await drainer(bus, Work(bus)).run() == 20
