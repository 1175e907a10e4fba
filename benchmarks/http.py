"""Measures feed and events over HTTP, with a client in another process, in alternating rounds of one run.

Each world is a separate server with a no-op function on the same host, with which its other rows are compared.
`benchmarks.table` prints them.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from statistics import median

import orjson

from benchmarks.served import ROOT, Served, World, served, tenant_id, user_hash
from benchmarks.wire import Connections, http
from local.demo import SDK_KEY

IN_FLIGHT = (1, 16, 64)
ROUNDS, SECONDS = 3, 1.5
UNBOUND = {"SHED_DELAY_MS": "60000", "REFUSE_DELAY_MS": "60000", "MAX_IN_FLIGHT": "10000"}
"""Settings without shedding, for capacity; `benchmarks.overload` measures shedding."""
NO_OP = "no-op function"

Requests = Callable[[], Iterator[bytes]]


@dataclass
class Row:
    """Results of one kind of request at one number in flight."""

    name: str
    in_flight: int
    rates: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)

    def percentile(self, share: float) -> float:
        """Return a percentile in milliseconds."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1e3

    @property
    def cpu_ms(self) -> float:
        """Return the server's processor time per request, in milliseconds."""
        return median(self.cpu) * 1e3

    @property
    def rate(self) -> float:
        """Return requests a second."""
        return median(self.rates)


def embedded() -> list[list[Row]]:
    """Measure three worlds on the embedded stores: signals in memory, signals read each time, events."""
    many, one = World(tenants=20, videos=500, users=40), World(users=200)
    feeds = {
        NO_OP: _noop,
        "feed, signals in memory": lambda: _feeds(many, 1),
        "feed, 20 tenants": lambda: _feeds(many, 20, users=many.users // 20),
        "feed, fallback": lambda: _feeds(many, 1, first_user=10_000),
    }
    reads = {NO_OP: _noop, "feed, signals read": lambda: _feeds(one, 1)}
    events = {NO_OP: _noop, "events, 20 a batch, and their fold": lambda: _batches(many, 1)}
    with served(many, {**UNBOUND, "SIGNALS_CACHE_SECONDS": "10"}) as server:
        first = asyncio.run(_measured(server, feeds, personalized="feed, signals in memory"))
    with served(one, UNBOUND) as server:
        second = asyncio.run(_measured(server, reads, personalized="feed, signals read"))
    with served(many, UNBOUND) as server:
        return [first, second, asyncio.run(_measured(server, events))]


def azure() -> list[Row]:
    """Measure the Azure adapters against test servers on the same cores; no rows when these do not start."""
    program = subprocess.Popen(
        [sys.executable, "-m", "tests.emulators", "--json"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert program.stdout is not None
        line = program.stdout.readline()
        if not line:
            print("left out: the Azure adapters over HTTP (the test servers did not start)")
            return []
        key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
        settings = {**json.loads(line)["settings"], "SIGNING_KEYS": f"k:{key}", "IDENTITY_SECRET": key}
        seed = [sys.executable, "-m", "commands.seed_flags", "--on"]
        subprocess.run(seed, cwd=ROOT, env={**os.environ, **settings}, check=True, stdout=subprocess.DEVNULL)
        world = World(users=60)
        kinds = {NO_OP: _noop, "feed, signals read": lambda: _feeds(world, 1)}
        with served(world, {**settings, **UNBOUND}) as server:
            return asyncio.run(_measured(server, kinds, personalized="feed, signals read"))
    finally:
        program.terminate()
        program.wait(20)


async def _measured(server: Served, kinds: dict[str, Requests], personalized: str | None = None) -> list[Row]:
    if personalized is not None:
        await _until_personalized(server, next(kinds[personalized]()))
    rows = {(name, n): Row(name, n) for n in IN_FLIGHT for name in kinds}
    for name, requests in kinds.items():  # warm-up, including every tenant's catalog
        await _drive(server, requests(), 16, 0.5, Row(name, 16))
    for _ in range(ROUNDS):
        for (name, n), row in rows.items():
            await _drive(server, kinds[name](), n, SECONDS, row)
            await _idle(server)  # this row's events must not be folded during the next row
    return list(rows.values())


async def _idle(server: Served) -> None:
    """Return when the server has been idle for a while."""
    rested = 0
    while rested < 2:
        before = server.cpu_seconds()
        await asyncio.sleep(0.1)
        rested = rested + 1 if server.cpu_seconds() - before <= 0.01 else 0


async def _until_personalized(server: Served, request: bytes) -> None:
    connections = Connections(server.url, 1)
    for _ in range(100):
        reply = await connections.ask(request)
        page = orjson.loads(reply.body)
        if page.get("mode") == "personalized":
            connections.close()
            return
        await asyncio.sleep(0.1)
    sys.exit(f"The feed stays a fallback ({page.get('reason')}): nothing to measure.")


async def _drive(server: Served, requests: Iterator[bytes], in_flight: int, seconds: float, row: Row) -> None:
    """Keep `in_flight` requests in flight for `seconds`; every response must be a success."""
    connections = Connections(server.url, in_flight)
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    done = 0

    async def one() -> None:
        nonlocal done
        while loop.time() < until:
            reply = await connections.ask(next(requests))
            if reply.status not in (200, 202):
                sys.exit(f"{row.name}: {reply.status} {reply.body[:300]!r}")
            row.latencies.append(reply.seconds)
            done += 1

    cpu, started = server.cpu_seconds(), time.perf_counter()
    await asyncio.gather(*(one() for _ in range(in_flight)))
    row.rates.append(done / (time.perf_counter() - started))
    if "fold" in row.name:
        await _idle(server)
    row.cpu.append((server.cpu_seconds() - cpu) / done)
    connections.close()


def asker(tenant: int, user: int) -> dict[str, str]:
    return {"X-Tenant-Id": tenant_id(tenant), "X-Api-Key": SDK_KEY, "X-User": user_hash(tenant, user)}


def _noop() -> Iterator[bytes]:
    return itertools.repeat(http("GET", "/noop", asker(0, 0)))


def _feeds(world: World, tenants: int, first_user: int = 0, users: int | None = None) -> Iterator[bytes]:
    """Yield feed requests of `users` per tenant, by default all of the world's. To compare numbers of tenants, keep the
    total of users equal, since a user's signals are read again after 10 s."""
    who = [(tenant, first_user + user) for user in range(users or world.users) for tenant in range(tenants)]
    return itertools.cycle([http("GET", "/v1/feed", asker(tenant, user)) for tenant, user in who])


def _batches(world: World, tenants: int) -> Iterator[bytes]:
    """Yield batches, each different."""
    draw = random.Random()
    while True:
        now = int(time.time() * 1000)
        events = [
            {
                "type": draw.choice(("impression", "video_view", "skip")),
                "videoId": f"vid_fitness_{draw.randint(1, 70)}",
                "timestamp": now - draw.randint(0, 60_000),
                "watchTimeMs": draw.randint(500, 40_000),
                "rankPosition": draw.randint(0, 19),
            }
            for _ in range(20)
        ]
        who = asker(draw.randrange(tenants), draw.randrange(world.users))
        yield http("POST", "/v1/events/batch", who, orjson.dumps({"events": events}))
