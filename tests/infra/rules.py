"""Rules of the infrastructure: functions from a snapshot to findings; an empty list means that the rule is met."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from media.tickets import MEDIA_DAYS
from privacy.api import BACKUP_DAYS
from shared.adapters.blobs.port import (
    ARCHIVE,
    BLOB_CONTAINERS,
    MEDIA,
    MEDIA_CONTAINERS,
    QUARANTINE,
    QUARANTINE_DAYS,
    SAMPLES,
    UPLOAD_DAYS,
    UPLOADS,
)
from shared.adapters.bus.port import MESSAGE_TTL_SECONDS, TOPIC
from shared.adapters.bus.servicebus_layout import DEAD_LETTER_QUEUE_SETTINGS, SUBSCRIPTION_SETTINGS, TOPIC_SETTINGS
from shared.adapters.documents.cosmos_layout import LAYOUT
from shared.settings import SETTINGS, BadSetting, Settings
from tests.infra.snapshot import (
    BUS,
    COSMOS,
    ENDPOINT,
    RULES,
    SITE,
    STORAGE,
    VAULT,
    WEB_PUBSUB,
    Resource,
    Snapshot,
    templates,
)

PRIVACY_DAYS = 90
LIFECYCLE_LAG_DAYS = 2
"""Azure applies a changed or due lifecycle rule within a day, and counts whole days."""
MOST_ARCHIVE_DAYS = PRIVACY_DAYS - LIFECYCLE_LAG_DAYS - MESSAGE_TTL_SECONDS // 86_400

NOT_IN_AZURE = {
    "DATA_FOLDER": "belongs to the embedded mode",
    "FLAGS_FILE": "belongs to the embedded mode",
    "COSMOS_CONNECTION_STRING": "a key; for emulators",
    "ServiceBusConnection": "a key; for emulators",
    "BLOB_CONNECTION_STRING": "a key; for emulators",
    "MEDIA_CONNECTION_STRING": "a key; for emulators",
    "WEB_PUBSUB_CONNECTION_STRING": "a key; for emulators",
    "APP_CONFIGURATION_CONNECTION_STRING": "a key; for emulators",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "for a collector; in Azure it is Azure Monitor",
}
OF_THE_HOST = {
    "AzureWebJobsFeatureFlags",
    "AzureWebJobsStorage__accountName",
    "AzureWebJobsStorage__credential",
    "AzureWebJobsStorage__clientId",
    "ServiceBusConnection__credential",
    "ServiceBusConnection__clientId",
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
    "AZURE_CLIENT_ID",
    "AZURE_TOKEN_CREDENTIALS",
    "FUNCTIONS_WORKER_PROCESS_COUNT",
    "PYTHON_ISOLATE_WORKER_DEPENDENCIES",
    "PYTHON_THREADPOOL_THREAD_COUNT",
    "MALLOC_ARENA_MAX",
}
REFUSED_BY_FLEX = re.compile(
    r"FUNCTIONS_WORKER_RUNTIME|FUNCTIONS_EXTENSION_VERSION|WEBSITE_RUN_FROM_PACKAGE|WEBSITE_CONTENT.*"
    r"|SCM_DO_BUILD_DURING_DEPLOYMENT|ENABLE_ORYX_BUILD"
)

CLOSED: dict[str, dict[str, Any]] = {
    "Microsoft.DocumentDB/databaseAccounts": {
        "properties.publicNetworkAccess": "Disabled",
        "properties.disableLocalAuth": True,
        "properties.disableKeyBasedMetadataWriteAccess": True,
        "properties.minimalTlsVersion": "Tls12",
        "properties.ipRules": [],
    },
    "Microsoft.ServiceBus/namespaces": {
        "properties.publicNetworkAccess": "Disabled",
        "properties.disableLocalAuth": True,
        "properties.minimumTlsVersion": "1.2",
        "sku.name": "Premium",
    },
    "Microsoft.ServiceBus/namespaces/networkRuleSets": {
        "properties.publicNetworkAccess": "Disabled",
        "properties.defaultAction": "Deny",
        "properties.ipRules": [],
    },
    "Microsoft.Storage/storageAccounts": {
        "properties.publicNetworkAccess": "Disabled",
        "properties.allowSharedKeyAccess": False,
        "properties.allowBlobPublicAccess": False,
        "properties.isLocalUserEnabled": False,
        "properties.supportsHttpsTrafficOnly": True,
        "properties.minimumTlsVersion": "TLS1_2",
        "properties.networkAcls.defaultAction": "Deny",
        "properties.networkAcls.ipRules": [],
    },
    "Microsoft.Storage/storageAccounts/blobServices/containers": {"properties.publicAccess": "None"},
    "Microsoft.SignalRService/webPubSub": {
        "properties.disableLocalAuth": True,
        "properties.networkACLs.publicNetwork.deny": ["ServerConnection", "RESTAPI", "Trace"],
    },
    "Microsoft.SignalRService/webPubSub/hubs": {
        "properties.anonymousConnectPolicy": "deny",
        "properties.eventHandlers": [],
    },
    "Microsoft.AppConfiguration/configurationStores": {
        "properties.publicNetworkAccess": "Disabled",
        "properties.disableLocalAuth": True,
    },
    "Microsoft.KeyVault/vaults": {
        "properties.publicNetworkAccess": "Disabled",
        "properties.enableRbacAuthorization": True,
        "properties.enablePurgeProtection": True,
        "properties.networkAcls.defaultAction": "Deny",
        "properties.networkAcls.ipRules": [],
    },
    "Microsoft.OperationalInsights/workspaces": {
        "properties.publicNetworkAccessForIngestion": "Disabled",
        "properties.publicNetworkAccessForQuery": "Disabled",
        "properties.features.disableLocalAuth": True,
    },
    "Microsoft.Insights/components": {
        "properties.publicNetworkAccessForIngestion": "Disabled",
        "properties.publicNetworkAccessForQuery": "Disabled",
        "properties.DisableLocalAuth": True,
    },
    "Microsoft.Insights/privateLinkScopes": {
        "properties.accessModeSettings.ingestionAccessMode": "PrivateOnly",
        "properties.accessModeSettings.queryAccessMode": "PrivateOnly",
    },
    "Microsoft.Web/sites": {
        "properties.publicNetworkAccess": "Disabled",
        "properties.httpsOnly": True,
        "properties.siteConfig.ftpsState": "Disabled",
        "properties.functionAppConfig.deployment.storage.authentication.type": "UserAssignedIdentity",
    },
    "Microsoft.Web/sites/basicPublishingCredentialsPolicies": {"properties.allow": False},
    "Microsoft.App/managedEnvironments": {
        "properties.publicNetworkAccess": "Disabled",
        "properties.vnetConfiguration.internal": True,
    },
}
"""Resource type → properties that keep it private and without keys."""

OPENS_NOTHING = {
    "Microsoft.App/jobs",
    "Microsoft.Authorization/roleAssignments",
    "Microsoft.Authorization/roleDefinitions",
    "Microsoft.DocumentDB/databaseAccounts/sqlDatabases",
    "Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers",
    "Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments",
    "Microsoft.Insights/actionGroups",
    "Microsoft.Insights/diagnosticSettings",
    "Microsoft.Insights/metricAlerts",
    "Microsoft.Insights/privateLinkScopes/scopedResources",
    "Microsoft.Insights/scheduledQueryRules",
    "Microsoft.Insights/workbooks",
    "Microsoft.ManagedIdentity/userAssignedIdentities",
    "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials",
    "Microsoft.Network/ApplicationGatewayWebApplicationFirewallPolicies",
    "Microsoft.Network/natGateways",
    "Microsoft.Network/networkSecurityGroups",
    "Microsoft.Network/privateDnsZones",
    "Microsoft.Network/privateDnsZones/virtualNetworkLinks",
    "Microsoft.Network/privateEndpoints",
    "Microsoft.Network/privateEndpoints/privateDnsZoneGroups",
    "Microsoft.Network/virtualNetworks",
    "Microsoft.OperationalInsights/workspaces/tables",
    "Microsoft.Resources/resourceGroups",
    "Microsoft.ServiceBus/namespaces/queues",
    "Microsoft.ServiceBus/namespaces/topics",
    "Microsoft.ServiceBus/namespaces/topics/subscriptions",
    "Microsoft.ServiceBus/namespaces/topics/subscriptions/rules",
    "Microsoft.Storage/storageAccounts/blobServices",
    "Microsoft.Storage/storageAccounts/managementPolicies",
    "Microsoft.Web/serverfarms",
}
"""Types without a network entry of their own. A type in neither table is a finding: it must be reviewed first."""

READ_FROM_OUTSIDE = {
    ("Microsoft.OperationalInsights/workspaces", "logop"): "properties.publicNetworkAccessForQuery",
}
"""Workspaces of job output, by type and first part of the name; rules_operations.py checks what reaches them."""

REACHED_BY_LINKS = {"properties.publicNetworkAccess": "Enabled", "properties.networkAcls.defaultAction": "Allow"}
"""Public settings of the media account, where everything else is closed as in the others."""

THE_DOOR = {
    ("Microsoft.Network/applicationGateways", "agw"),
    ("Microsoft.Network/publicIPAddresses", "entry"),
    ("Microsoft.Network/publicIPAddresses", "outbound"),  # of the NAT gateway: outbound only
}
"""Type, and the first or last part of the name."""
PRIVATE_ENDPOINTS = {
    SITE: "sites",
    BUS: "namespace",
    VAULT: "vault",
    STORAGE: "blob",
    WEB_PUBSUB: "webpubsub",
    COSMOS: "Sql",
    "Microsoft.AppConfiguration/configurationStores": "configurationStores",
    "Microsoft.Insights/privateLinkScopes": "azuremonitor",
}
"""Type → the part of it that a private endpoint leads to; each resource of these types has one."""
KEYS = re.compile(
    r"\blist(Keys|Secrets|ConnectionStrings|AccountSas|ServiceSas)\w*\(|AccountKey=|SharedAccessKey|sharedKey\b", re.I
)
DRAWN_ANEW = re.compile(r"\b(newGuid|utcNow)\(")
MADE_ELSEWHERE = ("Microsoft.KeyVault/vaults/secrets", "Microsoft.AppConfiguration/configurationStores/keyValues")
"""A deployment would recreate these each time: keys would change and the kill switch would be reset."""


def every_rule(made: Snapshot) -> list[str]:
    """Return findings of every rule over one environment's deployment."""
    rules = (settings, documents, bus, blobs, media, closed, reached_privately, guarded_networks, repeatable)
    return [finding for rule in rules for finding in rule(made)]


