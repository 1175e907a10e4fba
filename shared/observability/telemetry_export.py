"""Exports metrics and the spans of sampled traces through OpenTelemetry's exporters.

Off unless configured: `OTEL_EXPORTER_OTLP_ENDPOINT` sends to a collector over OTLP/HTTP (cumulative sums),
`APPLICATIONINSIGHTS_CONNECTION_STRING` to Azure Monitor (sums since the last export, as it requires). Only then is the
SDK imported. Requests never wait for an export: the event loop copies the sums, a thread sends them.

The SDK's own counters and histograms are not on the request's path: one of their `add` calls costs as much as ten
of ours. The exporters get OpenTelemetry's data model, made from our sums.
"""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.observability.metric_table import COUNTER, GAUGE, METRICS
from shared.observability.metrics import Histogram, Key, Telemetry
from shared.observability.spans import Traces
from shared.observability.tracing import Stages, Trace, current_trace
from shared.settings import Settings

log = logging.getLogger("feed.telemetry")

SERVICE_NAME = "video-feed"
EXPORT_TIMEOUT_SECONDS = 10.0
TRACES_PER_SECOND = 20
"""Limit per process, also in a traffic peak or when a client chooses its trace ids."""


@dataclass
class Exporter:
    """A metric exporter of OpenTelemetry. `delta`: it wants the sums since the last export.

    `buckets_as_counters`: it stores only sum, count, minimum and maximum of a histogram. So buckets are sent as a
    counter `<name>_bucket` with the upper edge as label `le`, and queries compute percentiles from these.
    """

    name: str
    send: Any
    delta: bool = False
    buckets_as_counters: bool = False
    sent: dict[Key, float] = field(default_factory=dict)
    sent_histograms: dict[Key, tuple[list[int], float, int]] = field(default_factory=dict)
    since_ns: int = field(default_factory=time.time_ns)


class TelemetryExport:
    """The exporters of one process and the loop that feeds them. `traces` None exports no spans."""

    def __init__(
        self,
        telemetry: Telemetry,
        exporters: list[Exporter],
        traces: Any = None,
        *,
        interval_seconds: float = 60.0,
        sample_ratio: float = 0.0,
    ) -> None:
        self._telemetry = telemetry
        self._exporters = exporters
        self._traces = traces
        self._interval = interval_seconds
        self.sample_ratio = sample_ratio if traces is not None else 0.0
        self._second, self._in_second = 0, 0
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start exporting on the running event loop."""
        if self._loop is None:
            self._loop = asyncio.create_task(self._run(), name="telemetry-export")

    async def stop(self) -> None:
        """Export once more, then close the exporters."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
            self._loop = None
        await self.export()
        await asyncio.to_thread(self._shut_down)

    def _shut_down(self) -> None:
        for exporter in self._exporters:
            exporter.send.shutdown()
        if self._traces is not None:
            self._traces.provider.shutdown()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            await self.export()

    async def export(self) -> None:
        """Send the sums to every exporter. Failures are counted; the next export includes what was not sent."""
        gauges = self._telemetry.read_gauges()
        counters = dict(self._telemetry.counters)
        histograms = self._take_histograms()
        for exporter in self._exporters:
            outcome = await asyncio.to_thread(_send, exporter, counters, gauges, histograms)
            self._telemetry.count("telemetry_exports", exporter.name, outcome)

    def _take_histograms(self) -> dict[Key, Histogram]:
        """Copy the histograms, and reset `least` and `most` of the originals."""
        copies = {}
        for key, live in self._telemetry.histograms.items():
            copy = copies[key] = Histogram(live.bounds)
            copy.counts, copy.total, copy.number = list(live.counts), live.total, live.number
            copy.least, copy.most = live.least, live.most
            live.least, live.most = float("inf"), float("-inf")
        return copies

    def spans(self, name: str, trace: Trace, stages: Stages, attributes: Mapping[str, str]) -> None:
        """Record a request's stages as spans when its trace is sampled. `attributes`: values from small closed sets."""
        if self._traces is None or not trace.sampled(self.sample_ratio):
            return
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._in_second = second, 0
        if self._in_second < TRACES_PER_SECOND:
            self._in_second += 1
            self._traces.record(name, trace, stages, attributes)


