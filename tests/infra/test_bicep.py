"""The Bicep files against the code they must fit, and proof that each kind of mistake is noticed."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from infra import package
from tests.infra.bicep_files import read_folder
from tests.infra.rules import closed, declared, every_rule
from tests.parts import app_functions

ROOT = Path(__file__).resolve().parents[2]
BICEP = ROOT / "infra" / "bicep"
FILES = read_folder(BICEP)


def routes_by_function() -> dict[str, str | None]:
    """Function → its route, None for what has no HTTP trigger."""
    return {each.get_function_name(): each.get_trigger().get_dict_repr().get("route") for each in app_functions()}


def test_the_files_obey_every_rule():
    assert every_rule(FILES) == []


MISTAKES = [
    ("a syntax error", "main.bicep", "targetScope = 'resourceGroup'", "targetScope = = 'resourceGroup'", "syntax"),
    ("an open brace", "modules/cosmos.bicep", "consistencyPolicy: {", "consistencyPolicy: ", "syntax"),
    (
        "public access to the database",
        "modules/cosmos.bicep",
        "publicNetworkAccess: 'Disabled'",
        "publicNetworkAccess: 'Enabled'",
        "properties.publicNetworkAccess must be 'Disabled'",
    ),
    (
        "public access to the app",
        "modules/functionApp.bicep",
        "    publicNetworkAccess: 'Disabled'\n",
        "",
        "publicNetworkAccess must be 'Disabled', not None",
    ),
    (
        "public blobs",
        "modules/archiveStorage.bicep",
        "allowBlobPublicAccess: false",
        "allowBlobPublicAccess: true",
        "allowBlobPublicAccess must be False",
    ),
    (
        "keys of the storage account",
        "modules/hostStorage.bicep",
        "allowSharedKeyAccess: false",
        "allowSharedKeyAccess: true",
        "allowSharedKeyAccess must be False",
    ),
    (
        "passwords of the bus",
        "modules/serviceBus.bicep",
        "disableLocalAuth: true",
        "disableLocalAuth: false",
        "properties.disableLocalAuth must be True",
    ),
    (
        "a key in a setting",
        "modules/functionApp.bicep",
        "value: cosmosEndpoint",
        "value: plan.listKeys().primaryKey",
        "takes or gives a key",
    ),
    (
        "a second door",
        "modules/network.bicep",
        "sourceAddressPrefix: 'VirtualNetwork'",
        "sourceAddressPrefix: 'Internet'",
        "lets the internet in",
    ),
    (
        "a resource nobody looked at",
        "modules/hostStorage.bicep",
        "Microsoft.Storage/storageAccounts/blobServices@",
        "Microsoft.Storage/storageAccounts/fileServices@",
        "nobody has said yet",
    ),
    (
        "a missing setting",
        "modules/functionApp.bicep",
        "        {\n          name: 'SIGNALS_BUDGET_MS'\n          value: '80'\n        }\n",
        "",
        "SIGNALS_BUDGET_MS is missing",
    ),
    (
        "an orphaned setting",
        "modules/functionApp.bicep",
        "name: 'ROLLUP_SECONDS'",
        "name: 'ROLL_UP_SECONDS'",
        "ROLL_UP_SECONDS is not in SETTINGS",
    ),
    (
        "a setting out of its limits",
        "modules/functionApp.bicep",
        "name: 'FLAGS_REFRESH_SECONDS'\n          value: '20'",
        "name: 'FLAGS_REFRESH_SECONDS'\n          value: '120'",
        "FLAGS_REFRESH_SECONDS must be between",
    ),
    (
        "a setting the platform refuses",
        "modules/functionApp.bicep",
        "name: 'PYTHON_THREADPOOL_THREAD_COUNT'",
        "name: 'FUNCTIONS_WORKER_RUNTIME'",
        "is refused by Flex Consumption",
    ),
    (
        "a connection string",
        "modules/functionApp.bicep",
        "name: 'COSMOS_ENDPOINT'",
        "name: 'COSMOS_CONNECTION_STRING'",
        "a key; for emulators",
    ),
    (
        "a secret in the open",
        "modules/functionApp.bicep",
        "'@Microsoft.KeyVault(SecretUri=${vaultUri}secrets/identity-secret)'",
        "'c2VjcmV0'",
        "IDENTITY_SECRET must come from the vault",
    ),
    (
        "a wrong container",
        "modules/cosmos.bicep",
        "  name: 'video-stats'",
        "  name: 'video-statistics'",
        "container video-statistics is unknown to the code",
    ),
    (
        "a wrong partition key",
        "modules/cosmos.bicep",
        "paths: ['/userKey']",
        "paths: ['/tenantId']",
        "container user-activity: partitionKeyPath must be '/userKey'",
    ),
    (
        "a wrong time to live",
        "modules/cosmos.bicep",
        "defaultTtl: 7776000",
        "defaultTtl: 31536000",
        "container user-activity: defaultTtl must be 7776000",
    ),
    (
        "an indexed point read",
        "modules/cosmos.bicep",
        "includedPaths: []",
        "includedPaths: [\n          {\n            path: '/*'\n          }\n        ]",
        "container user-activity: indexingPolicy",
    ),
    (
        "a subscription without sessions",
        "modules/serviceBus.bicep",
        "requiresSession: true",
        "requiresSession: false",
        "subscription rollup: requiresSession must be True",
    ),
    (
        "no duplicate detection",
        "modules/serviceBus.bicep",
        "requiresDuplicateDetection: true",
        "requiresDuplicateDetection: false",
        "topic user-events: requiresDuplicateDetection must be True",
    ),
    (
        "a topic that keeps events longer",
        "modules/serviceBus.bicep",
        "    defaultMessageTimeToLive: 'P3D'\n    requiresDuplicateDetection",
        "    defaultMessageTimeToLive: 'P14D'\n    requiresDuplicateDetection",
        "topic user-events: defaultMessageTimeToLive must be 'P3D'",
    ),
    (
        "a replay that reaches everybody",
        "modules/serviceBus.bicep",
        "onlyFor = \\'rollup\\'",
        "onlyFor = \\'signals\\'",
        "subscription rollup: rule",
    ),
    (
        "a rule beside the default one",
        "modules/serviceBus.bicep",
        "parent: signals\n  name: '$Default'",
        "parent: signals\n  name: 'mine'",
        "subscription signals: rule",
    ),
    (
        "soft delete of raw events",
        "modules/archiveStorage.bicep",
        "deleteRetentionPolicy: {\n      enabled: false",
        "deleteRetentionPolicy: {\n      enabled: true",
        "deleteRetentionPolicy.enabled must be off",
    ),
    (
        "raw events kept too long",
        "modules/archiveStorage.bicep",
        "@maxValue(85)",
        "@maxValue(90)",
        "lets an event outlive day 90",
    ),
    (
        "a deletion rule for the wrong container",
        "modules/archiveStorage.bicep",
        "prefixMatch: ['${rawEvents.name}/']",
        "prefixMatch: ['${rankingTables.name}/']",
        "must cover userevents-raw",
    ),
    (
        "forgotten uploads that stay",
        "modules/archiveStorage.bicep",
        "daysAfterCreationGreaterThan: 7",
        "daysAfterCreationGreaterThan: 700",
        "forgotten uploads are to go after 7 days",
    ),
    (
        "a module without its parameter",
        "main.bicep",
        "    messagingUnits: messagingUnits\n",
        "",
        "modules/serviceBus.bicep needs the parameter messagingUnits",
    ),
    (
        "a parameter that does not exist",
        "env/prod.bicepparam",
        "param messagingUnits = 8",
        "param messagingUnits = 8\nparam messageUnits = 8",
        "main.bicep has no parameter messageUnits",
    ),
    (
        "a size out of its limits",
        "env/prod.bicepparam",
        "param alwaysReadyHttp = 5",
        "param alwaysReadyHttp = 4000",
        "alwaysReadyHttp is out of its limits",
    ),
    (
        "a key made anew",
        "modules/roles.bicep",
        "name: guid(topic.id, appPrincipalId, roles.serviceBusDataSender)",
        "name: newGuid()",
        "newGuid differs each time",
    ),
    (
        "a flag that a deployment resets",
        "modules/appConfiguration.bicep",
        "output storeId string",
        "resource flag 'Microsoft.AppConfiguration/configurationStores/keyValues@2024-06-01' = {\n"
        "  parent: store\n  name: 'x'\n}\n\noutput storeId string",
        "is made anew by each deployment",
    ),
]


@pytest.mark.parametrize(("file", "right", "wrong", "finding"), [m[1:] for m in MISTAKES], ids=[m[0] for m in MISTAKES])
def test_a_planted_mistake_is_found(tmp_path: Path, file: str, right: str, wrong: str, finding: str):
    folder = tmp_path / "bicep"
    shutil.copytree(BICEP, folder)
    text = (folder / file).read_text()
    assert right in text, "the mistake no longer fits the file: plant it anew"
    (folder / file).write_text(text.replace(right, wrong, 1))

    found = every_rule(read_folder(folder))

    assert any(finding in each for each in found), found


def test_only_the_entry_and_the_outbound_address_face_the_internet():
    public = declared(FILES, "Microsoft.Network/publicIPAddresses")
    assert {address.symbol for address in public} == {"entryAddress", "outboundAddress"}
    assert closed(FILES) == []


def test_functions_that_stand_ready_exist():
    asked = re.findall(r"'function:(\w+)'", FILES["modules/functionApp.bicep"].text)
    assert asked
    assert set(asked) <= set(routes_by_function())


def test_the_package_is_built_for_the_python_that_runs_it():
    parameters = FILES["main.bicep"].parameters
    assert parameters["pythonVersion"][1] == package.PYTHON
    assert str(parameters["operationsImage"][1]).endswith(f"python{package.PYTHON}")


def test_the_operations_program_survives_being_an_argument():
    program = (ROOT / "infra" / "operate.py").read_text()
    assert "$(" not in program, "the container platform would take it for a variable"
    assert len(program.encode()) < 131_072, "Bicep loads no more"


def test_every_role_that_is_given_may_be_given_by_the_pipeline():
    given = set(FILES["modules/roles.bicep"].variables["roles"].values())
    given.add(FILES["modules/operationsRole.bicep"].variables["websiteContributor"])
    assert given == set(FILES["modules/pipeline.bicep"].variables["assignableRoles"])


def test_the_compiler_is_told_to_take_warnings_for_errors():
    rules = json.loads((BICEP / "bicepconfig.json").read_text())["analyzers"]["core"]["rules"]
    assert {rule["level"] for rule in rules.values()} == {"error"}


def test_the_firewall_blocks_debug_and_lets_the_api_through():
    policy = declared(FILES, "Microsoft.Network/ApplicationGatewayWebApplicationFirewallPolicies")[0]
    rules = {rule["name"]: rule for rule in policy.at("properties.customRules")}

    def matches(name: str, uri: str) -> bool:
        return re.search(rules[name]["matchConditions"][0]["matchValues"][0], uri.lower()) is not None

    def passes(uri: str) -> bool:
        return not matches("BlockDebugAndHost", uri) and matches("BlockUnknownPaths", uri)

    for route in filter(None, routes_by_function().values()):
        assert passes(f"/{route}") is not route.startswith("v1/debug"), route
    for uri in ("/v1/feed?limit=20&country=DE", "/v1/feed?cursor=a/debug/b", "/v1/cms/videos/abc", "/studio/app.js"):
        assert passes(uri), uri
    for uri in ("/V1/Debug/user-signals", "/v1//debug/x", "/v1/./debug", "/v1/x/../debug/y", "/admin/host/keys", "/"):
        assert not passes(uri), uri
