"""Alerts and workbook query existing metrics, and every alert is explained."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from shared.observability.metrics import METRICS
from shared.observability.telemetry_export import SERVICE_NAME

ROOT = Path(__file__).resolve().parents[2]
ALERTS = json.loads((ROOT / "infra" / "bicep" / "alerts.json").read_text())
WORKBOOK = json.loads((ROOT / "infra" / "bicep" / "workbook.json").read_text())
QUERIES = [(rule["name"], rule["query"]) for rule in ALERTS["queries"]] + [
    (item["name"], item["content"]["query"]) for item in WORKBOOK["items"] if item["type"] == 3
]
RULES: list[dict[str, Any]] = [*ALERTS["queries"], *(rule for rules in ALERTS["platform"].values() for rule in rules)]
OWN_TABLE = "AppMetrics"
BUCKETS = "_bucket"
"""Histogram buckets are exported as a counter with this suffix and the upper edge as label `le`."""


def metrics_in(query: str) -> set[str]:
    """Return the metric names a query compares `Name` with."""
    if OWN_TABLE not in query:
        return set()
    lists = re.findall(r"Name in \(([^)]*)\)", query) + re.findall(r"Name == ('\w+')", query)
    return {name.removesuffix(BUCKETS) for each in lists for name in re.findall(r"'(\w+)'", each)}


def labels_in(query: str) -> set[str]:
    edge = {"le"} if BUCKETS in query else set()
    return set(re.findall(r"Properties\.(\w+)", query)) - edge


@pytest.mark.parametrize(("name", "query"), QUERIES, ids=[name for name, _ in QUERIES])
def test_queries_use_existing_metrics_and_labels(name: str, query: str):
    asked = metrics_in(query)
    assert asked or OWN_TABLE not in query, f"{name} names no metric"
    assert asked <= METRICS.keys()
    for label in labels_in(query):
        assert any(label in METRICS[metric].labels for metric in asked), f"{label} is not a label of {asked}"


def test_no_query_mistakes_the_apps_spans_for_the_hosts_requests():
    asking = [query for _, query in QUERIES if "AppRequests" in query]
    assert len(asking) > 3
    assert [query for query in asking if f"AppRoleName != '{SERVICE_NAME}'" not in query] == []


def test_renamed_metric_is_detected():
    assert metrics_in("AppMetrics | where Name == 'feed_answers' | summarize sum(Sum)") - METRICS.keys() == {
        "feed_answers"
    }


@pytest.mark.parametrize("rule", ALERTS["queries"], ids=lambda rule: rule["name"])
def test_an_alert_names_its_metrics_and_yields_a_value(rule: dict[str, Any]):
    assert set(rule["metrics"]) == metrics_in(rule["query"])
    assert re.search(r"\bValue = ", rule["query"])


def test_alert_names_are_unique_and_their_fields_complete():
    names = [rule["name"] for rule in RULES]
    assert len(names) == len(set(names))
    for rule in RULES:
        assert 0 <= rule["severity"] <= 4
        assert re.fullmatch(r"PT(1|5|10|15|30)M", rule["window"])
        assert re.fullmatch(r"PT(1|5|10|15)M", rule["frequency"])
        assert isinstance(rule["threshold"], int)


def test_every_alert_is_explained_on_the_operations_page():
    page = (ROOT / "docs" / "operations.md").read_text()
    assert [rule["name"] for rule in RULES if f"| `{rule['name']}` |" not in page] == []
