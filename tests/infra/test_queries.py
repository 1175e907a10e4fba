"""The official Kusto language service accepts every query of alerts and workbook with the tables' columns."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from tests.infra.test_alerts import QUERIES
from tests.skip_reasons import leave_out

KUSTO = Path(__file__).parent / "kusto"
COMMON = "TimeGenerated:datetime, Name:string, ItemCount:int, Properties:dynamic, AppRoleName:string"
TABLES = {
    "AppMetrics": f"({COMMON}, Sum:real, Min:real, Max:real)",
    "AppRequests": f"({COMMON}, DurationMs:real, ResultCode:string, Success:bool)",
    "_LogOperation": "(TimeGenerated:datetime, Category:string, Operation:string, Level:string, Detail:string)",
}
"""Columns the queries can use, with names and types of the Azure Monitor reference."""


def checked(queries: list[str]) -> list[list[str]]:
    """Return what is wrong with each query."""
    node = shutil.which("node")
    if node is None or not (KUSTO / "node_modules").is_dir():
        leave_out("queries are not checked: `npm --prefix tests/infra/kusto ci` gets the Kusto language service")
    asked = json.dumps({"tables": TABLES, "queries": queries})
    done = subprocess.run([node, "check.js"], cwd=KUSTO, input=asked, capture_output=True, text=True, check=True)
    found: list[list[str]] = json.loads(done.stdout)
    return found


def test_language_service_accepts_every_query():
    texts = [query.replace("{range}", "TimeGenerated > ago(1h)") for _, query in QUERIES]
    found = {name: wrong for (name, _), wrong in zip(QUERIES, checked(texts), strict=True) if wrong}
    assert found == {}
    assert len(texts) > 60


def test_a_mistyped_name_in_an_alert_is_found():
    query = next(query for name, query in QUERIES if name == "store-throttled")
    mistakes = {"sum(Sum)": "sum(Summ)", "summarize": "summarise", "tostring(Properties.status)": "tostr(Name)"}
    assert all(right in query for right in mistakes), "the mistakes no longer fit the query: plant them anew"
    planted = [query.replace(right, wrong) for right, wrong in mistakes.items()]
    right, *wrong = checked([query, *planted])
    assert right == []
    assert all(wrong), dict(zip(mistakes.values(), wrong, strict=True))