def settings(made: Snapshot) -> list[str]:
    """Every setting reaches the app, none is orphaned or refused by the platform, and the app starts with them."""
    app = made.one(SITE)
    pairs = [(each["name"], each["value"]) for each in app.at("properties.siteConfig.appSettings")]
    names = [name for name, _ in pairs]
    known = {setting.name for setting in SETTINGS.values()}
    found = [f"{name} is missing" for name in sorted(known - set(NOT_IN_AZURE) - set(names))]
    found += [f"{name} is not in SETTINGS" for name in sorted(set(names) - known - OF_THE_HOST)]
    found += [f"{name} {NOT_IN_AZURE[name]}" for name in names if name in NOT_IN_AZURE]
    found += [f"{name} is set twice" for name in sorted({n for n in names if names.count(n) > 1})]
    found += [f"{name} is refused by Flex Consumption" for name in names if REFUSED_BY_FLEX.match(name)]
    try:
        Settings.from_environment({n: "x" if value.startswith("[") else value for n, value in pairs})
    except BadSetting as error:
        found.append(str(error))
    for setting in SETTINGS.values():
        if setting.secret and "@Microsoft.KeyVault(" not in dict(pairs).get(setting.name, "@Microsoft.KeyVault("):
            found.append(f"{setting.name} must come from the vault")
    return [f"{app}: {each}" for each in found]