class Spans:
    """Records the stages of the current request or message as spans, when its trace is sampled."""

    def __init__(self, export: TelemetryExport | None) -> None:
        self._export = export

    def wanted(self) -> bool:
        """Whether the current trace is sampled."""
        return self._export is not None and current_trace.get().sampled(self._export.sample_ratio)

    def record(self, name: str, stages: Stages, **attributes: str) -> None:
        """Record the stages. `attributes`: values from small closed sets, as metric labels are."""
        if self._export is not None:
            self._export.spans(name, current_trace.get(), stages, attributes)


def _send(
    exporter: Exporter, counters: Mapping[Key, float], gauges: Mapping[Key, float], histograms: Mapping[Key, Histogram]
) -> str:
    """Send to one exporter, in a thread. Sums count as sent only once the exporter has taken them."""
    from opentelemetry.sdk.metrics.export import MetricExportResult

    now_ns = time.time_ns()
    try:
        content, remember = _metrics_data(exporter, counters, gauges, histograms, now_ns)
        result = exporter.send.export(content, timeout_millis=EXPORT_TIMEOUT_SECONDS * 1000)
    except Exception as error:  # an exporter may raise anything; telemetry never takes the app down
        log.warning("telemetry could not be exported by %s: %s", exporter.name, type(error).__name__)
        return "failed"
    if result is not MetricExportResult.SUCCESS:
        return "failed"
    remember()
    return "sent"


def _metrics_data(
    exporter: Exporter,
    counters: Mapping[Key, float],
    gauges: Mapping[Key, float],
    histograms: Mapping[Key, Histogram],
    now_ns: int,
) -> tuple[Any, Callable[[], None]]:
    """Return OpenTelemetry's data model of the sums, and a callback for when they are sent."""
    from opentelemetry.sdk.metrics.export import (
        AggregationTemporality,
        Gauge,
        HistogramDataPoint,
        Metric,
        MetricsData,
        NumberDataPoint,
        ResourceMetrics,
        ScopeMetrics,
        Sum,
    )
    from opentelemetry.sdk.metrics.export import Histogram as HistogramData
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    temporality = AggregationTemporality.DELTA if exporter.delta else AggregationTemporality.CUMULATIVE
    since = exporter.since_ns
    points: dict[tuple[str, str], list[Any]] = {}

    def number(kind: str, key: Key, value: float, **more: str) -> None:
        attributes = {**_attributes(key), **more}
        points.setdefault((kind, key[0]), []).append(NumberDataPoint(attributes, since, now_ns, value))

    for key, total in counters.items():
        value = total - exporter.sent.get(key, 0.0) if exporter.delta else total
        if value or not exporter.delta:
            number(COUNTER, key, value)
    for key, value in gauges.items():
        number(GAUGE, key, value)
    for key, histogram in histograms.items():
        counts, total, amount = exporter.sent_histograms.get(key, ([0] * len(histogram.counts), 0.0, 0))
        if exporter.delta:
            if histogram.number == amount:
                continue
            fresh = [now - before for now, before in zip(histogram.counts, counts, strict=True)]
            added, summed = histogram.number - amount, histogram.total - total
        else:
            fresh, added, summed = histogram.counts, histogram.number, histogram.total
        least, most = (histogram.least, histogram.most) if histogram.most >= histogram.least else (0.0, 0.0)
        points.setdefault(("histogram", key[0]), []).append(
            HistogramDataPoint(_attributes(key), since, now_ns, added, summed, fresh, histogram.bounds, least, most)
        )
        if exporter.buckets_as_counters:
            for edge, count in zip((*histogram.bounds, float("inf")), fresh, strict=True):
                if count:
                    le = "inf" if edge == float("inf") else f"{edge:g}"
                    number(COUNTER, (f"{key[0]}_bucket", key[1]), float(count), le=le)

    metrics = []
    for (kind, name), of_one in points.items():
        data: Any
        if kind == COUNTER:
            data = Sum(of_one, temporality, True)
        elif kind == GAUGE:
            data = Gauge(of_one)
        else:
            data = HistogramData(of_one, temporality)
        metrics.append(Metric(name, _help(name), "ms" if name.endswith("_ms") else "1", data))
    scope = ScopeMetrics(InstrumentationScope("video-feed"), metrics, "")

    def remember() -> None:
        if exporter.delta:
            exporter.sent = dict(counters)
            exporter.sent_histograms = {key: (h.counts, h.total, h.number) for key, h in histograms.items()}
            exporter.since_ns = now_ns

    return MetricsData([ResourceMetrics(_resource(), [scope], "")]), remember


