"""Soak test at 70 % load, with changes of content and flags: `python -m benchmarks.soak [--minutes 15]`.

The capacity is measured first. Then sessions arrive at random at 70 % of it. Every two seconds a video changes; every
twenty seconds a flag flips for three. Memory and p99 are measured in intervals. Their slopes are fitted without the
first fifth (caches fill), with a 95 % interval. The test passes when all of this holds:

- Every response is 200, 202 or 304, except clean refusals below 0.1 %.
- The interval of memory's slope is not entirely above 1 % of the memory per hour.
- p99 of the last third is at most twice that of the second.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.results import LOAD as LOAD_AND_FAULTS
from benchmarks.results import RECORD, keep
from benchmarks.served import CONTENT_KEY, Served, World, served, tenant_id
from benchmarks.throughput import capacity
from benchmarks.traffic import REQUESTS_A_SESSION, People, Seen, arrivals, session
from benchmarks.wire import Connections, http
from shared.adapters.flags.evaluation import PERSONALIZED_FEED

WORLD = World(tenants=12, videos=300, users=200)
LOAD = 0.7
SLICES = 30
LAX_SLOPE = 0.01
"""Accepted slope of memory per hour, as a share of the memory."""


def main() -> None:
    """Run the test and print the verdict."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument(RECORD, action="store_true", help="keep the result for docs/results.md")
    with tempfile.TemporaryDirectory() as folder:
        flags = Path(folder) / "flags.json"
        _write_flags(flags, True)
        with served(WORLD, {"SIGNALS_CACHE_SECONDS": "2", "FLAGS_FILE": str(flags)}) as server:
            sys.exit(asyncio.run(_run(server, flags, parser.parse_args().minutes * 60)))


async def _run(server: Served, flags: Path, seconds: float) -> int:
    await capacity(server, WORLD, 3.0)
    able, _, _ = await capacity(server, WORLD, 10.0)
    rate = LOAD * able / REQUESTS_A_SESSION
    print(f"capacity {able:,.0f} answers/s; {rate:.1f} sessions/s for {seconds / 60:g} min", flush=True)
    people, seen, connections = People(WORLD, 17), Seen(), Connections(server.url, 64)
    tasks: set[asyncio.Task[None]] = set()

    def come() -> None:
        task = asyncio.create_task(session(people, connections, seen, 1.0))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    memory: list[tuple[float, float]] = []
    started = time.monotonic()
    beside = [
        asyncio.create_task(_watch_memory(server, memory, seconds)),
        asyncio.create_task(_change_content(server, seen)),
        asyncio.create_task(_flip_flags(flags)),
    ]
    left = await arrivals(rate, seconds, come, most_waiting=lambda: connections.waiting, limit=500)
    await asyncio.wait(tasks, timeout=30)
    for task in beside:
        task.cancel()
    await asyncio.gather(*beside, return_exceptions=True)
    connections.close()
    return _judge(seen, memory, started, seconds, left)


def _judge(seen: Seen, memory: list[tuple[float, float]], started: float, seconds: float, left: int) -> int:
    answered = sum(seen.statuses.values())
    refused = seen.statuses[429] + seen.statuses[503]
    settled = memory[len(memory) // 5 :]
    slope, margin = fitted_slope(settled)
    held = sum(mb for _, mb in settled) / len(settled)
    middle = seen.percentile(0.99, started + seconds / 3, started + seconds * 2 / 3)
    last = seen.percentile(0.99, started + seconds * 2 / 3)
    per_slice = [
        seen.percentile(0.99, started + seconds * at / SLICES, started + seconds * (at + 1) / SLICES)
        for at in range(SLICES)
    ]
    print(f"{answered:,} answers {dict(seen.statuses)}, {refused:,} refusals, {left} left; pages {dict(seen.reasons)}")
    print(f"not clean: {len(seen.unclean)} {seen.unclean[:3]}")
    print(f"memory {memory[0][1]:.0f} → {memory[-1][1]:.0f} MB; slope {slope * 3600:+.1f} MB/h ± {margin * 3600:.1f}")
    print(f"p50 {seen.percentile(0.5):.1f} ms; p99 second third {middle:.1f} ms, last third {last:.1f} ms")
    print(f"p99 by slice: {' '.join(f'{ms:.0f}' for ms in per_slice)}")
    keep(
        "soak",
        f"{answered:,} answers, {refused:,} refused; {memory[0][1]:.0f} → {memory[-1][1]:.0f} MB, slope "
        f"after the warm-up {slope * 3600:+.1f} MB/h; "
        f"p99 {middle:.0f} ms in the second third, {last:.0f} ms in the last",
        topic=LOAD_AND_FAULTS,
        what=f"{seconds / 60:g} minutes at {LOAD:.0%} load with events, edits and flips",
        command="python -m benchmarks.soak",
    )
    no_error = not seen.unclean and refused <= answered / 1000
    flat = (slope - margin) * 3600 <= LAX_SLOPE * held
    steady = last <= 2 * middle
    passed = no_error and flat and steady
    print(f"no error {no_error}, memory flat {flat}, p99 flat {steady}\n\nverdict: {'passed' if passed else 'FAILED'}")
    return 0 if passed else 1


def fitted_slope(points: list[tuple[float, float]]) -> tuple[float, float]:
    """Fit a line by least squares. Return slope (units of y per x) and half of its 95 % interval (normal
    approximation)."""
    n = len(points)
    mean_x, mean_y = sum(x for x, _ in points) / n, sum(y for _, y in points) / n
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    rest = sum((y - mean_y - slope * (x - mean_x)) ** 2 for x, y in points)
    return slope, 1.96 * math.sqrt(rest / max(1, n - 2) / spread)


async def _watch_memory(server: Served, memory: list[tuple[float, float]], seconds: float) -> None:
    while True:
        memory.append((time.monotonic(), server.memory_mb()))
        await asyncio.sleep(max(0.5, seconds / 200))


async def _change_content(server: Served, seen: Seen) -> None:
    """Save another title of a video every two seconds, as a content team would."""
    connections, at = Connections(server.url, 1), 0
    while True:
        at += 1
        tenant = at % WORLD.tenants
        who = {"X-Tenant-Id": tenant_id(tenant), "X-Api-Key": CONTENT_KEY}
        path = f"/v1/cms/videos/vid_fitness_{1 + at % 40}"
        found = await connections.ask(http("GET", path, who))
        etag = found.head.partition(b"\r\netag: ")[2].partition(b"\r\n")[0].decode()
        change = json.dumps({"title": f"Title {at}"}).encode()
        saved = await connections.ask(http("PATCH", path, {**who, "If-Match": etag}, change))
        seen.statuses[saved.status] += 1
        if saved.status not in (200, 412):
            seen.unclean.append(f"content {saved.status} {saved.body[:120]!r}")
        await asyncio.sleep(2)


async def _flip_flags(flags: Path) -> None:
    """Pull the kill switch every twenty seconds, for three seconds."""
    while True:
        await asyncio.sleep(17)
        _write_flags(flags, False)
        await asyncio.sleep(3)
        _write_flags(flags, True)


def _write_flags(path: Path, on: bool) -> None:
    temporary = path.with_suffix(".new")
    flag = {"id": PERSONALIZED_FEED, "enabled": on}
    temporary.write_text(json.dumps({"feature_management": {"feature_flags": [flag]}}))
    temporary.replace(path)


if __name__ == "__main__":
    main()
