"""In-memory metrics and their Prometheus text."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from shared.observability.metric_table import COUNTER, GAUGE, HISTOGRAM, METRICS, as_markdown
from shared.observability.metrics import MAX_SERIES, Histogram, Telemetry, render_prometheus
from tests.served_app import ROOT


@given(st.lists(st.floats(0, 1e6), max_size=200))
def test_a_histogram_loses_no_value_and_puts_each_at_or_below_its_edge(values: list[float]) -> None:
    histogram = Histogram((1.0, 10.0, 100.0))
    for value in values:
        histogram.add(value)
    edges = (*histogram.bounds, float("inf"))
    for at, edge in enumerate(edges):
        assert sum(histogram.counts[: at + 1]) == sum(value <= edge for value in values)
    assert histogram.number == len(values)
    assert not values or (histogram.least, histogram.most) == (min(values), max(values))


def test_prometheus_text_names_labels_and_accumulates_buckets() -> None:
    telemetry = Telemetry()
    telemetry.count("feed_requests", "tenant_1", "fallback", "cold_start", amount=3)
    telemetry.observe("feed_duration_ms", 7.0, "fallback")
    telemetry.observe("feed_duration_ms", 70.0, "fallback")
    text = render_prometheus(telemetry)
    assert 'feed_requests{tenant="tenant_1",mode="fallback",reason="cold_start"} 3\n' in text
    assert 'feed_duration_ms_bucket{mode="fallback",le="10"} 1\n' in text
    assert 'feed_duration_ms_bucket{mode="fallback",le="100"} 2\n' in text
    assert 'feed_duration_ms_bucket{mode="fallback",le="+Inf"} 2\n' in text
    assert 'feed_duration_ms_sum{mode="fallback"} 77\n' in text
    assert "# TYPE feed_duration_ms histogram\n" in text


def test_label_value_cannot_break_the_prometheus_text() -> None:
    telemetry = Telemetry()
    telemetry.count("feed_empty", 'a"} 1\nfeed_empty{tenant="b')
    assert render_prometheus(telemetry).count("\nfeed_empty{") == 1


def test_label_combinations_above_the_limit_are_counted_as_dropped() -> None:
    telemetry = Telemetry()
    for number in range(MAX_SERIES + 50):
        telemetry.count("feed_empty", f"tenant_{number}")
    assert sum(name == "feed_empty" for name, _ in telemetry.counters) == MAX_SERIES
    assert telemetry.counters["telemetry_series_dropped", ("feed_empty",)] == 50
    telemetry.count("feed_empty", "tenant_0")
    assert telemetry.counters["feed_empty", ("tenant_0",)] == 2


def test_watched_gauge_is_read_at_collection() -> None:
    telemetry, ages = Telemetry(), [None, 4.0]
    telemetry.watch("refresh_age_seconds", lambda: ages.pop(0), "flags")
    assert telemetry.read_gauges() == {}
    assert telemetry.read_gauges() == {("refresh_age_seconds", ("flags",)): 4.0}


def test_every_metric_is_of_a_known_kind_and_a_histogram_has_rising_edges() -> None:
    for name, metric in METRICS.items():
        assert metric.kind in (COUNTER, GAUGE, HISTOGRAM), name
        if metric.kind == HISTOGRAM:
            assert list(metric.buckets) == sorted(set(metric.buckets)), name


KINDS = {"count": COUNTER, "gauge": GAUGE, "watch": GAUGE, "observe": HISTOGRAM, "observe_ms": HISTOGRAM}


def recorded() -> Iterator[tuple[str, str, str, int | None]]:
    """Return (where, metric, kind, number of labels) of every place that records one; None where a * hides the
    number."""
    before_labels = {"count": 1, "gauge": 2, "observe": 2, "observe_ms": 2, "watch": 2}
    for room in ("feed", "events", "media", "stories", "learning", "cms", "privacy", "shared"):
        for path in (ROOT / room).rglob("*.py"):
            for call in ast.walk(ast.parse(path.read_text())):
                if not isinstance(call, ast.Call) or not call.args:
                    continue
                said, first = ast.unparse(call.func), call.args[0]
                name = said.rpartition(".")[2]
                if name not in before_labels or not (said == name or said.endswith(f"telemetry.{name}")):
                    continue
                names = [first.body, first.orelse] if isinstance(first, ast.IfExp) else [first]
                starred = any(isinstance(each, ast.Starred) for each in call.args)
                labels = None if starred else len(call.args) - before_labels[name]
                for each in names:
                    if isinstance(each, ast.Constant):
                        yield f"{path.name}:{call.lineno}", each.value, KINDS[name], labels


def test_every_recorded_metric_is_in_the_table_with_its_kind_and_labels() -> None:
    places = list(recorded())
    assert len(places) > 40
    wrong = [
        (where, name, kind, labels)
        for where, name, kind, labels in places
        if name not in METRICS
        or METRICS[name].kind != kind
        or (labels is not None and labels != len(METRICS[name].labels))
    ]
    assert wrong == []


def test_every_metric_of_the_table_is_recorded_somewhere() -> None:
    elsewhere = {"feed_stage_ms", "telemetry_series_dropped"}  # by `observe_stages`, and by the counters themselves
    assert METRICS.keys() - {name for _, name, _, _ in recorded()} == elsewhere


def test_no_metric_has_a_user_a_key_a_video_or_free_text_as_label() -> None:
    allowed = {
        "tenant", "mode", "reason", "stage", "endpoint", "status", "code", "start", "type", "outcome", "subscription",
        "source", "flag", "operation", "caller", "breaker", "state", "arm", "exporter", "metric", "kind",
        "dependency", "service", "hint", "container", "field", "visibility", "emoji",
    }  # fmt: skip
    assert {label for metric in METRICS.values() for label in metric.labels} <= allowed


def test_metrics_page_is_up_to_date() -> None:
    assert (ROOT / "docs" / "metrics.md").read_text() == as_markdown()
