"""Makes spans of sampled traces from a request's stage timings, after it ended. Imports OpenTelemetry at first use."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Any

from shared.observability.tracing import Stages, Trace


class _Ids:
    """`IdGenerator` of OpenTelemetry that keeps the id a trace already has."""

    trace_id = 0

    def generate_trace_id(self) -> int:
        return self.trace_id

    def generate_span_id(self) -> int:
        return secrets.randbits(64) | 1

    def is_trace_id_random(self) -> bool:
        return False


class Traces:
    """Turns stages into a span with a child per stage, and passes spans to the exporters in batches."""

    def __init__(self, exporters: list[Any], resource: Any) -> None:
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON

        self._ids = _Ids()
        ids: Any = self._ids
        self.provider = TracerProvider(sampler=ALWAYS_ON, resource=resource, id_generator=ids, shutdown_on_exit=False)
        for exporter in exporters:
            self.provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self.provider.get_tracer("video-feed")

    def record(self, name: str, trace: Trace, stages: Stages, attributes: Mapping[str, str]) -> None:
        """Make the spans of a request that has just ended."""
        from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags, set_span_in_context

        offset = time.time() - time.perf_counter()

        def nanoseconds(at: float) -> int:
            return int((at + offset) * 1e9)

        self._ids.trace_id = int(trace.id, 16)
        parent = None
        if trace.parent:
            context = SpanContext(self._ids.trace_id, int(trace.parent, 16), True, TraceFlags(TraceFlags.SAMPLED))
            parent = set_span_in_context(NonRecordingSpan(context))
        whole = self._tracer.start_span(
            name, parent, SpanKind.SERVER, dict(attributes), start_time=nanoseconds(stages.started)
        )
        inside = set_span_in_context(whole)
        begin = stages.started
        for stage, end in stages.marks:
            self._tracer.start_span(f"{name}.{stage}", inside, start_time=nanoseconds(begin)).end(nanoseconds(end))
            begin = end
        whole.end(nanoseconds(begin))
