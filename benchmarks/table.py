"""Prints the cost of a request in one table: ranking, feed handler alone, feed and events over HTTP, memory.

`CPU` is the server's processor time per request. `over` is that minus the no-op function's through the same host (over
HTTP: the same server). `ratio` is the quotient of both, which can be compared between machines. Latencies are of this
machine with the client on it, so compare them only inside the table. The events' row includes the fold, which runs in
the same process here and in another app on Azure. "Azure adapters" are the SDKs with our own test servers.
"""

from __future__ import annotations

import asyncio

from benchmarks import feed_handler, http, memory, ranking
from benchmarks.http import NO_OP, Row
from benchmarks.measuring import Timing


def main() -> None:
    """Print the table."""
    used_mb, videos = memory.measured()  # first, as memory of other benchmarks would distort it
    worlds = http.embedded()
    azure = http.azure()
    personalized, fallback = asyncio.run(feed_handler.alone(500))
    base = next(row.cpu_ms for row in worlds[0] if row.name == NO_OP and row.in_flight == 16)
    titles = ("in flight", "req/s", "p50 ms", "p95", "p99", "p99/p50", "CPU ms", "over", "ratio")
    print(f"\n{'':44}" + "".join(f"{title:>10}" for title in titles))
    for name, timing in (
        ("ranking, 500 candidates", ranking.whole(500)),
        ("ranking, 10,000 candidates", ranking.whole(10_000)),
        ("feed handler alone, 500 videos", personalized),
        ("feed handler alone, fallback", fallback),
    ):
        _in_process(name, timing, base)
    for world in worlds:
        _over_http("HTTP", world)
    _over_http("HTTP, Azure adapters", azure)
    print(f"memory: {len(memory.TENANTS)} tenants of {videos:,} videos in {used_mb:,.0f} MB, "
          f"{used_mb / videos * 2_000:,.1f} MB for a tenant of 2,000")  # fmt: skip


def _in_process(name: str, timing: Timing, base_ms: float) -> None:
    p50, p99, cpu = timing.p50 / 1e3, timing.p99 / 1e3, timing.cpu / 1e3
    _line(name, "", f"{1e3 / cpu:.0f}", p50, "", p99, cpu, f"{cpu:7.2f}", cpu / base_ms)


def _over_http(where: str, rows: list[Row]) -> None:
    base = {row.in_flight: row.cpu_ms for row in rows if row.name == NO_OP}
    for row in rows:
        p50, p95, p99 = (row.percentile(share) for share in (0.5, 0.95, 0.99))
        over = row.cpu_ms - base[row.in_flight]
        ratio = row.cpu_ms / base[row.in_flight]
        _line(f"{where}: {row.name}", row.in_flight, f"{row.rate:.0f}", p50, f"{p95:.2f}", p99, row.cpu_ms,
              f"{over:7.2f}", ratio)  # fmt: skip


def _line(
    name: str, in_flight: object, rate: str, p50: float, p95: str, p99: float, cpu: float, over: str, ratio: float
) -> None:
    figures = (in_flight, rate, f"{p50:.2f}", p95, f"{p99:.2f}", f"{p99 / p50:.1f}", f"{cpu:.3f}", over, f"{ratio:.1f}")
    print(f"{name:44}" + "".join(f"{figure:>10}" for figure in figures), flush=True)


if __name__ == "__main__":
    main()
