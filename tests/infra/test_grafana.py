"""The Grafana dashboard queries existing metrics and labels, and shows what the live page shows."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from shared.observability.metric_table import COUNTER, GAUGE, HISTOGRAM, METRICS
from shared.observability.metrics import Telemetry, render_prometheus
from shared.observability.recent import HISTOGRAMS
from tests.served_app import ROOT

DASHBOARD: dict[str, Any] = json.loads((ROOT / "infra" / "grafana.json").read_text())
QUERIES = [
    (panel["title"], target["expr"], target["legendFormat"])
    for panel in DASHBOARD["panels"]
    for target in panel["targets"]
]
FUNCTIONS = {"histogram_quantile", "sum", "max", "min", "rate", "increase", "by", "le"}


def asked(query: str) -> tuple[set[str], set[str]]:
    """Return the metrics of a query as they are scraped, and its grouping labels."""
    labels = {label.strip() for group in re.findall(r"by \(([^)]*)\)", query) for label in group.split(",")}
    names = set(re.findall(r"[a-z][a-z_0-9]+", re.sub(r"\[[^]]*\]|by \([^)]*\)", "", query))) - FUNCTIONS
    return names, labels


def wrong(query: str, legend: str) -> list[str]:
    """Return what is wrong with one query."""
    names, labels = asked(query)
    found = [] if names else ["it asks for no metric"]
    for name in names:
        metric = METRICS.get(name.removesuffix("_bucket"))
        if metric is None:
            found.append(f"there is no metric {name}")
            continue
        if name.endswith("_bucket") != (metric.kind == HISTOGRAM):
            found.append(f"{name} is a {metric.kind}")
        if (metric.kind == GAUGE) == ("rate(" in query or "increase(" in query):
            found.append(f"{name} is a {metric.kind}, and {'' if metric.kind == GAUGE else 'not '}taken as a rate")
        found += [f"{name} has no label {label}" for label in labels - {"le", *metric.labels}]
    found += [f"the legend names {name}" for name in set(re.findall(r"{{(\w+)}}", legend)) - labels]
    return found


@pytest.mark.parametrize(("title", "query", "legend"), QUERIES)
def test_queries_use_existing_metrics_of_their_kind_with_their_labels(title: str, query: str, legend: str) -> None:
    assert wrong(query, legend) == [], title


@pytest.mark.parametrize(
    ("query", "legend", "found"),
    [
        ("sum(rate(feed_answers[5m]))", "", "no metric"),
        ("sum by (user) (rate(feed_requests[5m]))", "", "no label user"),
        ("sum(feed_requests)", "", "not taken as a rate"),
        ("sum(rate(queue_messages[5m]))", "", "and taken as a rate"),
        ("sum(rate(feed_duration_ms[5m]))", "", "is a histogram"),
        ("max(loop_delay_ms)", "{{mode}}", "legend names mode"),
    ],
)
def test_a_planted_mistake_is_found(query: str, legend: str, found: str) -> None:
    assert any(found in each for each in wrong(query, legend))


def test_metric_names_are_those_exported_to_prometheus() -> None:
    telemetry = Telemetry()
    for name, metric in METRICS.items():
        labels = ["x"] * len(metric.labels)
        if metric.kind == HISTOGRAM:
            telemetry.observe(name, 1.0, *labels)
        elif metric.kind == COUNTER:
            telemetry.count(name, *labels)
        else:
            telemetry.gauge(name, 1.0, *labels)
    scraped = set(re.findall(r"^(\w+)", render_prometheus(telemetry), re.MULTILINE))
    assert {name for _, query, _ in QUERIES for name in asked(query)[0]} <= scraped


def test_every_histogram_of_the_live_page_is_on_the_dashboard() -> None:
    shown = {name.removesuffix("_bucket") for _, query, _ in QUERIES for name in asked(query)[0]}
    assert shown >= HISTOGRAMS - {"http_duration_ms"}


def test_panels_do_not_overlap_and_ids_are_unique() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not taken & cells, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