def documents(made: Snapshot) -> list[str]:
    """The containers are those of the code: partition key, time to live, indexing; backups end in time."""
    containers = {
        each.name: {
            "partitionKeyPath": "".join(each.at("properties.resource.partitionKey.paths") or []),
            "defaultTtl": each.at("properties.resource.defaultTtl"),
            "indexingPolicy": each.at("properties.resource.indexingPolicy"),
        }
        for each in made.all(f"{COSMOS}/sqlDatabases/containers")
    }
    tier = made.one(COSMOS).at("properties.backupPolicy.continuousModeProperties.tier")
    found = [] if tier == f"Continuous{BACKUP_DAYS}Days" else [f"backups must end after {BACKUP_DAYS} days, not {tier}"]
    return found + _differences("container", containers, LAYOUT)


def bus(made: Snapshot) -> list[str]:
    """Topic, subscriptions, their filters and dead-letter queues are those of the code."""
    topics = {each.name: each["properties"] for each in made.all(f"{BUS}/topics")}
    queues = {each.name: each["properties"] for each in made.all(f"{BUS}/queues")}
    subscriptions: dict[str, dict[str, Any]] = {
        each.name: {**each["properties"], "rule": []} for each in made.all(f"{BUS}/topics/subscriptions")
    }
    for rule in made.all(f"{BUS}/topics/subscriptions/rules"):
        subscriptions[rule.parent]["rule"].append((rule.name, rule.at("properties.sqlFilter.sqlExpression")))
    wanted_topic = {**TOPIC_SETTINGS, "defaultMessageTimeToLive": f"P{MESSAGE_TTL_SECONDS // 86_400}D"}
    # A rule of another name would exist beside `$Default`, which admits everything.
    wanted = {
        name: {**each, "rule": [("$Default", each["rule"]["sqlExpression"])]}
        for name, each in SUBSCRIPTION_SETTINGS.items()
    }
    kept_for_ever = [f"queue {name}: a dead letter must not expire" for name, queue in queues.items() if TTL in queue]
    return [
        *_differences("topic", topics, {TOPIC: wanted_topic}),
        *_differences("subscription", subscriptions, wanted),
        *_differences("queue", queues, DEAD_LETTER_QUEUE_SETTINGS),
        *kept_for_ever,
    ]


