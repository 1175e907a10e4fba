"""Measures bytes on the wire with and without gzip, and the CPU of compression: `python -m benchmarks compression`.

`plain` and `gzip` are bytes of a whole response, headers included; `share` is gzip's share of the body alone. `CPU` is
the server's processor time for one response in µs. `ratio` is the median over rounds in which plain and compressed
responses alternate.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from statistics import median

from benchmarks.http import UNBOUND, asker
from benchmarks.measured import record
from benchmarks.served import Served, World, served
from benchmarks.wire import Connections, Reply, http

ROUNDS, SECONDS, IN_FLIGHT = 12, 1.5, 16
USERS = 200
COMMAND = "python -m benchmarks compression, a personal page of 20"
KINDS = {"personal": 0, "newcomer": 10_000}
"""First user of each kind."""
LIMITS = (20, 50)


def main() -> None:
    """Print the table."""
    world = World(videos=2_000, users=USERS)
    with served(world, {**UNBOUND, "SIGNALS_CACHE_SECONDS": "10"}) as server:
        print(f"\n{'':20}{'plain':>9}{'gzip':>9}{'share':>8}{'CPU µs':>9}{'gzip':>9}{'ratio':>8}")
        for kind, limit in itertools.product(KINDS, LIMITS):
            asyncio.run(_row(server, kind, limit))


async def _row(server: Served, kind: str, limit: int) -> None:
    sizes = [await _reply(server, kind, limit, gzip) for gzip in (False, True)]
    costs: tuple[list[float], list[float]] = ([], [])
    for number in range(ROUNDS):
        for gzip in (False, True) if number % 2 else (True, False):
            costs[gzip].append(await _cpu(server, _requests(kind, limit, gzip)))
    plain, packed = (len(each.head) + len(each.body) for each in sizes)
    share = len(sizes[1].body) / len(sizes[0].body)
    ratio = median(after / before for before, after in zip(*costs, strict=True))
    before, after = (median(each) * 1e6 for each in costs)
    if (kind, limit) == ("personal", 20):
        record("feed_response_compressed_bytes", packed, "bytes", COMMAND)
        record("compress_cpu_ms", max(0.0, after - before) / 1000, "ms", COMMAND)
    print(f"{kind + ', ' + str(limit):20}{plain:9,}{packed:9,}{share:8.1%}{before:9.0f}{after:9.0f}{ratio:8.3f}")


def _requests(kind: str, limit: int, gzip: bool) -> Iterator[bytes]:
    accept = {"Accept-Encoding": "gzip"} if gzip else {}
    users = range(KINDS[kind], KINDS[kind] + USERS)
    return itertools.cycle([http("GET", f"/v1/feed?limit={limit}", {**asker(0, user), **accept}) for user in users])


async def _reply(server: Served, kind: str, limit: int, gzip: bool) -> Reply:
    connections = Connections(server.url, 1)
    reply = await connections.ask(next(_requests(kind, limit, gzip)))
    connections.close()
    assert reply.status == 200, reply
    return reply


async def _cpu(server: Served, requests: Iterator[bytes]) -> float:
    """Return the server's processor time for one request, in seconds."""
    connections, loop, done = Connections(server.url, IN_FLIGHT), asyncio.get_running_loop(), 0
    before, until = server.cpu_seconds(), loop.time() + SECONDS

    async def one() -> None:
        nonlocal done
        while loop.time() < until:
            reply = await connections.ask(next(requests))
            assert reply.status == 200, reply
            done += 1

    await asyncio.gather(*(one() for _ in range(IN_FLIGHT)))
    connections.close()
    return (server.cpu_seconds() - before) / done


if __name__ == "__main__":
    main()
