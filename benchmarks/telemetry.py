"""Measures the CPU that telemetry adds to a feed request: counters, stage times, trace id, sampled spans.

Each part is measured alone, as often as one request does it, and added up. `share` is that sum over the CPU of a whole
personalized request including telemetry. Measuring the request with and without telemetry would be too noisy. Exports
run beside requests; their CPU is given per request at 600 requests a second on one instance, the worst case.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Mapping
from itertools import cycle
from typing import Any

import bootstrap
from benchmarks.feed_handler import REQUESTS, _request, prepare, serve
from benchmarks.measuring import measure, measure_async
from benchmarks.results import SPEED, keep
from local.serving import first_flags, local_settings
from shared.adapters.backends import flags_file
from shared.observability.metrics import Telemetry
from shared.observability.telemetry_export import Exporter, TelemetryExport
from shared.observability.tracing import Stages, Trace, current_trace, trace_of

STAGES = ("authenticate", "flags", "signals", "catalog", "rank", "page", "render")
VIDEOS = 500
SAMPLE_RATIO = 0.001
REQUESTS_A_SECOND = 600
EXPORT_SECONDS = 60
TENANTS = 120
REPEAT = 200


def main() -> None:
    """Print the table; the last line is the claim."""
    print("\ntelemetry of a feed request, µs of CPU")
    total = asyncio.run(_whole_request())
    telemetry = Telemetry()
    parts = {
        "trace id, and its context for logs": _per_call(_trace),
        "stages noted": _per_call(_stages),
        "counters and histograms": _per_call(lambda: _record(telemetry)),
        "document store call counted": _per_call(lambda: _store_call(telemetry)),
        f"spans, {SAMPLE_RATIO:.1%} sampled": _spans(telemetry) * SAMPLE_RATIO,
        f"exports every {EXPORT_SECONDS} s, {TENANTS} tenants": _export() / (REQUESTS_A_SECOND * EXPORT_SECONDS),
    }
    for name, cost in parts.items():
        print(f"{name:44}{cost:9.2f}")
    cost = sum(parts.values())
    print(f"{'all telemetry':44}{cost:9.2f}")
    print(f"{f'a personalized request, {VIDEOS} videos':44}{total:9.2f}")
    verdict = "kept" if cost <= 0.05 * total else "BROKEN"
    keep(
        "telemetry",
        f"{cost / total:.1%}, objective 5 %",
        topic=SPEED,
        what="share of a personalized request's CPU that telemetry takes",
        command="python -m benchmarks telemetry",
    )
    print(f"{'share':44}{cost / total:9.1%}   objective 5 %: {verdict}")


def _per_call(call: Callable[[], object]) -> float:
    """Return µs of CPU per call, from many calls, since one is too short for the clock."""

    def many() -> None:
        for _ in range(REPEAT):
            call()

    return measure(many, 100).cpu / REPEAT


def _trace() -> None:
    current_trace.reset(current_trace.set(trace_of("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")))


def _stages() -> Stages:
    stages = Stages()
    for stage in STAGES:
        stages.end(stage)
    return stages


_SOME_STAGES = _stages()


def _record(telemetry: Telemetry) -> None:
    """Record the metrics of `feed/api.py` and `shared/web/endpoint.py` for one request, without the stages."""
    telemetry.count("feed_requests", "tenant_1", "personalized", "")
    milliseconds = telemetry.observe_stages("feed_stage_ms", _SOME_STAGES, "personalized")
    telemetry.observe("feed_duration_ms", milliseconds, "personalized")
    telemetry.count("http_requests", "get_feed", "2xx")
    telemetry.observe("http_duration_ms", milliseconds, "get_feed")


def _store_call(telemetry: Telemetry) -> None:
    telemetry.count("store_calls", "read", "ok")
    telemetry.observe("store_call_ms", 1.0, "read")


class _Taking:
    """Exporter that accepts everything."""

    def export(self, content: Any, timeout_millis: float = 0.0) -> Any:
        from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
        from opentelemetry.sdk.metrics.export import MetricExportResult

        encode_metrics(content).SerializeToString()
        return MetricExportResult.SUCCESS

    def shutdown(self) -> None:
        pass


class _TakingSpans(_Taking):
    def export(self, content: Any, timeout_millis: float = 0.0) -> Any:
        from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
        from opentelemetry.sdk.trace.export import SpanExportResult

        encode_spans(content).SerializeToString()
        return SpanExportResult.SUCCESS


def _spans(telemetry: Telemetry) -> float:
    """Measure the spans of one sampled request."""
    from opentelemetry.sdk.resources import Resource

    from shared.observability.spans import Traces

    traces = Traces([_TakingSpans()], Resource.create({}))
    trace, attributes = Trace("0af7651916cd43dd8448eb211c80319c"), _attributes()
    cost = measure(lambda: traces.record("get_feed", trace, _SOME_STAGES, attributes), 500).cpu
    traces.provider.shutdown()
    return cost


def _attributes() -> Mapping[str, str]:
    return {"tenant": "tenant_1", "mode": "personalized", "reason": ""}


def _export() -> float:
    """Measure one export of an instance that serves every tenant."""
    telemetry = Telemetry()
    for tenant in range(TENANTS):
        for mode, reason in (("personalized", ""), ("fallback", "cold_start"), ("fallback", "signals_unavailable")):
            telemetry.count("feed_requests", f"tenant_{tenant}", mode, reason)
        telemetry.count("events_accepted", f"tenant_{tenant}")
        telemetry.count("events_folded", f"tenant_{tenant}")
    _record(telemetry)
    export = TelemetryExport(telemetry, [Exporter("taking", _Taking())])
    return asyncio.run(measure_async(export.export, 20)).cpu


async def _whole_request() -> float:
    with tempfile.TemporaryDirectory() as folder:
        settings = local_settings({"DATA_FOLDER": folder, "SIGNALS_CACHE_SECONDS": "10"})
        first_flags(flags_file(settings))
        services = bootstrap.build(settings)
        await services.start()
        users = await prepare(services, "tenant-telemetry", VIDEOS)
        requests = cycle([_request("tenant-telemetry", user) for user in users])
        timing = await measure_async(lambda: serve(next(requests), services), REQUESTS)
        await services.close()
        return timing.cpu


if __name__ == "__main__":
    main()
