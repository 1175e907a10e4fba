"""Exported telemetry on the wire: OTLP to a collector and Azure Monitor's protocol; real exporters and sockets."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from shared.observability.metrics import Telemetry
from shared.observability.telemetry_export import Exporter, TelemetryExport, build_export
from shared.observability.tracing import Stages, Trace
from shared.settings import Settings

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"


@dataclass
class Collector:
    """Receives what exporters send. While `status` is not 200 it refuses."""

    url: str = ""
    status: int = 200
    bodies: dict[str, list[bytes]] = field(default_factory=dict)

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        if request.headers.get("Content-Encoding") == "gzip" and body[:2] == b"\x1f\x8b":
            body = gzip.decompress(body)
        if self.status != 200:
            return web.Response(status=self.status)
        self.bodies.setdefault(request.path, []).append(body)
        if request.path.endswith("/track"):
            items = len(json.loads(body))
            return web.json_response({"itemsReceived": items, "itemsAccepted": items, "errors": []})
        return web.Response(content_type="application/x-protobuf")

    def metrics(self) -> list[dict[str, Any]]:
        """Return each export as name → metric."""
        exports = []
        for body in self.bodies.get("/v1/metrics", []):
            [resource] = ExportMetricsServiceRequest.FromString(body).resource_metrics
            exports.append({metric.name: metric for scope in resource.scope_metrics for metric in scope.metrics})
        return exports

    def spans(self) -> list[Any]:
        return [
            span
            for body in self.bodies.get("/v1/traces", [])
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def tracked(self) -> list[list[tuple[str, dict[str, str], float, Any]]]:
        """Return each export to Azure Monitor as (metric, properties, value, count)."""
        return [
            [
                (point["name"], item["data"]["baseData"]["properties"], point["value"], point.get("count"))
                for item in json.loads(body)
                for point in item["data"]["baseData"]["metrics"]
            ]
            for path, bodies in self.bodies.items()
            if path.endswith("/track")
            for body in bodies
        ]


@asynccontextmanager
async def collector() -> AsyncIterator[Collector]:
    taker = Collector()
    runner = web.ServerRunner(web.Server(taker.take))  # type: ignore[arg-type]
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    taker.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield taker
    finally:
        await runner.cleanup()


def exporting(taker: Collector, telemetry: Telemetry, **settings: Any) -> TelemetryExport:
    export = build_export(Settings(otlp_endpoint=taker.url, **settings), telemetry, object)
    assert export is not None
    return export


def attributes(point: Any) -> dict[str, str]:
    return {each.key: each.value.string_value for each in point.attributes}


def test_nothing_is_exported_without_a_configured_destination() -> None:
    assert build_export(Settings(), Telemetry(), object) is None


async def test_sums_gauges_and_histograms_arrive_at_a_collector_with_their_labels() -> None:
    telemetry = Telemetry()
    async with collector() as taker:
        export = exporting(taker, telemetry)
        telemetry.count("feed_requests", "tenant_1", "personalized", "", amount=5)
        telemetry.watch("refresh_age_seconds", lambda: 3.5, "flags")
        telemetry.observe("feed_duration_ms", 7.0, "personalized")
        telemetry.observe("feed_duration_ms", 700.0, "personalized")
        await export.export()
        telemetry.count("feed_requests", "tenant_1", "personalized", "", amount=2)
        await export.stop()
        first, second = taker.metrics()

    [point] = first["feed_requests"].sum.data_points
    assert attributes(point) == {"tenant": "tenant_1", "mode": "personalized", "reason": ""}
    assert point.as_double == 5
    assert first["feed_requests"].sum.is_monotonic
    assert second["feed_requests"].sum.data_points[0].as_double == 7, "a collector gets running sums"
    assert first["refresh_age_seconds"].gauge.data_points[0].as_double == 3.5
    [histogram] = first["feed_duration_ms"].histogram.data_points
    assert (histogram.count, histogram.sum, histogram.min, histogram.max) == (2, 707.0, 7.0, 700.0)
    assert sum(histogram.bucket_counts) == 2
    assert len(histogram.bucket_counts) == len(histogram.explicit_bounds) + 1


async def test_unavailable_collector_costs_nothing_but_a_count() -> None:
    telemetry = Telemetry()
    async with collector() as taker:
        taker.status = 400
        export = exporting(taker, telemetry)
        telemetry.count("fold_conflicts")
        await export.export()
        assert telemetry.counters["telemetry_exports", ("otlp", "failed")] == 1
        taker.status = 200
        await export.stop()
        [arrived] = taker.metrics()
    assert arrived["fold_conflicts"].sum.data_points[0].as_double == 1


async def test_azure_monitor_gets_each_value_once_even_after_a_failure() -> None:
    os.environ.setdefault("APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL", "true")
    os.environ.setdefault("APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED", "true")
    from azure.monitor.opentelemetry.exporter import AzureMonitorMetricExporter

    telemetry = Telemetry()
    async with collector() as taker:
        connection = f"InstrumentationKey=00000000-0000-0000-0000-000000000001;IngestionEndpoint={taker.url}/"
        send = await asyncio.to_thread(
            AzureMonitorMetricExporter, connection_string=connection, disable_offline_storage=True, retry_total=0
        )
        exporter = Exporter("azure_monitor", send, delta=True, buckets_as_counters=True)
        export = TelemetryExport(telemetry, [exporter])
        telemetry.count("events_accepted", "tenant_1", amount=5)
        telemetry.observe("feed_duration_ms", 7.0, "personalized")
        await export.export()
        taker.status = 400
        telemetry.count("events_accepted", "tenant_1", amount=2)
        await export.export()
        taker.status = 200
        telemetry.count("events_accepted", "tenant_1", amount=1)
        await export.export()
        await export.export()
        exports = taker.tracked()

    arrived = [value for sent in exports for name, _, value, _ in sent if name == "events_accepted"]
    assert arrived == [5, 3], "what a failed export held goes with the next; nothing new sends nothing"
    first = {name: (properties, value, count) for name, properties, value, count in exports[0]}
    assert first["feed_duration_ms"] == ({"mode": "personalized"}, 7.0, 1)
    assert first["feed_duration_ms_bucket"][0] == {"mode": "personalized", "le": "10"}


async def test_a_sampled_trace_is_a_span_with_a_child_per_stage_under_the_callers_span() -> None:
    async with collector() as taker:
        export = exporting(taker, Telemetry(), trace_sample_ratio=1.0)
        stages = Stages()
        stages.end("signals")
        stages.end("rank")
        export.spans("get_feed", Trace(TRACE, SPAN), stages, {"mode": "personalized"})
        await export.stop()
        spans = {span.name: span for span in taker.spans()}

    assert set(spans) == {"get_feed", "get_feed.signals", "get_feed.rank"}
    whole = spans["get_feed"]
    assert {span.trace_id.hex() for span in spans.values()} == {TRACE}
    assert whole.parent_span_id.hex() == SPAN
    assert spans["get_feed.rank"].parent_span_id == spans["get_feed.signals"].parent_span_id == whole.span_id
    assert whole.start_time_unix_nano <= spans["get_feed.signals"].end_time_unix_nano
    assert spans["get_feed.signals"].end_time_unix_nano == spans["get_feed.rank"].start_time_unix_nano
    assert whole.end_time_unix_nano == spans["get_feed.rank"].end_time_unix_nano


async def test_unsampled_trace_makes_no_span() -> None:
    async with collector() as taker:
        export = exporting(taker, Telemetry(), trace_sample_ratio=1e-9)
        export.spans("get_feed", Trace(TRACE), Stages(), {})
        await export.stop()
        assert taker.spans() == []


async def test_spans_per_second_are_bounded_even_with_full_sampling() -> None:
    async with collector() as taker:
        export = exporting(taker, Telemetry(), trace_sample_ratio=1.0)
        for _ in range(500):
            export.spans("get_feed", Trace(TRACE), Stages(), {})
        await export.stop()
        assert 0 < len(taker.spans()) <= 60
