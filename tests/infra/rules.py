"""What the infrastructure must obey, as functions from its files to findings: an empty list is a pass."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from privacy.api import BACKUP_DAYS
from shared.adapters.blobs.port import ARCHIVE, BLOB_CONTAINERS, UPLOAD_DAYS, UPLOADS
from shared.adapters.bus.port import MESSAGE_TTL_SECONDS, TOPIC
from shared.adapters.bus.servicebus_layout import DEAD_LETTER_QUEUE_SETTINGS, SUBSCRIPTION_SETTINGS, TOPIC_SETTINGS
from shared.adapters.documents.cosmos_layout import LAYOUT
from shared.settings import SETTINGS, BadSetting, Settings
from tests.infra.bicep_files import BicepFile, Computed, Resource

Files = Mapping[str, BicepFile]
PRIVACY_DAYS = 90
LIFECYCLE_LAG_DAYS = 2
"""Azure carries out a changed or due lifecycle rule within a day, and counts whole days."""

NOT_IN_AZURE = {
    "DATA_FOLDER": "belongs to the embedded mode",
    "FLAGS_FILE": "belongs to the embedded mode",
    "COSMOS_CONNECTION_STRING": "a key; for emulators",
    "ServiceBusConnection": "a key; for emulators",
    "BLOB_CONNECTION_STRING": "a key; for emulators",
    "APP_CONFIGURATION_CONNECTION_STRING": "a key; for emulators",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "for a collector; in Azure it is Azure Monitor",
}
OF_THE_HOST = {
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
        "properties.networkAcls.bypass": "None",
        "properties.networkAcls.ipRules": [],
    },
    "Microsoft.Storage/storageAccounts/blobServices/containers": {"properties.publicAccess": "None"},
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
"""Resource type → what keeps it private and without keys."""

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
    "Microsoft.Resources/resourceGroups",
    "Microsoft.ServiceBus/namespaces/queues",
    "Microsoft.ServiceBus/namespaces/topics",
    "Microsoft.ServiceBus/namespaces/topics/subscriptions",
    "Microsoft.ServiceBus/namespaces/topics/subscriptions/rules",
    "Microsoft.Storage/storageAccounts/blobServices",
    "Microsoft.Storage/storageAccounts/managementPolicies",
    "Microsoft.Web/serverfarms",
}
"""Types that have no door of their own. A type in neither table is a finding: somebody must look at it first."""

THE_DOOR = {
    ("Microsoft.Network/applicationGateways", "gateway"),
    ("Microsoft.Network/publicIPAddresses", "entryAddress"),
    ("Microsoft.Network/publicIPAddresses", "outboundAddress"),  # of the NAT gateway: outbound only
}
KEYS = re.compile(
    r"\blist(Keys|Secrets|ConnectionStrings|AccountSas|ServiceSas)?\w*\(|AccountKey=|SharedAccessKey|sharedKey\b", re.I
)
DRAWN_ANEW = re.compile(r"\b(newGuid|utcNow)\(")
MADE_ELSEWHERE = ("Microsoft.KeyVault/vaults/secrets", "Microsoft.AppConfiguration/configurationStores/keyValues")
"""A deployment would make these anew each time: keys would change and the kill switch would be reset."""


def every_rule(files: Files) -> list[str]:
    """Findings of every rule; where a file does not parse, only that."""
    rules = (modules_fit, environments, settings, documents, bus, blobs, closed, repeatable, described)
    return syntax(files) or [finding for rule in rules for finding in rule(files)]


def syntax(files: Files) -> list[str]:
    return [f"{file.name}:{line}: syntax" for file in files.values() for line in file.errors]


def declared(files: Files, type_name: str) -> list[Resource]:
    """Resources of a type that are made here."""
    return [r for file in files.values() for r in file.resources if r.type == type_name and not r.existing]


def modules_fit(files: Files) -> list[str]:
    """Each module call gives the parameters its file has, and all that it must."""
    found = []
    for file in files.values():
        for call in file.modules:
            path = call.type if file.name.startswith(("main", "bootstrap")) else f"modules/{call.type}"
            target = files.get(path)
            if target is None:
                found.append(f"{call.where}: there is no file {path}")
                continue
            given = set(call.at("params") or {})
            found += [
                f"{call.where}: {path} has no parameter {name}" for name in sorted(given - set(target.parameters))
            ]
            found += [f"{call.where}: {path} needs the parameter {name}" for name in sorted(target.required - given)]
    return found


def environments(files: Files) -> list[str]:
    """Each parameter file gives main.bicep what it asks for, within its limits."""
    found, main = [], files["main.bicep"]
    for file in files.values():
        if not file.name.endswith(".bicepparam"):
            continue
        given = file.variables
        found += [
            f"{file.name}: main.bicep has no parameter {name}" for name in sorted(set(given) - set(main.parameters))
        ]
        found += [f"{file.name}: {name} is missing" for name in sorted(main.required - set(given))]
        for name, value in given.items():
            limits = main.parameters[name][0] if name in main.parameters else {}
            if isinstance(value, int) and not limits.get("minValue", value) <= value <= limits.get("maxValue", value):
                found.append(f"{file.name}: {name} is out of its limits")
            if "allowed" in limits and value not in limits["allowed"]:
                found.append(f"{file.name}: {name} must be one of {limits['allowed']}")
    return found


def settings(files: Files) -> list[str]:
    """Every setting reaches the app, none is orphaned or refused by the platform, and the app starts with them."""
    found = []
    for app in declared(files, "Microsoft.Web/sites"):
        pairs = [(each["name"], each["value"]) for each in app.at("properties.siteConfig.appSettings") or []]
        names = [name for name, _ in pairs]
        known = {setting.name for setting in SETTINGS.values()}
        found += [f"{app.where}: {name} is missing" for name in sorted(known - set(NOT_IN_AZURE) - set(names))]
        found += [f"{app.where}: {name} is not in SETTINGS" for name in sorted(set(names) - known - OF_THE_HOST)]
        found += [f"{app.where}: {name} {NOT_IN_AZURE[name]}" for name in names if name in NOT_IN_AZURE]
        found += [f"{app.where}: {name} is set twice" for name in sorted({n for n in names if names.count(n) > 1})]
        found += [
            f"{app.where}: {name} is refused by Flex Consumption" for name in names if REFUSED_BY_FLEX.match(name)
        ]
        try:
            Settings.from_environment({n: "x" if isinstance(value, Computed) else value for n, value in pairs})
        except BadSetting as error:
            found.append(f"{app.where}: {error}")
        for setting in SETTINGS.values():
            value = dict(pairs).get(setting.name)
            if setting.secret and value is not None and "@Microsoft.KeyVault(" not in getattr(value, "text", ""):
                found.append(f"{app.where}: {setting.name} must come from the vault")
    return found or ([] if declared(files, "Microsoft.Web/sites") else ["there is no app"])


def documents(files: Files) -> list[str]:
    """The containers are those of the code: partition key, time to live, indexing."""
    made = {
        resource.at("name"): {
            "partitionKeyPath": "".join(resource.at("properties.resource.partitionKey.paths") or []),
            "defaultTtl": resource.at("properties.resource.defaultTtl"),
            "indexingPolicy": resource.at("properties.resource.indexingPolicy"),
        }
        for resource in declared(files, "Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers")
    }
    tiers = {
        account.at("properties.backupPolicy.continuousModeProperties.tier")
        for account in declared(files, "Microsoft.DocumentDB/databaseAccounts")
    }
    found = [] if tiers == {f"Continuous{BACKUP_DAYS}Days"} else [f"backups must end after {BACKUP_DAYS} days: {tiers}"]
    return found + _differences("container", made, LAYOUT)


def bus(files: Files) -> list[str]:
    """Topic, subscriptions, their filters and dead-letter queues are those of the code."""
    space = "Microsoft.ServiceBus/namespaces"
    topics = {r.at("name"): r.at("properties") for r in declared(files, f"{space}/topics")}
    queues = {r.at("name"): r.at("properties") for r in declared(files, f"{space}/queues")}
    symbols = {r.symbol: r.at("name") for r in declared(files, f"{space}/queues")}
    subscriptions: dict[str, dict[str, Any]] = {}
    for each in declared(files, f"{space}/topics/subscriptions"):
        properties = dict(each.at("properties"))
        forward = properties.get("forwardDeadLetteredMessagesTo")
        if isinstance(forward, Computed):
            properties["forwardDeadLetteredMessagesTo"] = symbols.get(forward.text.removesuffix(".name"))
        rules = [
            rule
            for rule in declared(files, f"{space}/topics/subscriptions/rules")
            if rule.at("parent") == Computed(each.symbol)
        ]
        properties["rule"] = [(r.at("name"), r.at("properties.sqlFilter.sqlExpression")) for r in rules]
        subscriptions[each.at("name")] = properties
    wanted_topic = {**TOPIC_SETTINGS, "defaultMessageTimeToLive": f"P{MESSAGE_TTL_SECONDS // 86_400}D"}
    # A rule of another name would stand beside `$Default`, which lets everything in.
    wanted = {
        name: {**each, "rule": [("$Default", each["rule"]["sqlExpression"])]}
        for name, each in SUBSCRIPTION_SETTINGS.items()
    }
    return (
        _differences("topic", topics, {TOPIC: wanted_topic})
        + _differences("subscription", subscriptions, wanted)
        + _differences("queue", queues, DEAD_LETTER_QUEUE_SETTINGS)
        + [
            f"queue {name}: a dead letter must not expire"
            for name, q in queues.items()
            if "defaultMessageTimeToLive" in q
        ]
    )


def blobs(files: Files) -> list[str]:
    """The archive has its containers, is emptied in time, and keeps no copy of what it deletes."""
    found = []
    in_archive = [file for file in files.values() if file.name.endswith("archiveStorage.bicep")]
    for file in in_archive:
        by_type = {resource.type.rsplit("/", 1)[-1]: resource for resource in file.resources}
        names = {r.at("name") for r in file.resources if r.type.endswith("/containers")}
        found += [f"container {name} is missing" for name in sorted(set(BLOB_CONTAINERS) - names)]
        found += [f"container {name} is unknown to the code" for name in sorted(names - set(BLOB_CONTAINERS))]
        service = by_type["blobServices"]
        for path in (
            "isVersioningEnabled",
            "changeFeed.enabled",
            "deleteRetentionPolicy.enabled",
            "containerDeleteRetentionPolicy.enabled",
            "restorePolicy.enabled",
        ):
            if service.at(f"properties.{path}") is not False:
                found.append(f"{service.where}: {path} must be off, or deleted events live on")
        rules = by_type["managementPolicies"].at("properties.policy.rules")
        symbols = {r.symbol: r.at("name") for r in file.resources}
        days = {
            _with_names(prefix, symbols): rule["definition"]["actions"]["baseBlob"]["delete"][
                "daysAfterCreationGreaterThan"
            ]
            for rule in rules
            for prefix in rule["definition"]["filters"]["prefixMatch"]
        }
        if set(days) != {f"{ARCHIVE}/", f"{UPLOADS}/"} or any(rule["enabled"] is not True for rule in rules):
            found.append(f"{file.name}: the deletion rules must cover {ARCHIVE} and {UPLOADS}, not {sorted(days)}")
        elif days[f"{UPLOADS}/"] != UPLOAD_DAYS:
            found.append(f"{file.name}: forgotten uploads are to go after {UPLOAD_DAYS} days, as on one machine")
    waits = MESSAGE_TTL_SECONDS // 86_400 + LIFECYCLE_LAG_DAYS
    for file in files.values():
        for name in ("archiveDeleteAfterDays", "deleteAfterDays"):
            decorators, default = file.parameters.get(name, ({"maxValue": 0}, None))
            if max(decorators.get("maxValue", 10**6), default or 0) + waits > PRIVACY_DAYS:
                found.append(f"{file.name}: {name} lets an event outlive day {PRIVACY_DAYS}")
    return found if in_archive else ["there is no archive"]


def closed(files: Files) -> list[str]:
    """No public network access, no local authentication, no shared key; nothing open but the entry."""
    found = []
    for file in files.values():
        for resource in file.resources:
            if resource.existing:
                continue
            if resource.type in CLOSED:
                for path, value in CLOSED[resource.type].items():
                    if resource.at(path) != value:
                        found.append(f"{resource.where}: {path} must be {value!r}, not {resource.at(path)!r}")
            elif resource.type not in OPENS_NOTHING and (resource.type, resource.symbol) not in THE_DOOR:
                found.append(f"{resource.where}: nobody has said yet how {resource.type} is kept private")
            if resource.type == "Microsoft.Network/networkSecurityGroups":
                found += _open_rules(resource)
        code = re.sub(r"//.*", "", file.text)
        found += [f"{file.name}: {match.group()} takes or gives a key" for match in KEYS.finditer(code)]
    return found


def repeatable(files: Files) -> list[str]:
    """Deploying twice changes nothing."""
    found = [f"{r.where}: is made anew by each deployment" for t in MADE_ELSEWHERE for r in declared(files, t)]
    versions: dict[str, set[str]] = {}
    for file in files.values():
        found += [f"{file.name}: {match.group(1)} differs each time" for match in DRAWN_ANEW.finditer(file.text)]
        for resource in file.resources:
            versions.setdefault(resource.type, set()).add(resource.version)
    return found + [f"{name} is used in several versions: {sorted(v)}" for name, v in versions.items() if len(v) > 1]


def described(files: Files) -> list[str]:
    """Every parameter says what it is, and every number its limits."""
    found = []
    for file in files.values():
        for name, (decorators, _) in file.parameters.items():
            if not decorators.get("description"):
                found.append(f"{file.name}: {name} has no description")
            number = re.search(rf"^param {name} int\b", file.text, re.M)
            named = any(r.at("name") == Computed(name) for r in file.resources)
            if named and "minLength" not in decorators:
                found.append(f"{file.name}: {name} names a resource and has no least length: the compiler warns")
            if number and not ({"minValue", "maxValue"} <= set(decorators) or "allowed" in decorators):
                found.append(f"{file.name}: {name} has no limits")
    return found


def _open_rules(group: Resource) -> list[str]:
    found = []
    for rule in group.at("properties.securityRules") or []:
        properties = rule.get("properties", {})
        lets_in = properties.get("direction") == "Inbound" and properties.get("access") == "Allow"
        from_anywhere = properties.get("sourceAddressPrefix") in ("Internet", "*", "0.0.0.0/0", "Any")
        if (
            lets_in
            and from_anywhere
            and (group.symbol, properties.get("destinationPortRange")) != ("entryRules", "443")
        ):
            found.append(f"{group.where}: the rule {rule['name']} lets the internet in")
    denies = [r for r in group.at("properties.securityRules") or [] if r["name"] == "deny-everything-else-in"]
    return found if denies else [*found, f"{group.where}: it does not end with a refusal"]


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


def _with_names(value: Any, names: Mapping[str, str]) -> str:
    """A string with `${symbol.name}` filled in."""
    text = value.text.strip("'") if isinstance(value, Computed) else value
    return re.sub(r"\$\{(\w+)\.name\}", lambda match: str(names.get(match[1], match[0])), text)
