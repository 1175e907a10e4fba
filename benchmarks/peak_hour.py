"""Simulates an hour of the roll-up at peak, with the app's own scheduling and the measured cost of a batch.

`python -m benchmarks.peak_hour` simulates 3,000 batches a second of 120 tenants by Zipf's law, with a backlog of ten
minutes, for the number of drainers of `infra/capacity.py`. The real `events/session_drainer.py` schedules the sessions,
on an event loop with simulated time; the bus, its locks and the work on a session are simulated. A batch costs the CPU
of `infra/capacity.json`, on a core of which the host uses a share. The result is deterministic. `waiting` are batches
on the bus, `oldest` is the age of the oldest one in seconds, `busy` is the share of the drainers' time spent on work.
"""

from __future__ import annotations

import argparse
import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from events.session_drainer import Drained, Run, SessionDrainer
from events.stats_consumer import (
    JUST_NOW_SECONDS,
    MESSAGES_A_RECEIVE,
    RECEIVE_AT_MOST_SECONDS,
    RECEIVE_SECONDS,
    SESSIONS_AT_ONCE,
)
from events.stats_shard import BATCHES_A_WRITE
from infra import capacity, figures
from shared.adapters.bus.port import LOCK_SECONDS
from shared.observability.metrics import Telemetry
from shared.settings import Settings
from tests.simulated_time import SimulatedLoop

TIMER_SECONDS = 30.0
BACKLOG_SECONDS = 600.0
HOST_SHARE = 0.15
"""Share of a drainer's core for the Functions host and the system."""
OF_RECEIVING = 0.4
"""Share of a batch's CPU for receiving and decoding; the rest is spent after all batches have arrived."""
OPEN_SECONDS, READ_SECONDS, WRITE_SECONDS = 0.05, 0.01, 0.08
"""Waits for a session, for its document, and for write, blob and settling."""
A_SESSION = 100.0
"""Batches a second per shard; above it a tenant has another shard."""


@dataclass
class Waiting:
    """A session: batches arrive evenly, `rate` a second, `early` of them before the hour."""

    id: str
    rate: float
    early: float
    taken: float = 0.0
    owner: object | None = None
    locked_until: float = 0.0

    def there(self, now: float) -> int:
        """Return the number of waiting batches."""
        return int(self.early + self.rate * now - self.taken)

    def oldest_age(self, now: float) -> float:
        """Return the age of the oldest waiting batch, in seconds."""
        return max(0.0, (self.early + self.rate * now - self.taken) / self.rate) if self.there(now) else 0.0


@dataclass
class Hour:
    """Simulated bus, and one core for each drainer."""

    sessions: list[Waiting]
    batch_seconds: float
    visit_seconds: float
    clock: Callable[[], float]
    draw: random.Random = field(default_factory=lambda: random.Random(1))
    busy_seconds: float = 0.0
    visits: int = 0

    async def next_session(self, subscription: str, wait_seconds: float) -> Held | None:
        """Return any session with messages and no owner."""
        now = self.clock()
        free = [each for each in self.sessions if each.locked_until <= now and each.there(now) > 0]
        if not free:
            await asyncio.sleep(wait_seconds)
            return None
        chosen = self.draw.choice(free)
        held = Held(chosen, chosen.id)
        chosen.owner, chosen.locked_until = held, now + LOCK_SECONDS
        await asyncio.sleep(OPEN_SECONDS)
        return held


@dataclass(eq=False)
class Held:
    """A session with an owner."""

    waiting: Waiting
    session_id: str

    async def close(self) -> None:
        if self.waiting.owner is self:
            self.waiting.owner, self.waiting.locked_until = None, 0.0


