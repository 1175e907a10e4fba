"""Measures calls inside one process: percentiles of a repeated call, and CPU time per call."""

from __future__ import annotations

import gc
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

UNLIMITED = {"shed_delay_ms": 60_000.0, "refuse_delay_ms": 60_000.0, "user_requests_per_second": 1e6}
"""Settings without limits, for calls without a pause: the blocked event loop would look overloaded."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Microseconds per call: median and 99th percentile of wall time, and mean CPU time."""

    p50: float
    p99: float
    cpu: float


def measure(call: Callable[[], object], times: int, warm_up: int = 20) -> Timing:
    """Measure `times` consecutive calls."""
    for _ in range(warm_up):
        call()
    spans = []
    gc.collect()
    cpu = time.process_time()
    for _ in range(times):
        started = time.perf_counter()
        call()
        spans.append(time.perf_counter() - started)
    return _timing(spans, time.process_time() - cpu)


async def measure_async(call: Callable[[], Awaitable[object]], times: int, warm_up: int = 20) -> Timing:
    """Measure `times` consecutive calls of a coroutine function."""
    for _ in range(warm_up):
        await call()
    spans = []
    gc.collect()
    cpu = time.process_time()
    for _ in range(times):
        started = time.perf_counter()
        await call()
        spans.append(time.perf_counter() - started)
    return _timing(spans, time.process_time() - cpu)


def _timing(spans: list[float], cpu: float) -> Timing:
    spans.sort()
    return Timing(
        p50=spans[len(spans) // 2] * 1e6,
        p99=spans[min(len(spans) - 1, int(len(spans) * 0.99))] * 1e6,
        cpu=cpu / len(spans) * 1e6,
    )
