"""Tests how one tenant at ten times its rate limit affects the others: `python -m benchmarks.noisy [--seconds 30]`.

The other tenants send a third of the capacity, before and during the test. Each part lasts for a period of the roll-up,
so that both have one. The noisy tenant's limit is 20 feeds a second, and it sends 200. The test passes when the others'
p99 at most doubles (the client on the same machine causes that much) and none of their requests is refused. The noisy
tenant must get 429 with Retry-After above its limit.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from benchmarks.served import Served, World, served
from benchmarks.throughput import capacity
from benchmarks.traffic import REQUESTS_A_SESSION, People, Seen, arrivals, session
from benchmarks.wire import Connections, http

LIMIT = 20.0
WORLD = World(tenants=8, videos=500, users=60, noisy_rate=LIMIT)
TIMES = 10.0
ALLOWED = 2.0


class Others(People):
    """Users of all tenants except the first."""

    def one(self, tenant: int | None = None) -> dict[str, str]:
        return super().one(1 + self.draw.randrange(WORLD.tenants - 1) if tenant is None else tenant)


def main() -> None:
    """Run the test and print the verdict."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    with served(WORLD, {"SIGNALS_CACHE_SECONDS": "2"}) as server:
        sys.exit(asyncio.run(_run(server, parser.parse_args().seconds)))


async def _run(server: Served, seconds: float) -> int:
    await capacity(server, WORLD, 2.0)
    able, _, _ = await capacity(server, WORLD, 4.0)
    before = await _others(server, able / 3, seconds)
    noise = Seen()
    noisy = asyncio.create_task(_noise(server, noise, seconds))
    during = await _others(server, able / 3, seconds)
    await noisy
    ratio = during.percentile(0.99) / before.percentile(0.99)
    refused = during.statuses[429] + during.statuses[503]
    allowed = noise.statuses[200] / seconds
    for name, seen in (("before", before), ("during", during)):
        print(f"the others {name}: {len(seen.feeds):,} feeds, p50 {seen.percentile(0.5):.1f} ms,"
              f" p99 {seen.percentile(0.99):.1f} ms, {dict(seen.reasons)}")  # fmt: skip
    print(f"p99 during ÷ before: {ratio:.2f}; refused of the others: {refused}; not clean: {len(during.unclean)}")
    print(f"the noisy tenant: {dict(noise.statuses)}, {allowed:.0f} feeds/s served of {LIMIT:g} allowed")
    passed = ratio <= ALLOWED and refused == 0 and not during.unclean and not noise.unclean
    passed = passed and LIMIT * 0.5 <= allowed <= LIMIT * 1.6 + 100 / seconds
    print(f"\nverdict: {'passed' if passed else 'FAILED'}")
    return 0 if passed else 1


async def _others(server: Served, rate: float, seconds: float) -> Seen:
    people, seen, connections = Others(WORLD, 11), Seen(), Connections(server.url, 64)
    tasks: set[asyncio.Task[None]] = set()

    def come() -> None:
        task = asyncio.create_task(session(people, connections, seen, 0.2))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    await arrivals(rate / REQUESTS_A_SESSION, seconds, come, most_waiting=lambda: connections.waiting, limit=200)
    await asyncio.gather(*tasks)
    connections.close()
    return seen


async def _noise(server: Served, seen: Seen, seconds: float) -> None:
    people, connections = People(WORLD, 13), Connections(server.url, 64)
    tasks: set[asyncio.Task[None]] = set()

    async def ask() -> None:
        seen.take(await connections.ask(http("GET", "/v1/feed", people.one(0))), 0.0, feed=True)

    def come() -> None:
        task = asyncio.create_task(ask())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    await arrivals(TIMES * LIMIT, seconds, come, most_waiting=lambda: connections.waiting, limit=200)
    await asyncio.gather(*tasks)
    connections.close()


if __name__ == "__main__":
    main()