TTL = "defaultMessageTimeToLive"


def blobs(made: Snapshot) -> list[str]:
    """The archive has its containers, is emptied in time, and keeps no copy of deleted blobs."""
    (policy,) = (each for each in made.all(f"{STORAGE}/managementPolicies") if not _is_media(each.parent))
    found = _kept_blobs(made, policy.parent, BLOB_CONTAINERS)
    days = _days_by_prefix(policy)
    covered = (ARCHIVE, SAMPLES, UPLOADS)
    if set(days) != {f"{each}/" for each in covered}:
        return [*found, f"{policy}: the deletion rules must cover {', '.join(covered)}, not {sorted(days)}"]
    if days[f"{UPLOADS}/"] != UPLOAD_DAYS:
        found.append(f"{policy}: forgotten uploads are to go after {UPLOAD_DAYS} days, as on one machine")
    if max(days[f"{ARCHIVE}/"], days[f"{SAMPLES}/"]) > MOST_ARCHIVE_DAYS:
        found.append(f"{policy}: an event outlives day {PRIVACY_DAYS}")
    return found


def media(made: Snapshot) -> list[str]:
    """The media account has its containers, is emptied in time, and permits pages only to read and store."""
    found = []
    for policy in made.all(f"{STORAGE}/managementPolicies"):
        if _is_media(policy.parent):
            found += _kept_blobs(made, policy.parent, MEDIA_CONTAINERS)
            wanted = {f"{QUARANTINE}/": QUARANTINE_DAYS, f"{MEDIA}/": MEDIA_DAYS}
            if _days_by_prefix(policy) != wanted:
                found.append(f"{policy}: blobs must be deleted as on one machine: {wanted}")
            (service,) = (each for each in made.all(f"{STORAGE}/blobServices") if each.parent == policy.parent)
            for rule in service.at("properties.cors.corsRules"):
                if not set(rule["allowedMethods"]) <= {"GET", "PUT"}:
                    found.append(f"{service}: pages may GET and PUT")
    return found


