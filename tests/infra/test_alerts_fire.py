"""Every query alert fires on rows of its condition and not on rows of an ordinary hour.

The rows go through the Azure Monitor exporter and come back as rows of the workspace's tables, over which `duckdb-kql`
runs the alert's own query. It has no `percentilew`: for the three queries with it a row is repeated by its weight, and
the test asks for `percentile`, which is the same by definition. Requests are rows of the host, so they are made here,
beside the app's own spans, which no alert may mistake for requests.
"""

from __future__ import annotations

import asyncio
import json
import operator
import os
import re
from collections.abc import Callable
from typing import Any

import duckdb_kql
import pytest

from shared.observability.metrics import Telemetry
from shared.observability.telemetry_export import SERVICE_NAME, Exporter, TelemetryExport
from tests.infra.test_alerts import ALERTS
from tests.shared.observability.test_telemetry_export import collector

Record = Callable[[Telemetry], Any]
Row = dict[str, Any]

METRICS_TABLE = "TimeGenerated timestamp, Name varchar, Sum double, Min double, Max double, ItemCount bigint"
TABLES = {
    "AppMetrics": f"{METRICS_TABLE}, Properties json, AppRoleName varchar",
    "AppRequests": "Name varchar, DurationMs double, ItemCount bigint, ResultCode varchar, AppRoleName varchar",
    "_LogOperation": "Category varchar, Operation varchar, Level varchar, Detail varchar",
}
OPERATORS = {"GreaterThan": operator.gt, "LessThan": operator.lt, "LessThanOrEqual": operator.le}
WEIGHTED = re.compile(r"percentilew\((\w+), (ItemCount|tolong\(Sum\)), (\d+)\)")
RULES = {rule["name"]: rule for rule in ALERTS["queries"]}


def counted(name: str, *labels: str, amount: float = 1) -> Record:
    return lambda telemetry: telemetry.count(name, *labels, amount=amount)


def gauged(name: str, value: float, *labels: str) -> Record:
    return lambda telemetry: telemetry.gauge(name, value, *labels)


def observed(name: str, value: float, *labels: str, times: int = 1) -> Record:
    return lambda telemetry: [telemetry.observe(name, value, *labels) for _ in range(times)]


def both(*records: Record) -> Record:
    return lambda telemetry: [record(telemetry) for record in records]


ORDINARY = both(
    counted("feed_requests", "news", "personalized", "", amount=990),
    counted("feed_requests", "news", "fallback", "new_user", amount=10),
    counted("http_requests", "get_feed", "2xx", amount=999),
    counted("http_requests", "get_feed", "5xx", amount=1),
    counted("http_requests", "get_ready", "5xx", amount=3),
    observed("feed_duration_ms", 12.0, "personalized", times=99),
    observed("feed_duration_ms", 120.0, "personalized"),
    counted("events_accepted", "news", amount=5_000),
    counted("events_rejected", "news", "unreadable", amount=10),
    counted("events_folded", "news", amount=4_990),
    counted("events_late", "news", amount=10),
    counted("playback_events", "news", "start", amount=1_000),
    counted("playback_events", "news", "stall", amount=80),
    counted("playback_events", "news", "playback_error", amount=20),
    counted("playback_events", "small", "playback_error", amount=3),
    counted("batches_folded", "folded", amount=250),
    counted("batches_rolled_up", "added", amount=250),
    observed("fold_lag_ms", 400.0, times=50),
    gauged("refresh_age_seconds", 20.0, "flags"),
    gauged("rollup_sessions_parked", 0),
    gauged("queue_oldest_seconds", 45.0, "rollup"),
    gauged("queue_oldest_seconds", 900.0, "signals"),
    gauged("dead_letters", 0, "signals"),
    gauged("flags_on", 1, "personalized-feed"),
    gauged("flags_on", 0, "dark-launch"),
    gauged("breaker_open", 0, "signals"),
    gauged("clock_wrong", 0),
    gauged("clock_disputed", 0),
    counted("store_calls", "read", "ok", amount=10_000),
    counted("store_calls", "read", "throttled", amount=90),
    counted("store_request_units", "read", amount=12_000),
    counted("store_calls", "query", "ok", amount=3),
    counted("store_request_units", "query", amount=900),
    counted("store_failures", "signals", amount=20),
    counted("bus_failures", "publish", amount=5),
    counted("refresh_failures", "flags", amount=2),
    counted("signals_late", amount=30),
    gauged("story_expiry_lag_seconds", 55.0),
    counted("story_rows", "news", "newest", "none", amount=990),
    counted("story_rows", "news", "newest", "follows_unavailable", amount=10),
    counted("live_sends", "sent", amount=95),
    counted("live_sends", "failed", amount=5),
    counted("uploads", "news", "started", amount=90),
    counted("uploads", "news", "done", amount=40),
    counted("uploads", "news", "type", amount=3),
    counted("uploads", "small", "size", amount=4),
)
"""An ordinary hour: some of nearly everything, no reason for an alert."""

