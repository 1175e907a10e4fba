"""Adds up counters and timings in memory: telemetry costs a request a few dictionary look-ups.

Exporters (`shared/observability/telemetry_export.py`) and the local host's `/metrics` read the sums from time to time.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable

from shared.observability.dependencies import Dependencies
from shared.observability.metric_table import BUCKETS_MS, METRICS, Metric
from shared.observability.tracing import Stages
from shared.observability.unreadable import UnreadableDocuments

__all__ = ["BUCKETS_MS", "METRICS", "Histogram", "Labels", "Telemetry", "render_prometheus"]

MAX_SERIES = 3_000
"""Limit of label combinations per metric. Values of further ones are dropped and counted. 120 tenants with every mode
and reason stay below it."""

Labels = tuple[str, ...]
Key = tuple[str, Labels]


class Histogram:
    """Values counted in buckets: `counts[i]` of those up to `bounds[i]`, the last one of the rest.

    `least` and `most`: smallest and largest value since the last export.
    """

    __slots__ = ("bounds", "counts", "least", "most", "number", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        self.number = 0
        self.least = float("inf")
        self.most = float("-inf")

    def add(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value
        self.number += 1
        if value > self.most:
            self.most = value
        if value < self.least:
            self.least = value


class Telemetry:
    """Pre-aggregated metrics and failing dependencies of one process. Not thread-safe: for the event loop's thread."""

    def __init__(self) -> None:
        self.counters: defaultdict[Key, float] = defaultdict(float)
        self.histograms: dict[Key, Histogram] = {}
        self.gauges: dict[Key, float] = {}
        self._watched: dict[Key, Callable[[], float | None]] = {}
        self._series: Counter[str] = Counter()
        self._stage_histograms: defaultdict[Key, dict[str, Histogram]] = defaultdict(dict)
        self.dependencies = Dependencies(self)
        self.unreadable = UnreadableDocuments(self)

    def count(self, name: str, *labels: str, amount: float = 1) -> None:
        """Add to a counter. `labels`: values in the order of `METRICS`."""
        key = (name, labels)
        if key in self.counters or self._admitted(name):
            self.counters[key] += amount

    def add(self, key: Key) -> None:
        """Add one to a counter. The caller keeps the key (name and labels), which saves half the work of `count`."""
        if key in self.counters or self._admitted(key[0]):
            self.counters[key] += 1

    def gauge(self, name: str, value: float, *labels: str) -> None:
        """Set a gauge."""
        key = (name, labels)
        if key in self.gauges or self._admitted(name):
            self.gauges[key] = value

    def watch(self, name: str, read: Callable[[], float | None], *labels: str) -> None:
        """Register a gauge that calls `read` at each export; None gives no value."""
        self._watched[name, labels] = read

    def observe(self, name: str, value: float, *labels: str) -> None:
        """Add one value to a histogram."""
        key = (name, labels)
        histogram = self.histograms.get(key)
        if histogram is None:
            if not self._admitted(name):
                return
            histogram = self.histograms[key] = Histogram(METRICS[name].buckets if name in METRICS else BUCKETS_MS)
        histogram.add(value)

    observe_ms = observe

    def observe_stages(self, name: str, stages: Stages, *labels: str) -> float:
        """Add each stage's milliseconds to a histogram whose first label is the stage. Return their total."""
        began = stages.started
        known = self._stage_histograms[name, labels]
        for stage, ended in stages.marks:
            histogram = known.get(stage)
            if histogram is not None:
                histogram.add((ended - began) * 1000)
            else:
                self.observe(name, (ended - began) * 1000, stage, *labels)
                if (name, (stage, *labels)) in self.histograms:
                    known[stage] = self.histograms[name, (stage, *labels)]
            began = ended
        return (began - stages.started) * 1000

    def read_gauges(self) -> dict[Key, float]:
        """Return every gauge as of now."""
        read = {key: value for key, watch in self._watched.items() if (value := watch()) is not None}
        return {**self.gauges, **read}

    def _admitted(self, name: str) -> bool:
        if self._series[name] >= MAX_SERIES:
            self.counters["telemetry_series_dropped", (name,)] += 1
            return False
        self._series[name] += 1
        return True


def render_prometheus(telemetry: Telemetry) -> str:
    """Return the metrics in Prometheus' text format. Only the local host serves it."""
    lines: list[str] = []
    told: set[str] = set()
    plain = {**telemetry.counters, **telemetry.read_gauges()}
    for (name, labels), value in sorted(plain.items()):
        lines += _head(name, told)
        lines.append(f"{name}{_braces(name, labels)} {value:.12g}")
    for (name, labels), histogram in sorted(telemetry.histograms.items(), key=lambda item: item[0]):
        lines += _head(name, told)
        running = 0
        for bound, amount in zip((*histogram.bounds, float("inf")), histogram.counts, strict=True):
            running += amount
            edge = "+Inf" if bound == float("inf") else f"{bound:g}"
            bucket = _braces(name, labels, f'le="{edge}"')
            lines.append(f"{name}_bucket{bucket} {running}")
        lines.append(f"{name}_sum{_braces(name, labels)} {histogram.total:.12g}")
        lines.append(f"{name}_count{_braces(name, labels)} {histogram.number}")
    return "\n".join(lines) + "\n"


def _head(name: str, told: set[str]) -> Iterable[str]:
    metric: Metric | None = METRICS.get(name)
    if metric is None or name in told:
        return ()
    told.add(name)
    return (f"# HELP {name} {metric.help}", f"# TYPE {name} {metric.kind}")


def _braces(name: str, labels: Labels, extra: str = "") -> str:
    names = METRICS[name].labels if name in METRICS else ()
    pairs = [f'{label}="{_escaped(value)}"' for label, value in zip(names, labels, strict=False)]
    inside = ",".join([*pairs, extra] if extra else pairs)
    return f"{{{inside}}}" if inside else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
