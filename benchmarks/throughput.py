"""Measures the capacity of the served app: requests a second of sessions, with its designed number in flight."""

from __future__ import annotations

import asyncio
import time

from benchmarks.served import Served, World
from benchmarks.traffic import People, Seen, session
from benchmarks.wire import Connections

IN_FLIGHT = 16


async def capacity(server: Served, world: World, seconds: float) -> tuple[float, float, Seen]:
    """Run sessions without pauses. Return (responses a second, server's CPU seconds per response, results).

    `IN_FLIGHT` sessions at a time keep the server's one core busy without a queue that sheds.
    """
    people, seen, connections = People(world, 7), Seen(), Connections(server.url, IN_FLIGHT)
    until = time.monotonic() + seconds

    async def one_after_another() -> None:
        while time.monotonic() < until:
            await session(people, connections, seen, 0.0)

    cpu, started = server.cpu_seconds(), time.monotonic()
    await asyncio.gather(*(one_after_another() for _ in range(IN_FLIGHT)))
    spent = time.monotonic() - started
    done = sum(seen.statuses[status] for status in (200, 202))
    connections.close()
    return done / spent, (server.cpu_seconds() - cpu) / max(1, done), seen