FIRES: dict[str, Record] = {
    "feed-mean-latency": observed("feed_duration_ms", 900.0, "personalized", times=20),
    "fallback-share": counted("feed_requests", "news", "fallback", "signals_unavailable", amount=400),
    "kill-switch-on": counted("feed_requests", "news", "fallback", "kill_switch"),
    "empty-feeds": counted("feed_empty", "news", amount=101),
    "signals-late": counted("signals_late", amount=2_000),
    "freshness-content": gauged("refresh_age_seconds", 75.0, "content"),
    "freshness-events": observed("fold_lag_ms", 320_000.0),
    "fold-lag-mean": observed("fold_lag_ms", 60_000.0, times=50),
    "fold-stopped": lambda telemetry: telemetry.counters.pop(("batches_folded", ("folded",))),
    "rollup-stopped": both(
        lambda telemetry: telemetry.counters.pop(("batches_rolled_up", ("added",))),
        counted("batches_rolled_up", "duplicate"),
    ),
    "rollup-late": gauged("queue_oldest_seconds", 301.0, "rollup"),
    "rollup-parked": gauged("rollup_sessions_parked", 1),
    "messages-set-aside": counted("messages_set_aside", "signals", "unreadable"),
    "store-failures": counted("store_failures", "signals", amount=200),
    "bus-failures": counted("bus_failures", "publish", amount=200),
    "refresh-failures": counted("refresh_failures", "tenants", amount=60),
    "invalid-weights": counted("invalid_weights", "news"),
    "model-taken-back": counted("model_take_backs", "news", "taken_back"),
    "flags-odd": gauged("flags_odd", 1, "personalized-feed", "unreadable"),
    "clock": gauged("clock_disputed", 1),
    "unreadable-documents": counted("unreadable_documents", "rule"),
    "events-refused": counted("events_rejected", "news", "unreadable", amount=600),
    "feed-latency-inside": observed("feed_duration_ms", 240.0, "personalized", times=30),
    "errors-inside": counted("http_requests", "get_feed", "5xx", amount=30),
    "kill-switch-flag": gauged("flags_on", 0, "personalized-feed"),
    "statistics-over-peak": counted("events_over_peak", "news"),
    "events-late": counted("events_late", "news", amount=500),
    "playback-failures": counted("playback_events", "news", "playback_error", amount=40),
    "stories-end-late": gauged("story_expiry_lag_seconds", 200.0),
    "stories-row-blind": counted("story_rows", "news", "newest", "follows_unavailable", amount=100),
    "stories-nudges-fail": counted("live_sends", "failed", amount=40),
    "uploads-refused": counted("uploads", "news", "type", amount=60),
    "breaker-open": gauged("breaker_open", 1, "signals"),
    "store-throttled": counted("store_calls", "read", "throttled", amount=200),
    "store-expensive": both(
        counted("store_calls", "query", "ok", amount=200), counted("store_request_units", "query", amount=9_000)
    ),
    "cosmos-throttled": counted("store_calls", "write", "throttled", amount=900),
    "dead-letters-waiting": gauged("dead_letters", 1, "rollup"),
    "silence": lambda telemetry: [telemetry.counters.pop(key) for key in [*telemetry.counters] if "feed_" in key[0]],
}
"""Alert → what is added to or removed from the ordinary hour so that it must fire."""


def host_row(duration_ms: float = 20.0, items: int = 50, result: int = 200, role: str = "func-vfeed-prod") -> Row:
    return {
        "Name": "get_feed",
        "DurationMs": duration_ms,
        "ItemCount": items,
        "ResultCode": str(result),
        "AppRoleName": role,
    }


