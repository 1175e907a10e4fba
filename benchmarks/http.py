"""The feed and the events over HTTP, driven from another process, one after another in rounds of the same run.

Read it so: `CPU` is the server's processor time for each request, `over` that less the no-op function's through the
same host, `ratio` the two divided. Latencies are of this machine, with the driver on it; compare them within the table
only. The events row includes folding them, which the same process does here.
"""

from __future__ import annotations

import asyncio
import itertools
import json
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
"""Capacity is measured without shedding; shedding has a program of its own."""

Requests = Callable[[], Iterator[bytes]]


@dataclass
class Row:
    """What was seen of one kind of request at one number in flight."""

    name: str
    in_flight: int
    rates: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)

    def percentile(self, share: float) -> float:
        """Milliseconds."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1e3


def main() -> None:
    """Print the tables."""
    world = World(tenants=20, videos=500, users=40)
    print("\nover HTTP, embedded stores, 500 candidates")
    with served(world, {**UNBOUND, "SIGNALS_CACHE_SECONDS": "10"}) as server:
        kinds: dict[str, Requests] = {
            "no-op function": _noop,
            "feed, signals in memory": lambda: _feeds(world, 1),
            "feed, 20 tenants": lambda: _feeds(world, 20),
            "feed, fallback": lambda: _feeds(world, 1, first_user=10_000),
            "events, 20 a batch": lambda: _batches(world, 1),
        }
        asyncio.run(_table(server, kinds, expect_personalized="feed, signals in memory"))
    with served(World(users=200), UNBOUND) as server:
        kinds = {"no-op function": _noop, "feed, signals read": lambda: _feeds(World(users=200), 1)}
        asyncio.run(_table(server, kinds, expect_personalized="feed, signals read"))
    _azure()


def _azure() -> None:
    program = subprocess.Popen(
        [sys.executable, "-m", "tests.emulators", "--json"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert program.stdout is not None
        line = program.stdout.readline()
        if not line:
            print("\nleft out: the Azure adapters over HTTP (the test servers did not start)")
            return
        print("\nover HTTP, Azure adapters against the test servers (which share the two cores)")
        key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
        secrets = {"SIGNING_KEYS": f"k:{key}", "IDENTITY_SECRET": key}
        world = World(users=60)
        with served(world, {**json.loads(line)["settings"], **secrets, **UNBOUND}) as server:
            kinds = {"no-op function": _noop, "feed, signals read": lambda: _feeds(world, 1)}
            asyncio.run(_table(server, kinds, expect_personalized="feed, signals read"))
    finally:
        program.terminate()
        program.wait(20)


async def _table(server: Served, kinds: dict[str, Requests], *, expect_personalized: str) -> None:
    mode = await _mode(server, next(kinds[expect_personalized]()))
    rows = {(name, n): Row(name, n) for n in IN_FLIGHT for name in kinds}
    for name, requests in kinds.items():  # to warm up, the catalogs of every tenant among others
        await _drive(server, requests(), 16, 0.5, Row(name, 16))
    for _ in range(ROUNDS):
        for (name, n), row in rows.items():
            await _drive(server, kinds[name](), n, SECONDS, row)
    print(f"(pages were {mode})")
    print(f"{'':26}{'in flight':>10}{'req/s':>8}{'p50 ms':>8}{'p95':>8}{'p99':>8}{'p99/p50':>8}{'CPU ms':>8}{'over':>7}"
          f"{'ratio':>7}")  # fmt: skip
    for (name, n), row in rows.items():
        base = median(rows["no-op function", n].cpu)
        cpu = median(row.cpu)
        p50, p95, p99 = (row.percentile(share) for share in (0.5, 0.95, 0.99))
        print(f"{name:26}{n:10}{median(row.rates):8.0f}{p50:8.2f}{p95:8.2f}{p99:8.2f}{p99 / p50:8.1f}{cpu * 1e3:8.3f}"
              f"{(cpu - base) * 1e3:7.2f}{cpu / base:7.1f}")  # fmt: skip


async def _mode(server: Served, request: bytes) -> str:
    connections = Connections(server.url, 1)
    for _ in range(100):
        reply = await connections.ask(request)
        page = orjson.loads(reply.body)
        if page.get("mode") == "personalized":
            connections.close()
            return "personalized"
        await asyncio.sleep(0.1)
    sys.exit(f"The feed stays a fallback ({page}): nothing to measure.")


async def _drive(server: Served, requests: Iterator[bytes], in_flight: int, seconds: float, row: Row) -> None:
    """Keep so many requests in flight for so long; every answer must be a success."""
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
    row.cpu.append((server.cpu_seconds() - cpu) / done)
    connections.close()


def _who(tenant: int, user: int) -> dict[str, str]:
    return {"X-Tenant-Id": tenant_id(tenant), "X-Api-Key": SDK_KEY, "X-User": user_hash(tenant, user)}


def _noop() -> Iterator[bytes]:
    return itertools.repeat(http("GET", "/noop", _who(0, 0)))


def _feeds(world: World, tenants: int, first_user: int = 0) -> Iterator[bytes]:
    users = [(tenant, first_user + user) for user in range(world.users) for tenant in range(tenants)]
    return itertools.cycle([http("GET", "/v1/feed", _who(tenant, user)) for tenant, user in users])


def _batches(world: World, tenants: int) -> Iterator[bytes]:
    """Batches that are never the same twice."""
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
        who = _who(draw.randrange(tenants), draw.randrange(world.users))
        yield http("POST", "/v1/events/batch", who, orjson.dumps({"events": events}))


if __name__ == "__main__":
    main()