class Drainer:
    """One function on one instance: a run every half minute, never two at once."""

    def __init__(self, hour: Hour) -> None:
        self._hour = hour
        self._core = asyncio.Lock()
        self._sessions = SessionDrainer(
            bus=hour,  # type: ignore[arg-type]
            ready=self._ready,
            drain=self._drain,
            telemetry=Telemetry(),
            run_seconds=Settings().rollup_seconds,
            sessions_at_once=SESSIONS_AT_ONCE,
            elapsed=hour.clock,
        )

    async def work(self) -> None:
        """Run until cancelled."""
        while True:
            await self._sessions.run()
            now = self._hour.clock()
            await asyncio.sleep(TIMER_SECONDS - now % TIMER_SECONDS)

    async def _ready(self) -> None:
        pass

    async def _compute(self, seconds: float) -> None:
        async with self._core:
            self._hour.busy_seconds += seconds
            await asyncio.sleep(seconds / (1 - HOST_SHARE))

    async def _drain(self, session: Any, run: Run) -> Drained:
        """Simulate CPU and waits of `StatsConsumer` for a session."""
        hour, waiting = self._hour, session.waiting
        hour.visits += 1
        await self._compute(hour.visit_seconds)
        await asyncio.sleep(READ_SECONDS)
        until, received, to_its_end = hour.clock() + RECEIVE_AT_MOST_SECONDS, 0, False
        while hour.clock() < until and received < BATCHES_A_WRITE:
            portion = min(MESSAGES_A_RECEIVE, BATCHES_A_WRITE - received, waiting.there(hour.clock()) - received)
            if portion <= 0:
                await asyncio.sleep(RECEIVE_SECONDS)
                if waiting.there(hour.clock()) <= received:
                    to_its_end = True
                    break
                continue
            received += portion
            await self._compute(portion * hour.batch_seconds * OF_RECEIVING)
        newest = waiting.oldest_age(hour.clock()) - received / waiting.rate
        await self._compute(received * hour.batch_seconds * (1 - OF_RECEIVING))
        await asyncio.sleep(WRITE_SECONDS)
        if waiting.owner is session:
            waiting.taken += received
            waiting.locked_until = hour.clock() + LOCK_SECONDS  # the owner renews the lock while it works
        return Drained(received, to_its_end or newest < JUST_NOW_SECONDS)


@dataclass(frozen=True)
class Look:
    """State at one time of the hour."""

    minute: int
    waiting: int
    oldest_seconds: float
    drained_a_second: float
    busy: float


def simulate(
    rate: float, drainers: int, *, minutes: int = 60, backlog_seconds: float = BACKLOG_SECONDS, tenants: int = 120
) -> tuple[list[Look], int]:
    """Simulate the hour. Return the state every five minutes, and the number of visits to sessions."""
    numbers = figures.read().after
    loop = SimulatedLoop()
    hour = Hour(
        _sessions(rate, backlog_seconds, tenants),
        numbers["roll_up_cpu_ms"] / 1000,
        numbers["roll_up_visit_cpu_ms"] / 1000,
        loop.time,
    )

    async def run() -> list[Look]:
        working = [asyncio.create_task(Drainer(hour).work()) for _ in range(drainers)]
        looks, before, busy = [], 0.0, 0.0
        for minute in range(5, minutes + 1, 5):
            await asyncio.sleep(minute * 60 - loop.time())
            now, taken = loop.time(), sum(each.taken for each in hour.sessions)
            looks.append(
                Look(
                    minute,
                    sum(each.there(now) for each in hour.sessions),
                    max(each.oldest_age(now) for each in hour.sessions),
                    (taken - before) / 300,
                    (hour.busy_seconds - busy) / 300 / drainers,
                )
            )
            before, busy = taken, hour.busy_seconds
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)
        return looks

    try:
        return loop.run_until_complete(run()), hour.visits
    finally:
        loop.close()


def _sessions(rate: float, backlog_seconds: float, tenants: int) -> list[Waiting]:
    """Return the sessions of tenants whose sizes follow Zipf's law; a hot tenant has shards."""
    weights = [1 / rank for rank in range(1, tenants + 1)]
    found = []
    for number, weight in enumerate(weights, 1):
        own = rate * weight / sum(weights)
        shards = min(16, max(1, round(own / A_SESSION)))
        share = own / shards
        found += [Waiting(f"tenant-{number}#{at}", share, share * backlog_seconds) for at in range(shards)]
    return found


def main() -> None:
    """Print the hour."""
    numbers = figures.read().after
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--rate", type=float, default=3_000.0, help="batches a second")
    parser.add_argument("--drainers", type=int, help="how many; what infra/capacity.py asks for, if left out")
    chosen = parser.parse_args([] if __name__ != "__main__" else None)
    drainers = chosen.drainers or capacity.needs(chosen.rate, numbers).rollup_instances
    looks, visits = simulate(chosen.rate, drainers)
    print(
        f"\nsimulated peak hour: {chosen.rate:,.0f} batches/s, {drainers} drainers, ten minutes' worth waiting at first"
    )
    print(f"{'minute':>8}{'waiting':>12}{'oldest s':>10}{'drained/s':>12}{'busy':>8}")
    for look in looks:
        print(
            f"{look.minute:8}{look.waiting:12,}{look.oldest_seconds:10.0f}{look.drained_a_second:12,.0f}{look.busy:8.0%}"
        )
    print(f"visits to sessions: {visits / 3_600:.1f} a second")


if __name__ == "__main__":
    main()
