"""Counters and timings, added up in memory. Labels come from small closed sets: never a key, a hash or free text."""

from __future__ import annotations

import bisect
from collections import defaultdict

BUCKETS_MS = (1.0, 2.0, 5.0, 10.0, 15.0, 25.0, 50.0, 100.0, 150.0, 250.0, 600.0, 1_000.0, 2_500.0, 10_000.0)

Labels = tuple[str, ...]


class Telemetry:
    """Pre-aggregated metrics of one process."""

    def __init__(self) -> None:
        self.counters: defaultdict[tuple[str, Labels], float] = defaultdict(float)
        self.histograms: dict[tuple[str, Labels], list[float]] = {}
        self.gauges: dict[tuple[str, Labels], float] = {}

    def count(self, name: str, *labels: str, amount: float = 1) -> None:
        """Add to a counter. `labels` are values in the order `METRICS` names them."""
        self.counters[name, labels] += amount

    def gauge(self, name: str, value: float, *labels: str) -> None:
        """Set a gauge."""
        self.gauges[name, labels] = value

    def observe_ms(self, name: str, milliseconds: float, *labels: str) -> None:
        """Add one duration to a histogram of `BUCKETS_MS`, its sum and its count."""
        row = self.histograms.get((name, labels))
        if row is None:
            row = self.histograms[name, labels] = [0.0] * (len(BUCKETS_MS) + 3)
        row[bisect.bisect_left(BUCKETS_MS, milliseconds)] += 1
        row[-2] += milliseconds
        row[-1] += 1


METRICS: dict[str, tuple[str, tuple[str, ...]]] = {
    "feed_requests": ("Feeds served", ("tenant", "mode", "reason")),
    "feed_duration_ms": ("Time to serve a feed", ("mode",)),
    "feed_empty": ("Feeds without a single video", ("tenant",)),
    "http_problems": ("Answers other than success", ("endpoint", "code")),
    "events_accepted": ("Events accepted", ("tenant",)),
    "events_rejected": ("Events refused one by one", ("tenant", "code")),
    "events_unknown_video": ("Events about a video the tenant does not have", ("tenant",)),
    "batches_folded": ("Batches folded into signals", ("outcome",)),
    "fold_lag_ms": ("From a batch's acceptance to its fold", ()),
    "fold_conflicts": ("Folds repeated because another worker was first", ()),
    "batches_rolled_up": ("Batches added to video statistics", ("outcome",)),
    "rollup_writes": ("Writes of video statistics", ()),
    "dead_letters": ("Dead letters waiting for a decision", ("subscription",)),
    "dead_letters_dropped": ("Dead letters dropped because of their age or an erasure", ("subscription",)),
    "erasures": ("Users erased", ("tenant",)),
    "cowatch_tables": ("Builds of co-watch tables", ("outcome",)),
    "catalogs_evicted": ("Catalogs let go of to make room", ()),
    "messages_set_aside": ("Messages that cannot be understood", ("subscription", "reason")),
    "refresh_failures": ("A source of tenants, content, statistics or flags did not answer", ("source",)),
    "refresh_age_seconds": ("Age of what is held in memory", ("source",)),
    "store_failures": ("Document store calls that failed", ("caller",)),
    "bus_failures": ("Bus calls that failed", ("caller",)),
    "invalid_weights": ("Stored weights that cannot be served", ("tenant",)),
    "loop_delay_ms": ("How late the event loop runs what is due", ()),
    "signals_late": ("Signals that did not come within their budget", ()),
}
"""Every metric: what it counts, and its labels in order."""


def render_prometheus(telemetry: Telemetry) -> str:
    """The text format that Prometheus scrapes; served by the local host only."""
    lines: list[str] = []
    plain = {**telemetry.counters, **telemetry.gauges}
    for (name, labels), value in sorted(plain.items()):
        lines.append(f"{name}{_braces(name, labels)} {value:g}")
    for (name, labels), row in sorted(telemetry.histograms.items()):
        running = 0.0
        for bound, amount in zip((*BUCKETS_MS, float("inf")), row, strict=False):
            running += amount
            edge = "+Inf" if bound == float("inf") else f"{bound:g}"
            bucket = _braces(name, labels, f'le="{edge}"')
            lines.append(f"{name}_bucket{bucket} {running:g}")
        lines.append(f"{name}_sum{_braces(name, labels)} {row[-2]:g}")
        lines.append(f"{name}_count{_braces(name, labels)} {row[-1]:g}")
    return "\n".join(lines) + "\n"


def _braces(name: str, labels: Labels, extra: str = "") -> str:
    names = METRICS[name][1] if name in METRICS else ()
    pairs = [f'{label}="{value}"' for label, value in zip(names, labels, strict=False)]
    inside = ",".join([*pairs, extra] if extra else pairs)
    return f"{{{inside}}}" if inside else ""
