"""Measures an import of 10,000 videos over HTTP, into an app in its own process, while a feed is in use.

Prints time, memory and progress, and the ratio of the feed's latency during the import to before; also the same for a
no-op request. Then kills the app in the middle of an import and prints the cost of that.
"""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from local.demo import CMS_KEY, SDK_KEY

ROOT = Path(__file__).resolve().parent.parent
ROWS = 10_000
BEFORE_SECONDS = 8.0
PACE_SECONDS = 0.02
CMS = {"X-Tenant-Id": "tenant_1", "X-Api-Key": CMS_KEY}
SDK = {"X-Tenant-Id": "tenant_1", "X-Api-Key": SDK_KEY}


def main() -> None:
    """Run both imports and print the results."""
    asyncio.run(_undisturbed())
    asyncio.run(_killed())


async def _undisturbed() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with _app(Path(folder)) as (process, url), aiohttp.ClientSession(url) as http:
            await _feeds(http, 1.0)
            before, nothing = await _feeds(http, BEFORE_SECONDS), await _feeds(http, 3.0, "/health")
            memory_before = _memory_mb(process.pid)
            job, sent_seconds = await _send(http)
            started = time.perf_counter()
            done = asyncio.create_task(_follow(http, job, started))
            during = await _feeds(http, 600.0, until=done)
            steps, seconds = await done
            after = await _feeds(http, BEFORE_SECONDS)
            peak, memory_after = _memory_mb(process.pid, "VmHWM"), _memory_mb(process.pid)
    print(f"import of {ROWS:,} videos: accepted in {sent_seconds:.2f} s, done {seconds:.1f} s later "
          f"({ROWS / seconds:,.0f} videos a second)")  # fmt: skip
    print("progress: " + ", ".join(f"{at:.0f} s {share:.0%}" for at, share in _thinned(steps)))
    print(f"memory: {memory_before:.0f} MB before, {peak:.0f} MB at the peak, {memory_after:.0f} MB after, "
          "with 10,000 videos more in the catalog")  # fmt: skip
    print("feed latency in ms      p50    p95    p99  requests")
    for name, times in (("does nothing", nothing), ("before", before), ("meanwhile", during), ("after", after)):
        print(f"  {name:<18}{_row(times)}")
    ratios = [_quantile(during, share) / _quantile(before, share) for share in (0.5, 0.95, 0.99)]
    print("  meanwhile ÷ before " + "".join(f"{ratio:6.2f}×" for ratio in ratios))
    grown = [_quantile(after, share) / _quantile(before, share) for share in (0.5, 0.95, 0.99)]
    print("  after ÷ before     " + "".join(f"{ratio:6.2f}×" for ratio in grown) + "  (a catalog of 10,300, not 300)")


async def _killed() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with _app(Path(folder)) as (process, url), aiohttp.ClientSession(url) as http:
            job, _ = await _send(http)
            while (await _job(http, job))["processed"] < ROWS // 3:  # noqa: ASYNC110 - the app is another process
                await asyncio.sleep(0.02)
            process.send_signal(signal.SIGKILL)
            await process.wait()
        killed = time.perf_counter()
        async with _app(Path(folder)) as (process, url), aiohttp.ClientSession(url) as http:
            at_death = (await _job(http, job))["processed"]
            await _follow(http, job, killed)
            state = await _job(http, job)
            seconds = time.perf_counter() - killed
    counted = state["counts"]
    print(f"killed (SIGKILL) at {at_death:,} rows, started again: done {seconds:.0f} s after the kill, of which up to "
          f"30 s wait for the dead worker's lease; {counted}")  # fmt: skip
    if counted["created"] != ROWS:
        sys.exit("rows were lost or counted twice")


@asynccontextmanager
async def _app(folder: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "local", "serve", "--port", "0"),
        cwd=ROOT,
        env={**os.environ, "DATA_FOLDER": str(folder)},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        yield process, line.split()[2]
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _send(http: aiohttp.ClientSession) -> tuple[str, float]:
    lines = b"\n".join(orjson.dumps(_video(n)) for n in range(ROWS))
    started = time.perf_counter()
    headers = {**CMS, "Content-Type": "application/x-ndjson"}
    async with http.post("/v1/cms/imports", data=lines, headers=headers) as answer:
        assert answer.status == 202, await answer.text()
        return (await answer.json())["id"], time.perf_counter() - started


def _video(n: int) -> dict[str, Any]:
    return {
        "id": f"new_{n:05}",
        "title": f"A video about subject {n}",
        "playbackUrl": f"https://cdn.example/new/{n}.m3u8",
        "mainTag": ("fitness", "cooking", "travel", "music")[n % 4],
        "tags": [f"tag{n % 40}", f"tag{n % 7}"],
        "creatorId": f"creator_{n % 300}",
        "durationSeconds": 10 + n % 80,
        "maturityRating": "PG",
    }


async def _job(http: aiohttp.ClientSession, job: str) -> dict[str, Any]:
    async with http.get(f"/v1/cms/imports/{job}", headers=CMS) as answer:
        return dict(await answer.json())


async def _follow(http: aiohttp.ClientSession, job: str, started: float) -> tuple[list[tuple[float, float]], float]:
    steps = []
    while True:
        state = await _job(http, job)
        steps.append((time.perf_counter() - started, state["processed"] / state["rows"]))
        if state["state"] == "done":
            return steps, steps[-1][0]
        await asyncio.sleep(0.25)


async def _feeds(
    http: aiohttp.ClientSession, seconds: float, path: str = "/v1/feed?limit=20", until: asyncio.Task[Any] | None = None
) -> list[float]:
    """Return milliseconds of consecutive requests, at a rate that leaves the app half idle."""
    times: list[float] = []
    ends = time.perf_counter() + seconds
    while time.perf_counter() < ends and not (until and until.done()):
        user = f"{len(times) % 200:064x}"
        started = time.perf_counter()
        async with http.get(path, headers={**SDK, "X-User": user}) as answer:
            await answer.read()
            assert answer.status == 200
        times.append((time.perf_counter() - started) * 1000)
        await asyncio.sleep(PACE_SECONDS)
    return times


def _memory_mb(pid: int, name: str = "VmRSS") -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith(name))


def _quantile(times: list[float], share: float) -> float:
    return statistics.quantiles(times, n=100, method="inclusive")[round(share * 100) - 1]


def _row(times: list[float]) -> str:
    return "".join(f"{_quantile(times, share):7.1f}" for share in (0.5, 0.95, 0.99)) + f"{len(times):10,}"


def _thinned(steps: list[tuple[float, float]]) -> list[tuple[float, float]]:
    return [*steps[:: max(1, len(steps) // 6)], steps[-1]]


if __name__ == "__main__":
    main()
