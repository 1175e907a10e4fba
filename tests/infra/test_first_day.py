"""No known cause of a failed first deployment exists, and each rule finds its planted mistake."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.infra import rules_first_day as rules
from tests.infra.compiler import Compiled
from tests.infra.snapshot import ASSIGNMENT, RULES, SITE, STORAGE, Snapshot
from tests.infra.test_bicep import planted

QUERY = "properties.criteria.allOf.0.query"
QUERIES = "Microsoft.Insights/scheduledQueryRules"


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_nothing_that_would_fail_the_first_deployment_is_deployed(compiled: Compiled, environment: str):
    assert rules.every_rule(Snapshot.of(environment, compiled.snapshots[environment])) == []
    assert rules.ordered(compiled.templates["main.bicep"]) == []


MISTAKES: dict[str, tuple[str, str, str, Any, str]] = {
    "events to a table": (SITE, "", "settings.AzureWebJobsFeatureFlags", "", "writes diagnostic events"),
    "another SDK than the package's": (
        SITE,
        "",
        "settings.PYTHON_ISOLATE_WORKER_DEPENDENCIES",
        "0",
        "may stand in for",
    ),
    "a trigger that cannot scale": (
        ASSIGNMENT,
        "",
        "properties.roleDefinitionId",
        "/x/4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0",
        "scales by peeking",
    ),
    "an assignment by principal": (ASSIGNMENT, "", "name", "[guid(reference('x'))]", "what-if cannot predict"),
    "rules by prefix": (
        RULES,
        "-functions",
        "properties.securityRules.1.properties.sourceAddressPrefix",
        "10.40.1.0/26",
        "by a source that may not be theirs",
    ),
    "no names": (RULES, "-functions", "properties.securityRules.3.properties.protocol", "Tcp", "resolver cannot be"),
    "private names of others": (
        "Microsoft.Network/privateDnsZones/virtualNetworkLinks",
        "",
        "properties.resolutionPolicy",
        "Default",
        "resolve to nothing",
    ),
    "a query without its table": (QUERIES, "silence", QUERY, "AppMetrics | count", "fails until telemetry has come"),
    "a cap that is lifted": (QUERIES, "daily-cap", QUERY, "union x | where Category =~ 'Ingestion'", "when the day's"),
    "one busy minute": (
        "Microsoft.Insights/metricAlerts",
        "bus-busy",
        "properties.criteria.allOf.0.timeAggregation",
        "Maximum",
        "is not a busy quarter",
    ),
    "telemetry for 90 days": (
        "Microsoft.OperationalInsights/workspaces/tables",
        "AppMetrics",
        "properties.retentionInDays",
        90,
        "AppMetrics keeps telemetry",
    ),
    "deletion behind a firewall": (STORAGE, "arc", "properties.networkAcls.bypass", "None", "from being carried out"),
}


@pytest.mark.parametrize(("type_name", "named", "path", "value", "finding"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_planted_mistake_is_found(prod: Snapshot, type_name: str, named: str, path: str, value: Any, finding: str):
    changed = planted(prod, type_name, named, path, value)
    if finding == "scales by peeking":
        for each in changed.all(type_name):
            each["properties"]["roleDefinitionId"] = value
    found = rules.every_rule(changed)
    assert any(finding in each for each in found), found


def test_missing_dependency_order_is_found(compiled: Compiled):
    template = copy.deepcopy(compiled.templates["main.bicep"])
    template["resources"]["privateEndpoints"]["dependsOn"].remove("roles")
    template["resources"]["monitoring"]["properties"]["template"]["resources"]["insightsInScope"]["dependsOn"] = []
    assert len(rules.ordered(template)) == 2


def test_subject_and_role_names_are_those_of_the_pipeline(bootstrap: Snapshot):
    kind = "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials"
    subjects = [each.at("properties.subject") for each in bootstrap.all(kind)]
    ends = ("environment:prod", "environment:prod-switch", "pull_request")
    assert sorted(subjects) == sorted(f"repo:OWNER@1/NAME@2:{end}" for end in ends)
    names = [each.at("properties.roleName") for each in bootstrap.all("Microsoft.Authorization/roleDefinitions")]
    assert all("(rg-vfeed, " in name for name in names), "a group of this name in another subscription has them too"
