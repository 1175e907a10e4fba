"""Lists which production resource meets which requirement, from the snapshot: a table of `docs/operations.md`."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.infra.compiler import compiled
from tests.infra.snapshot import BUS, COSMOS, FIREWALL, RULES, SITE, STORAGE, Resource, Snapshot

MONITOR = "Microsoft.Insights"
ROWS: dict[str, list[tuple[str, str, str, str]]] = {
    "Privacy: nothing reachable from the internet but the entry": [
        ("the database has no public access", COSMOS, "", "properties.publicNetworkAccess"),
        ("nor the bus", BUS, "", "properties.publicNetworkAccess"),
        ("nor the archive", STORAGE, "arc", "properties.publicNetworkAccess"),
        ("nor the app and its deployment endpoint", SITE, "", "properties.publicNetworkAccess"),
        (
            "one rule lets the internet in, to the gateway",
            RULES,
            "-entry",
            "properties.securityRules.clients-in.properties.sourceAddressPrefix",
        ),
        (
            "what the jobs print, no secrets and no events, is read from outside by who has a role on it",
            "Microsoft.OperationalInsights/workspaces",
            "logop-",
            "properties.publicNetworkAccessForQuery",
        ),
        (
            "and nothing else that is logged",
            "Microsoft.OperationalInsights/workspaces",
            "log-",
            "properties.publicNetworkAccessForQuery",
        ),
    ],
    "Privacy: no user-level identifier leaves the network": [
        (
            "the app can send to private endpoints and sign-in only",
            RULES,
            "-functions",
            "properties.securityRules.deny-everything-else-out.properties.access",
        ),
        (
            "telemetry goes through a private link",
            f"{MONITOR}/privateLinkScopes",
            "",
            "properties.accessModeSettings.ingestionAccessMode",
        ),
        (
            "headers that name a user are scrubbed from the firewall's log",
            FIREWALL,
            "-feed",
            "properties.policySettings.logScrubbing.state",
        ),
    ],
    "Privacy: no key anywhere": [
        ("the database takes identities only", COSMOS, "", "properties.disableLocalAuth"),
        ("storage takes identities only", STORAGE, "arc", "properties.allowSharedKeyAccess"),
        ("no publishing password", f"{SITE}/basicPublishingCredentialsPolicies", "scm", "properties.allow"),
        ("the app's own two secrets come from the vault", SITE, "", "settings.IDENTITY_SECRET"),
    ],
    "Least privilege": [
        ("data of one database, no management", f"{COSMOS}/sqlRoleAssignments", "", "properties.scope"),
    ],
    "Tenants: the debug endpoints are closed from outside": [
        (
            "the firewall blocks them",
            FIREWALL,
            "-feed",
            "properties.customRules.BlockDebugAndHost.matchConditions.0.matchValues.0",
        ),
    ],
    "Retention: user events are gone by day 90": [
        (
            "blobs are deleted on day 85 of their own",
            f"{STORAGE}/managementPolicies",
            "",
            "properties.policy.rules.delete-raw-events.definition.actions.baseBlob.delete.daysAfterCreationGreaterThan",
        ),
        ("and no copy stays", f"{STORAGE}/blobServices", "", "properties.deleteRetentionPolicy.enabled"),
        (
            "signals expire",
            f"{COSMOS}/sqlDatabases/containers",
            "user-activity",
            "properties.resource.defaultTtl",
        ),
        ("backups end after seven days", COSMOS, "", "properties.backupPolicy.continuousModeProperties.tier"),
        (
            "nothing waits on the bus for longer than three days",
            f"{BUS}/topics",
            "",
            "properties.defaultMessageTimeToLive",
        ),
    ],
    "Exactly once": [
        ("duplicates are dropped by the bus", f"{BUS}/topics", "", "properties.requiresDuplicateDetection"),
        (
            "a replay reaches one subscription",
            f"{BUS}/topics/subscriptions/rules",
            "",
            "properties.sqlFilter.sqlExpression",
        ),
    ],
    "Scale: 3,000 requests a second at peak": [
        (
            "HTTP concurrency is set, not left at one",
            SITE,
            "",
            "properties.functionAppConfig.scaleAndConcurrency.triggers.http.perInstanceConcurrency",
        ),
        (
            "instances that always stand ready",
            SITE,
            "",
            "properties.functionAppConfig.scaleAndConcurrency.alwaysReady.http.instanceCount",
        ),
        (
            "request units for the peak",
            f"{COSMOS}/sqlDatabases/containers",
            "user-activity",
            "properties.options.autoscaleSettings.maxThroughput",
        ),
        ("messaging units for the peak", BUS, "", "sku.capacity"),
        ("limits per address", FIREWALL, "-feed", "properties.customRules.LimitEverything.rateLimitThreshold"),
    ],
    "Availability: a zone may be lost": [
        ("the app", "Microsoft.Web/serverfarms", "", "properties.zoneRedundant"),
        ("the database", COSMOS, "", "properties.locations.0.isZoneRedundant"),
        ("the gateway", "Microsoft.Network/applicationGateways", "", "zones"),
        ("storage", STORAGE, "arc", "sku.name"),
    ],
    "Rollout: the switch acts within 30 s": [
        ("flags are read every 20 s", SITE, "", "settings.FLAGS_REFRESH_SECONDS"),
    ],
    "Freshness: events count within 5 minutes": [
        (
            "alert on the lag",
            f"{MONITOR}/scheduledQueryRules",
            "-freshness-events",
            "properties.criteria.allOf.0.threshold",
        ),
    ],
    "Freshness: content within 60 s": [
        (
            "alert on the age",
            f"{MONITOR}/scheduledQueryRules",
            "-freshness-content",
            "properties.criteria.allOf.0.threshold",
        ),
    ],
    "Cost is bounded": [
        (
            "a daily cap of telemetry, in gigabytes",
            "Microsoft.OperationalInsights/workspaces",
            "log-",
            "properties.workspaceCapping.dailyQuotaGb",
        ),
    ],
}
"""Requirement → what meets it: in words, type and part of the name of the resource, dotted path of the value."""


def value_at(made: Snapshot, resource: Resource, path: str) -> Any:
    """Return the value at a path that can name a list item by its `name` or index. Raises KeyError when there is
    none."""
    if path.startswith("settings."):
        return made.settings()[path.removeprefix("settings.")]
    value: Any = resource
    for step in path.split("."):
        if isinstance(value, list):
            named = {str(each["name"]): each for each in value if isinstance(each, dict) and "name" in each}
            value = named[step] if step in named else value[int(step)]
        else:
            value = value[step]
    return value


def cell(value: Any) -> str:
    """Return a value as code in a table; for an expression, its identifying part."""
    text = value if isinstance(value, str) else json.dumps(value)
    vault = re.search(r"@Microsoft\.KeyVault\([^)]*\)", text)
    text = vault[0] if vault and text.startswith("[") else text
    return "`" + re.sub(r"^.*/(?=dbs/)|/subscriptions/.*?/providers/", "…/", text).replace("|", "\\|") + "`"


def as_markdown() -> str:
    """Return the table."""
    made = Snapshot.of("prod", compiled().snapshots["prod"])
    unique = made.one(SITE).name.rsplit("-", 1)[-1]
    lines = ["| requirement | met by | resource | value |", "|---|---|---|---|"]
    for requirement, rows in ROWS.items():
        for index, (words, type_name, named, path) in enumerate(rows):
            resource = next(each for each in made.all(type_name) if named in each.name)
            name = str(resource["name"]) if not resource["name"].startswith("[") else type_name.rsplit("/", 1)[-1]
            lines.append(
                f"| {requirement if index == 0 else ''} | {words} | `{name.replace(unique, '…')}` "
                f"`{path.removeprefix('properties.')}` | {cell(value_at(made, resource, path))} |"
            )
    return "\n".join(lines) + "\n"
