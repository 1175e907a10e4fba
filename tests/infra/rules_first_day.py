"""Rules over snapshots that find what would fail a first deployment."""

from __future__ import annotations

import re
from typing import Any

from tests.infra.snapshot import ASSIGNMENT, BUS, COSMOS, RULES, SITE, STORAGE, Snapshot, role_of, scope_of

SERVICE_BUS_DATA_OWNER = "090c5cfd-751d-490a-894a-3ce6f1109419"
NOT_ISOLATED = ("3.10", "3.11", "3.12")
"""Python versions whose worker mixes its own libraries with those of the app, unless configured otherwise."""
RESOLVER = "168.63.129.16"
TABLES = {"AppRequests", "AppDependencies", "AppTraces", "AppMetrics", "AppExceptions"}
PER_REQUEST = re.compile(r"UnhealthyHostCount|FailedRequests|ActiveMessages|RequestQuotaUsage")


def every_rule(made: Snapshot) -> list[str]:
    """Findings of every rule of this module."""
    rules = (host, predictable, network, alerts, telemetry, storage_rules)
    return [finding for rule in rules for finding in rule(made)]


def host(made: Snapshot) -> list[str]:
    """The host writes no events where it has no table, and may read the length of the queue it scales by."""
    found = []
    if "DisableDiagnosticEventLogging" not in made.settings().get("AzureWebJobsFeatureFlags", ""):
        found.append("the host writes diagnostic events to tables that it cannot reach")
    isolated = made.settings().get("PYTHON_ISOLATE_WORKER_DEPENDENCIES") == "1"
    if not isolated and made.one(SITE).at("properties.functionAppConfig.runtime.version") in NOT_ISOLATED:
        found.append("the worker's libraries may stand in for those of the package")
    signals = next(each["id"] for each in made.all(f"{BUS}/topics/subscriptions") if each.name == "signals")
    given = {role_of(each) for each in made.all(ASSIGNMENT) if scope_of(each) == signals}
    if SERVICE_BUS_DATA_OWNER not in given:
        found.append("the host may not read the length of the subscription signals, and scales by peeking")
    return found


def predictable(made: Snapshot) -> list[str]:
    """A what-if can tell which role assignments are new: no name depends on values known only at deployment."""
    assignments = [*made.all(ASSIGNMENT), *made.all(f"{COSMOS}/sqlRoleAssignments")]
    return [f"{each['name']}: what-if cannot predict this assignment" for each in assignments if "[" in each["name"]]


def network(made: Snapshot) -> list[str]:
    """Instances send from any address, and query Azure's resolver; names not defined here are resolved outside."""
    found = []
    for group in made.all(RULES):
        allowed = [
            rule["properties"]
            for rule in group.at("properties.securityRules")
            if (rule["properties"]["direction"], rule["properties"]["access"]) == ("Outbound", "Allow")
        ]
        if not allowed:
            continue
        if any(rule["sourceAddressPrefix"] != "*" for rule in allowed):
            found.append(f"{group}: what instances send is told by a source that may not be theirs")
        to_resolver = [rule for rule in allowed if rule["destinationAddressPrefix"] == RESOLVER]
        if not any(rule["protocol"] == "*" and rule["destinationPortRange"] == "53" for rule in to_resolver):
            found.append(f"{group}: Azure's resolver cannot be asked")
    for link in made.all("Microsoft.Network/privateDnsZones/virtualNetworkLinks"):
        if link.at("properties.resolutionPolicy") != "NxDomainRedirect":
            found.append(f"{link['name']}: private names of others resolve to nothing")
    return found


def alerts(made: Snapshot) -> list[str]:
    """No query fails while its table is missing, and one busy minute alerts nobody."""
    found = []
    for rule in made.all("Microsoft.Insights/scheduledQueryRules"):
        (criterion,) = rule.at("properties.criteria.allOf")
        query = criterion["query"]
        if not query.startswith("union isfuzzy=true (datatable("):
            found.append(f"{rule.name}: it fails until telemetry has come, and is switched off after a week of that")
        if "Ingestion" in query and "OverQuota" not in query:
            found.append(f"{rule.name}: it fires as well when the day's cap is lifted")
    for rule in made.all("Microsoft.Insights/metricAlerts"):
        for criterion in rule.at("properties.criteria.allOf"):
            a_share = not PER_REQUEST.fullmatch(criterion["metricName"])
            if a_share and criterion["timeAggregation"] != "Average":
                found.append(f"{rule.name}: one busy minute is not a busy quarter of an hour")
    return found


def telemetry(made: Snapshot) -> list[str]:
    """Tables keep data no longer than the workspace, and its two entries in the link scope are ordered."""
    days: Any = made.one("Microsoft.OperationalInsights/workspaces", "log-").at("properties.retentionInDays")
    kept = {
        each.name: (each.at("properties.retentionInDays"), each.at("properties.totalRetentionInDays"))
        for each in made.all("Microsoft.OperationalInsights/workspaces/tables")
    }
    return [
        f"{name} keeps telemetry for 90 days, not {days}" for name in sorted(TABLES) if kept.get(name) != (days, days)
    ]


def storage_rules(made: Snapshot) -> list[str]:
    """An account with lifecycle rules admits the service that applies them."""
    owners = {each.parent for each in made.all(f"{STORAGE}/managementPolicies")}
    return [
        f"{each}: its firewall may keep the deletion rules from being carried out"
        for each in made.all(STORAGE)
        if each.name in owners and each.at("properties.networkAcls.bypass") != "AzureServices"
    ]


def ordered(template: dict[str, Any]) -> list[str]:
    """Operations that Azure refuses concurrently are ordered in the compiled template."""
    found, modules = [], template["resources"]
    if "roles" not in modules["privateEndpoints"]["dependsOn"]:
        found.append("Cosmos DB is asked for roles and a private endpoint at once")
    inside = modules["monitoring"]["properties"]["template"]["resources"]
    scoped = {name for name, each in inside.items() if each["type"].endswith("/scopedResources")}
    if len([name for name in scoped if scoped & set(inside[name]["dependsOn"])]) < len(scoped) - 1:
        found.append("two resources are put into the link scope at once")
    return found
