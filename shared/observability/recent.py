"""Keeps snapshots of the counters of the last minutes, and computes percentiles from histogram buckets.

Requests pay nothing for it: a loop copies the sums every `EVERY_SECONDS`, and the Studio's page *Live* compares two
snapshots. Tenants are added up, so a snapshot's size does not grow with their number.
"""

from __future__ import annotations

import asyncio
from array import array
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

from shared.observability.metric_table import METRICS
from shared.observability.metrics import Key, Labels, Telemetry

EVERY_SECONDS = 15.0
MOST_MINUTES = 15
READINGS = int(MOST_MINUTES * 60 / EVERY_SECONDS) + 1
HISTOGRAMS = frozenset(
    {"feed_duration_ms", "feed_stage_ms", "fold_lag_ms", "rollup_lag_ms", "http_duration_ms", "store_call_ms"}
)
COUNTERS: dict[str, Callable[[Labels], Labels]] = {
    "feed_requests": itemgetter(slice(1, 3)),
    "feed_empty": itemgetter(slice(0)),
    "http_requests": itemgetter(slice(1, 2)),
    "events_accepted": itemgetter(slice(0)),
    "events_rejected": itemgetter(slice(0)),
    "events_folded": itemgetter(slice(0)),
    "events_late": itemgetter(slice(0)),
}
"""Counters of a snapshot → the labels to keep. Series that differ only in other labels are added up."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Snapshot of the sums. `at` in seconds of a monotonic clock."""

    at: float
    counters: Mapping[Key, float]
    histograms: Mapping[Key, Sequence[int]]


@dataclass(frozen=True, slots=True)
class Spread:
    """Percentiles of `number` values, None without values. `top`: the highest bucket edge; a percentile equal to it is
    that or more."""

    number: int
    p50: float | None
    p95: float | None
    p99: float | None
    top: float


class Recent:
    """Ring of snapshots of one process, for its event loop's thread. `clock`: monotonic, in seconds."""

    def __init__(self, telemetry: Telemetry, clock: Callable[[], float]) -> None:
        self._telemetry = telemetry
        self._clock = clock
        self._readings: deque[Reading] = deque([read_sums(telemetry, clock())], maxlen=READINGS)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start taking snapshots on the running event loop. A second call does nothing."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="recent-metrics")

    async def stop(self) -> None:
        """Stop taking snapshots."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def take(self) -> None:
        """Take a snapshot; the oldest one is dropped when the ring is full."""
        self._readings.append(read_sums(self._telemetry, self._clock()))

    def window(self, seconds: float) -> Window:
        """Return the counts since the newest snapshot that is `seconds` old, or since the oldest one."""
        now = read_sums(self._telemetry, self._clock())
        before = self._readings[0]
        for reading in self._readings:
            if now.at - reading.at < seconds:
                break
            before = reading
        return Window(before, now)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            self.take()


class Window:
    """Counts between two snapshots. `seconds`: the time between them."""

    def __init__(self, before: Reading, after: Reading) -> None:
        self._before, self._after = before, after
        self.seconds = max(0.0, after.at - before.at)

    def counted(self, name: str) -> dict[Labels, int]:
        """Return a counter by its kept labels, without those that did not move."""
        before = self._before.counters
        moved = {
            labels: round(total - before.get((counter, labels), 0.0))
            for (counter, labels), total in self._after.counters.items()
            if counter == name
        }
        return {labels: amount for labels, amount in moved.items() if amount > 0}

    def total(self, name: str) -> int:
        """Return a counter's sum over all of its labels."""
        return sum(self.counted(name).values())

    def spread(self, name: str, *labels: str | None) -> Spread:
        """Return the percentiles of a histogram. `labels`: values in the order of the table; None, or left out at the
        end, means any."""
        edges = METRICS[name].buckets
        counts = [0] * (len(edges) + 1)
        for key, after in self._after.histograms.items():
            if key[0] == name and all(want in (None, had) for want, had in zip(labels, key[1], strict=False)):
                before = self._before.histograms.get(key) or [0] * len(after)
                counts = [sum_ + new - old for sum_, new, old in zip(counts, after, before, strict=True)]
        return spread(edges, counts)

    def labels(self, name: str) -> list[Labels]:
        """Return the labels of a histogram's series that got a value in the window, oldest series first."""
        return [
            key[1]
            for key, after in self._after.histograms.items()
            if key[0] == name and sum(after) > sum(self._before.histograms.get(key, ()))
        ]


def read_sums(telemetry: Telemetry, at: float) -> Reading:
    """Return a snapshot of the watched counters and histograms."""
    counters: defaultdict[Key, float] = defaultdict(float)
    for key, total in telemetry.counters.items():
        kept = COUNTERS.get(key[0])
        if kept is not None:
            counters[key[0], kept(key[1])] += total
    histograms = {
        key: array("Q", histogram.counts) for key, histogram in telemetry.histograms.items() if key[0] in HISTOGRAMS
    }
    return Reading(at, counters, histograms)


def spread(edges: Sequence[float], counts: Sequence[int]) -> Spread:
    """Return percentiles from bucket counts: `counts[i]` values are at most `edges[i]`, the last ones above all."""
    p50, p95, p99 = (percentile(edges, counts, share) for share in (0.5, 0.95, 0.99))
    return Spread(sum(counts), p50, p95, p99, edges[-1])


def percentile(edges: Sequence[float], counts: Sequence[int], share: float) -> float | None:
    """Return the value that `share` of all values do not exceed, estimated as Prometheus' `histogram_quantile` does:
    linear within a bucket, the highest edge for values above it. None without values."""
    number = sum(counts)
    if not number:
        return None
    wanted, below = share * number, 0
    for place, count in enumerate(counts[:-1]):
        if count and below + count >= wanted:
            low = edges[place - 1] if place else min(0.0, edges[0])
            return low + (edges[place] - low) * (wanted - below) / count
        below += count
    return edges[-1]