def _is_media(account: str) -> bool:
    return account.removesuffix("/default")[:-6].endswith("med")


def _kept_blobs(made: Snapshot, account: str, containers: Sequence[str]) -> list[str]:
    names = {each.name for each in made.all(f"{STORAGE}/blobServices/containers") if account in each["name"]}
    found = [f"container {name} is missing" for name in sorted(set(containers) - names)]
    found += [f"container {name} is unknown to the code" for name in sorted(names - set(containers))]
    (service,) = (each for each in made.all(f"{STORAGE}/blobServices") if each.parent == account)
    for path in (
        "isVersioningEnabled",
        "changeFeed.enabled",
        "deleteRetentionPolicy.enabled",
        "containerDeleteRetentionPolicy.enabled",
        "restorePolicy.enabled",
    ):
        if service.at(f"properties.{path}") is not False:
            found.append(f"{service}: {path} must be off, or what is deleted lives on")
    return found


def _days_by_prefix(policy: Resource) -> dict[str, int]:
    return {
        prefix: rule["definition"]["actions"]["baseBlob"]["delete"]["daysAfterCreationGreaterThan"]
        for rule in policy.at("properties.policy.rules")
        for prefix in rule["definition"]["filters"]["prefixMatch"]
        if rule["enabled"] is True
    }


def closed(made: Snapshot) -> list[str]:
    """No public network access, no local authentication, no shared key; nothing open but the entry."""
    found = []
    for resource in made.resources:
        opened = REACHED_BY_LINKS if resource.type == STORAGE and _is_media(resource.name) else {}
        for path, closed_value in CLOSED.get(resource.type, {}).items():
            value = opened.get(path, closed_value)
            if resource.at(path) != value and path != READ_FROM_OUTSIDE.get(
                (resource.type, resource.name.split("-")[0])
            ):
                found.append(f"{resource}: {path} must be {value!r}, not {resource.at(path)!r}")
        ends = {resource.name.split("-")[0], resource.name.split("-")[-1]}
        door = any((resource.type, end) in THE_DOOR for end in ends)
        if resource.type not in CLOSED and resource.type not in OPENS_NOTHING and not door:
            found.append(f"{resource}: nobody has said yet how {resource.type} is kept private")
        found += [f"{resource}: {match[0]} takes or gives a key" for match in KEYS.finditer(json.dumps(resource))]
    return found