def _attributes(key: Key) -> dict[str, str]:
    name, labels = key
    metric = METRICS.get(name.removesuffix("_bucket"))
    return dict(zip(metric.labels, labels, strict=False)) if metric else {}


def _help(name: str) -> str:
    metric = METRICS.get(name) or METRICS.get(name.removesuffix("_bucket"))
    return metric.help if metric else ""


def _resource() -> Any:
    from opentelemetry.sdk.resources import Resource

    return Resource.create(
        {
            "service.name": SERVICE_NAME,
            "service.instance.id": f"{platform.node()[:40]}-{os.getpid()}",
        }
    )


def build_export(settings: Settings, telemetry: Telemetry, credential: Callable[[], Any]) -> TelemetryExport | None:
    """Build the exporters that the settings name; None when they name none. Nothing connects yet.

    `credential` makes the Azure token credential for Azure Monitor.
    """
    exporters: list[Exporter] = []
    span_exporters: list[Any] = []
    if settings.otlp_endpoint:
        _add_otlp(settings.otlp_endpoint, exporters, span_exporters)
    if settings.insights_connection_string:
        _add_azure_monitor(settings.insights_connection_string, credential, exporters, span_exporters)
    if not exporters:
        return None
    traces = Traces(span_exporters, _resource()) if settings.trace_sample_ratio else None
    return TelemetryExport(
        telemetry,
        exporters,
        traces,
        interval_seconds=settings.telemetry_export_seconds,
        sample_ratio=settings.trace_sample_ratio,
    )


def _add_otlp(endpoint: str, exporters: list[Exporter], span_exporters: list[Any]) -> None:
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    root = endpoint.rstrip("/")
    send = OTLPMetricExporter(endpoint=f"{root}/v1/metrics", timeout=EXPORT_TIMEOUT_SECONDS)
    exporters.append(Exporter("otlp", send))
    span_exporters.append(OTLPSpanExporter(endpoint=f"{root}/v1/traces", timeout=EXPORT_TIMEOUT_SECONDS))


def _add_azure_monitor(
    connection_string: str, credential: Callable[[], Any], exporters: list[Exporter], span_exporters: list[Any]
) -> None:
    # Before the import: the exporter would send its own statistics to, and read its configuration from, the internet.
    os.environ.setdefault("APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL", "true")
    os.environ.setdefault("APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED", "true")
    from azure.monitor.opentelemetry.exporter import AzureMonitorMetricExporter, AzureMonitorTraceExporter

    given = {
        "connection_string": connection_string,
        "credential": credential(),
        "disable_offline_storage": True,
        "timeout": EXPORT_TIMEOUT_SECONDS,
    }
    send = AzureMonitorMetricExporter(**given)
    exporters.append(Exporter("azure_monitor", send, delta=True, buckets_as_counters=True))
    span_exporters.append(AzureMonitorTraceExporter(**given))
