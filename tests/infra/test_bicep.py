"""Snapshots of the deployment match the code, and each kind of mistake is found."""

from __future__ import annotations

import copy
import functools
import re
from pathlib import Path
from typing import Any

import pytest

from infra import package
from tests.infra.compiler import Compiled
from tests.infra.rules import CLOSED, closed, every_rule, parameters
from tests.infra.snapshot import ASSIGNMENT, BUS, COSMOS, SITE, STORAGE, WEB_PUBSUB, Snapshot, role_of
from tests.parts import app_functions

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = ("dev", "prod")


def routes_by_function() -> dict[str, str | None]:
    """Return function → its route, None without HTTP trigger."""
    return {each.get_function_name(): each.get_trigger().get_dict_repr().get("route") for each in app_functions()}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_deployed_resources_obey_every_rule(compiled: Compiled, environment: str):
    assert every_rule(Snapshot.of(environment, compiled.snapshots[environment])) == []


def test_every_parameter_is_described_and_limited(compiled: Compiled):
    assert [found for name, each in compiled.templates.items() for found in parameters(each, name)] == []


GONE = object()
CONTAINER = f"{COSMOS}/sqlDatabases/containers"
WORKBOOK = "Microsoft.Insights/workbooks"
SUBSCRIPTION = f"{BUS}/topics/subscriptions"
MISTAKES: dict[str, tuple[str, str, str, Any, str]] = {
    "public access to the database": (COSMOS, "", "properties.publicNetworkAccess", "Enabled", "must be 'Disabled'"),
    "public access to the app": (SITE, "", "properties.publicNetworkAccess", GONE, "must be 'Disabled', not None"),
    "public blobs": (STORAGE, "arc", "properties.allowBlobPublicAccess", True, "allowBlobPublicAccess must be False"),
    "keys of the storage account": (STORAGE, "host", "properties.allowSharedKeyAccess", True, "must be False"),
    "passwords of the bus": (BUS, "", "properties.disableLocalAuth", False, "properties.disableLocalAuth must be True"),
    "a resource nobody looked at": (WORKBOOK, "", "type", f"{STORAGE}/fileServices", "nobody has said yet"),
    "a second door": (
        "Microsoft.Network/networkSecurityGroups",
        "endpoints",
        "properties.securityRules.0.properties.sourceAddressPrefix",
        "Internet",
        "lets the internet in",
    ),
    "a group of rules without a refusal": (
        "Microsoft.Network/networkSecurityGroups",
        "endpoints",
        "properties.securityRules",
        [],
        "does not end with a refusal",
    ),
    "a subnet without rules": (
        "Microsoft.Network/virtualNetworks",
        "",
        "properties.subnets.1.properties.networkSecurityGroup",
        GONE,
        "the subnet functions has no rules",
    ),
    "an endpoint without its zone": (
        "Microsoft.Network/privateEndpoints/privateDnsZoneGroups",
        "",
        "properties.privateDnsZoneConfigs",
        [],
        "has no DNS zone",
    ),
    "a zone without its link": (
        "Microsoft.Network/privateDnsZones/virtualNetworkLinks",
        "",
        "name",
        "elsewhere/network",
        "not linked to the network",
    ),
    "a service without its endpoint": (
        "Microsoft.Network/privateEndpoints",
        "-app-configuration",
        "properties.privateLinkServiceConnections",
        [],
        "has no private endpoint",
    ),
    "a key in a setting": (SITE, "", "settings.COSMOS_ENDPOINT", "[listKeys('x', '1')]", "takes or gives a key"),
    "a missing setting": (SITE, "", "settings.SIGNALS_BUDGET_MS", GONE, "SIGNALS_BUDGET_MS is missing"),
    "an orphaned setting": (SITE, "", "settings.ROLL_UP", "20", "ROLL_UP is not in SETTINGS"),
    "a setting out of its limits": (SITE, "", "settings.FLAGS_REFRESH_SECONDS", "120", "must be between"),
    "a setting the platform refuses": (SITE, "", "settings.FUNCTIONS_WORKER_RUNTIME", "python", "is refused by Flex"),
    "a connection string": (SITE, "", "settings.COSMOS_CONNECTION_STRING", "x", "a key; for emulators"),
    "a secret in the open": (SITE, "", "settings.IDENTITY_SECRET", "c2VjcmV0", "must come from the vault"),
    "a wrong container": (CONTAINER, "video-stats", "name", "a/b/video-statistics", "is unknown to the code"),
    "a blob container of another name": (
        f"{STORAGE}/blobServices/containers",
        "ranking-tables",
        "name",
        "vfeedprodarc2ck6jz/default/tables",
        "is unknown to the code",
    ),
    "a wrong partition key": (
        CONTAINER,
        "user-activity",
        "properties.resource.partitionKey.paths",
        ["/tenantId"],
        "container user-activity: partitionKeyPath must be '/userKey'",
    ),
    "a wrong time to live": (
        CONTAINER,
        "user-activity",
        "properties.resource.defaultTtl",
        1,
        "defaultTtl must be 7776",
    ),
    "an indexed point read": (
        CONTAINER,
        "user-activity",
        "properties.resource.indexingPolicy.includedPaths",
        [{"path": "/*"}],
        "container user-activity: indexingPolicy",
    ),
    "backups for a month": (
        COSMOS,
        "",
        "properties.backupPolicy.continuousModeProperties.tier",
        "Continuous30Days",
        "backups must end",
    ),
    "a subscription without sessions": (SUBSCRIPTION, "rollup", "properties.requiresSession", False, "must be True"),
    "no duplicate detection": (f"{BUS}/topics", "", "properties.requiresDuplicateDetection", False, "must be True"),
    "a topic that keeps events": (f"{BUS}/topics", "", "properties.defaultMessageTimeToLive", "P14D", "must be 'P3D'"),
    "a dead letter that expires": (
        f"{BUS}/queues",
        "signals",
        "properties.defaultMessageTimeToLive",
        "P3D",
        "a dead letter must not expire",
    ),
    "a replay that reaches everybody": (
        f"{SUBSCRIPTION}/rules",
        "",
        "properties.sqlFilter.sqlExpression",
        "1=1",
        "subscription signals: rule",
    ),
    "a rule beside the default one": (f"{SUBSCRIPTION}/rules", "", "name", "a/b/signals/mine", "signals: rule"),
    "soft delete of raw events": (
        f"{STORAGE}/blobServices",
        "",
        "properties.deleteRetentionPolicy.enabled",
        True,
        "deleteRetentionPolicy.enabled must be off",
    ),
    "a deletion rule for the wrong container": (
        f"{STORAGE}/managementPolicies",
        "",
        "properties.policy.rules.0.definition.filters.prefixMatch",
        ["ranking-tables/"],
        "must cover",
    ),
    "forgotten uploads that stay": (
        f"{STORAGE}/managementPolicies",
        "",
        "properties.policy.rules.1.definition.actions.baseBlob.delete.daysAfterCreationGreaterThan",
        700,
        "forgotten uploads are to go after 7 days",
    ),
    "raw events kept too long": (
        f"{STORAGE}/managementPolicies",
        "",
        "properties.policy.rules.0.definition.actions.baseBlob.delete.daysAfterCreationGreaterThan",
        88,
        "outlives day 90",
    ),
    "a name drawn anew": (SITE, "", "kind", "[newGuid()]", "newGuid differs each time"),
    "a type in two versions": (f"{BUS}/queues", "signals", "apiVersion", "2017-04-01", "is used in several versions"),
    "a flag that a deployment resets": (
        WORKBOOK,
        "",
        "type",
        "Microsoft.AppConfiguration/configurationStores/keyValues",
        "is made anew by each deployment",
    ),
}