def reached_privately(made: Snapshot) -> list[str]:
    """Each service has a private endpoint, each endpoint its DNS zones, each zone a link to the network."""
    found, zones = [], {each["id"]: each for each in made.all("Microsoft.Network/privateDnsZones")}
    links = made.all("Microsoft.Network/privateDnsZones/virtualNetworkLinks")
    linked = [each["name"] for each in links if "/virtualNetworks/" in each.at("properties.virtualNetwork.id")]
    for zone in zones.values():
        if not any(zone["name"].strip("[]") in name for name in linked):
            found.append(f"{zone}: it is not linked to the network")
    groups = {each.parent: each for each in made.all(f"{ENDPOINT}/privateDnsZoneGroups")}
    reached = set()
    for endpoint in made.all(ENDPOINT):
        for connection in endpoint.at("properties.privateLinkServiceConnections"):
            reached.add((connection["properties"]["privateLinkServiceId"], *connection["properties"]["groupIds"]))
        configurations = groups[endpoint.name].at("properties.privateDnsZoneConfigs") if endpoint.name in groups else []
        used = {each["properties"]["privateDnsZoneId"] for each in configurations}
        if not used or not used <= zones.keys():
            found.append(f"{endpoint}: it has no DNS zone, or one that is not made here")
    wanted = {(each["id"], PRIVATE_ENDPOINTS[each.type]) for each in made.resources if each.type in PRIVATE_ENDPOINTS}
    return found + [f"{name}: it has no private endpoint" for name, _ in sorted(wanted - reached)]


def guarded_networks(made: Snapshot) -> list[str]:
    """Only the entry's subnet accepts traffic from the internet; every subnet has rules that end with a refusal."""
    found = []
    for group in made.all(RULES):
        for rule in group.at("properties.securityRules"):
            is_ = rule["properties"]
            lets_in = is_["direction"] == "Inbound" and is_["access"] == "Allow"
            from_anywhere = is_.get("sourceAddressPrefix") in ("Internet", "*", "0.0.0.0/0", "Any")
            at_the_door = group.name.endswith("-entry") and is_.get("destinationPortRange") == "443"
            if lets_in and from_anywhere and not at_the_door:
                found.append(f"{group}: the rule {rule['name']} lets the internet in")
        refusals = [rule for rule in group.at("properties.securityRules") if rule["name"] == "deny-everything-else-in"]
        found += [] if refusals else [f"{group}: it does not end with a refusal"]
    for subnet in made.one("Microsoft.Network/virtualNetworks").at("properties.subnets"):
        if "networkSecurityGroup" not in subnet["properties"]:
            found.append(f"the subnet {subnet['name']} has no rules")
    return found


def repeatable(made: Snapshot) -> list[str]:
    """Deploying twice changes nothing, and each type is used in one version."""
    found = [f"{each}: is made anew by each deployment" for each in made.resources if each.type in MADE_ELSEWHERE]
    versions: dict[str, set[str]] = {}
    for each in made.resources:
        found += [f"{each}: {match[1]} differs each time" for match in DRAWN_ANEW.finditer(json.dumps(each))]
        versions.setdefault(each.type, set()).add(each["apiVersion"])
    return found + [f"{name} is used in several versions: {sorted(v)}" for name, v in versions.items() if len(v) > 1]


def parameters(template: dict[str, Any], name: str) -> list[str]:
    """Every parameter is described, and every number has limits, none of which lets an event live too long."""
    found = []
    for file, inner in templates(template, name):
        for parameter, said in inner.get("parameters", {}).items():
            if not said.get("metadata", {}).get("description"):
                found.append(f"{file}: {parameter} has no description")
            if said.get("type") == "int" and not ({"minValue", "maxValue"} <= set(said) or "allowedValues" in said):
                found.append(f"{file}: {parameter} has no limits")
            if parameter in ("archiveDeleteAfterDays", "deleteAfterDays") and said["maxValue"] > MOST_ARCHIVE_DAYS:
                found.append(f"{file}: {parameter} lets an event outlive day {PRIVACY_DAYS}")
    return found


def _differences(
    kind: str, made: Mapping[str, Mapping[str, Any]], wanted: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    found = [f"{kind} {name} is missing" for name in wanted if name not in made]
    found += [f"{kind} {name} is unknown to the code" for name in made if name not in wanted]
    for name in wanted.keys() & made.keys():
        for key, value in wanted[name].items():
            if made[name].get(key) != value:
                found.append(f"{kind} {name}: {key} must be {value!r}, not {made[name].get(key)!r}")
    return sorted(found)