OWN_SPANS = [host_row(9_000.0, 1_000, 500, SERVICE_NAME)]
REQUESTS = [host_row(), host_row(), host_row(200.0, 1), *OWN_SPANS]
SLOW = [*REQUESTS, host_row(900.0, 10)]
FAILED = [*REQUESTS, host_row(items=3, result=503)]
REQUEST_ALERTS = {"feed-latency-p95": SLOW, "feed-latency-p99": SLOW, "error-rate": FAILED}
CAP = {"Category": "Ingestion", "Operation": "Data collection stopped", "Level": "Warning"}
OVER_QUOTA = [{**CAP, "Detail": "OverQuota"}]
LIFTED = [{**CAP, "Operation": "Data collection resumed", "Detail": "WithinQuota"}]


async def metric_rows(*records: Record) -> list[Row]:
    """Return these records as Azure Monitor stores them: the exporter's envelopes as rows of AppMetrics."""
    os.environ.setdefault("APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL", "true")
    os.environ.setdefault("APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED", "true")
    from azure.monitor.opentelemetry.exporter import AzureMonitorMetricExporter

    telemetry = Telemetry()
    for record in records:
        record(telemetry)
    async with collector() as taker:
        key = "InstrumentationKey=00000000-0000-0000-0000-000000000001"
        send = await asyncio.to_thread(
            AzureMonitorMetricExporter,
            connection_string=f"{key};IngestionEndpoint={taker.url}/",
            disable_offline_storage=True,
            retry_total=0,
        )
        exporter = Exporter("azure_monitor", send, delta=True, buckets_as_counters=True)
        await TelemetryExport(telemetry, [exporter]).stop()
        return [row_of(item) for bodies in taker.bodies.values() for body in bodies for item in json.loads(body)]


def row_of(item: Row) -> Row:
    """Return an envelope as the service stores it: a single measurement is its own minimum and maximum."""
    data = item["data"]["baseData"]
    (point,) = data["metrics"]
    return {
        "TimeGenerated": item["time"],
        "Name": point["name"],
        "Sum": point["value"],
        "Min": point.get("min", point["value"]),
        "Max": point.get("max", point["value"]),
        "ItemCount": point.get("count") or 1,
        "Properties": data["properties"],
        "AppRoleName": item["tags"]["ai.cloud.role"],
    }


def fires(rule: Row, rows: dict[str, list[Row]]) -> bool:
    """Return whether a rule's query over these rows of its tables gives a value beyond its threshold."""
    query, weight = rule["query"], None
    if match := WEIGHTED.search(query):
        query, weight = WEIGHTED.sub(r"percentile(\1, \3)", query), match[2]
    connection = duckdb_kql.connect()
    for table, columns in TABLES.items():
        connection.execute(f'create table "{table}" ({columns})')
        names = [column.split()[0] for column in columns.split(", ")]
        for row in rows.get(table, []) if table in query else ():
            values = [json.dumps(row[name]) if name == "Properties" else row[name] for name in names]
            often = int(row["ItemCount" if weight == "ItemCount" else "Sum"]) if weight else 1
            places = ", ".join("?" * len(names))
            connection.execute(f'insert into "{table}" select {places} from range({often})', values)
    found = duckdb_kql.kql(connection, query)
    at = found.columns.index("Value")
    values = [row[at] for row in found.fetchall() if row[at] is not None]
    return any(OPERATORS[rule["operator"]](value, rule["threshold"]) for value in values)


def test_every_query_alert_has_a_firing_case():
    assert set(RULES) == {*FIRES, *REQUEST_ALERTS, "daily-cap"}


async def test_no_alert_fires_in_an_ordinary_hour():
    rows = {"AppMetrics": await metric_rows(ORDINARY), "AppRequests": REQUESTS, "_LogOperation": LIFTED}
    assert [name for name, rule in RULES.items() if fires(rule, rows)] == []


def test_only_the_silence_alert_fires_before_the_first_telemetry():
    assert [name for name, rule in RULES.items() if fires(rule, {})] == ["silence"]


@pytest.mark.parametrize("name", FIRES)
async def test_an_alert_on_metrics_fires(name: str):
    assert fires(RULES[name], {"AppMetrics": await metric_rows(ORDINARY, FIRES[name])})


@pytest.mark.parametrize("name", REQUEST_ALERTS)
def test_an_alert_on_requests_fires(name: str):
    assert fires(RULES[name], {"AppRequests": REQUEST_ALERTS[name]})
    assert not fires(RULES[name], {"AppRequests": OWN_SPANS}), "the app's own spans are no requests"


def test_the_alert_on_the_daily_cap_fires():
    assert fires(RULES["daily-cap"], {"_LogOperation": OVER_QUOTA})