def planted(made: Snapshot, type_name: str, named: str, path: str, value: Any) -> Snapshot:
    """Return a copy in which the first resource of a type has another value; `settings.NAME` is an app setting."""
    changed = Snapshot(made.environment, copy.deepcopy(made.resources))
    resource = next(each for each in changed.all(type_name) if named in each["name"])
    *way, last = path.split(".")
    if way == ["settings"]:
        stored = resource["properties"]["siteConfig"]["appSettings"]
        stored[:] = [each for each in stored if each["name"] != last]
        stored += [] if value is GONE else [{"name": last, "value": value}]
        return changed
    inside: Any = resource
    for name in way:
        inside = inside[int(name)] if isinstance(inside, list) else inside[name]
    if value is GONE:
        del inside[last]
    else:
        inside[last] = value
    return changed


@pytest.mark.parametrize(("type_name", "named", "path", "value", "finding"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_planted_mistake_is_found(prod: Snapshot, type_name: str, named: str, path: str, value: Any, finding: str):
    found = every_rule(planted(prod, type_name, named, path, value))
    assert any(finding in each for each in found), found


def test_duplicate_setting_is_found(prod: Snapshot):
    stored = prod.one(SITE).at("properties.siteConfig.appSettings")
    twice = planted(prod, SITE, "", "properties.siteConfig.appSettings", [*stored, stored[0]])
    assert f"{prod.one(SITE)}: {stored[0]['name']} is set twice" in every_rule(twice)


def test_missing_protection_of_a_private_resource_is_found(prod: Snapshot, compiled: Compiled):
    with_doors = Snapshot.of("dev", copy.deepcopy(compiled.snapshots["dev"]))
    unseen = []
    for type_name, kept in CLOSED.items():
        made = prod if prod.all(type_name) else with_doors
        resource = made.all(type_name)[0]
        for path in kept:
            *way, last = path.split(".")
            owner = functools.reduce(lambda inside, name: inside[name], way, resource)
            value = owner.pop(last)
            unseen += [] if any(f"{path} must be" in each for each in closed(made)) else [f"{type_name} {path}"]
            owner[last] = value
    assert unseen == []
    assert closed(prod) == []


DOORS: dict[str, tuple[str, str, str, Any, str]] = {
    "keys of the media account": (STORAGE, "med", "properties.allowSharedKeyAccess", True, "must be False"),
    "media without a link": (STORAGE, "med", "properties.allowBlobPublicAccess", True, "must be False"),
    "media without encryption": (STORAGE, "med", "properties.supportsHttpsTrafficOnly", False, "must be True"),
    "pages that delete": (
        f"{STORAGE}/blobServices",
        "med",
        "properties.cors.corsRules.0.allowedMethods",
        ["DELETE"],
        "pages may GET and PUT",
    ),
    "uploads that stay": (
        f"{STORAGE}/managementPolicies",
        "med",
        "properties.policy.rules.0.enabled",
        False,
        "must be deleted as on one machine",
    ),
    "keys of the nudges": (WEB_PUBSUB, "", "properties.disableLocalAuth", False, "must be True"),
    "nudges sent from outside": (WEB_PUBSUB, "", "properties.networkACLs.publicNetwork.deny", ["Trace"], "must be"),
}


@pytest.mark.parametrize(("type_name", "named", "path", "value", "finding"), DOORS.values(), ids=DOORS.keys())
def test_mistake_at_a_public_stories_endpoint_is_found(
    compiled: Compiled, type_name: str, named: str, path: str, value: Any, finding: str
):
    made = Snapshot.of("dev", compiled.snapshots["dev"])
    resource = next(each for each in made.all(type_name) if named in each["name"])
    found = every_rule(planted(made, type_name, resource["name"], path, value))
    assert any(finding in each for each in found), found


def test_production_has_no_public_stories_endpoint(prod: Snapshot):
    assert prod.all(WEB_PUBSUB) == []
    assert [each for each in prod.all(STORAGE) if "med" in each.name.removesuffix(each.name[-6:])] == []
    assert (prod.settings()["MEDIA_ENDPOINT"], prod.settings()["WEB_PUBSUB_ENDPOINT"]) == ("", "")


def test_a_planted_mistake_in_a_parameter_is_found(compiled: Compiled):
    for change, finding in (
        ({"metadata": {}}, "has no description"),
        ({"minValue": None}, "has no limits"),
        ({"maxValue": 90}, "lets an event outlive day 90"),
    ):
        template = copy.deepcopy(compiled.templates["main.bicep"])
        said = template["parameters"]["archiveDeleteAfterDays"]
        said.update(change)
        template["parameters"]["archiveDeleteAfterDays"] = {k: v for k, v in said.items() if v is not None}
        assert any(finding in each for each in parameters(template, "main.bicep")), finding


def test_always_ready_functions_exist(prod: Snapshot):
    ready = prod.one(SITE).at("properties.functionAppConfig.scaleAndConcurrency.alwaysReady")
    assert ready[0]["name"] == "http"
    named = {each["name"].removeprefix("function:") for each in ready[1:]}
    drainers = {name for name in named if name.startswith("roll_up")}
    assert named - drainers <= set(routes_by_function())
    number = int(prod.settings()["ROLLUP_DRAINERS"])
    assert drainers == {"roll_up", *(f"roll_up_{each}" for each in range(2, number + 1))}


def test_package_targets_the_deployed_python_version(prod: Snapshot):
    assert prod.one(SITE).at("properties.functionAppConfig.runtime.version") == package.PYTHON
    for job in prod.all("Microsoft.App/jobs"):
        (container,) = job.at("properties.template.containers")
        assert f"python{package.PYTHON}@" in container["image"]


def test_operations_program_runs_when_the_job_passes_its_text_to_python(prod: Snapshot):
    program = (ROOT / "infra" / "operate.py").read_text()
    for job in prod.all("Microsoft.App/jobs"):
        (container,) = job.at("properties.template.containers")
        assert container["command"] == ["python3", "-c", program]
    assert "$(" not in program, "the container platform would take it for a variable"
    assert len(program.encode()) < 131_072, "Bicep loads no more"


def test_pipeline_may_assign_every_role_that_is_assigned(prod: Snapshot, bootstrap: Snapshot):
    given = {role_of(each) for each in prod.all(ASSIGNMENT)}
    (condition,) = filter(None, (each.at("properties.condition") for each in bootstrap.all(ASSIGNMENT)))
    assert given == set(re.findall(r"[0-9a-f]{8}-[0-9a-f-]{27}", condition))
