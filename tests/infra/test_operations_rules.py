"""Jobs inside the network have no more rights than they need, and each rule finds its planted mistake."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.infra import rules_operations as rules
from tests.infra.compiler import Compiled
from tests.infra.snapshot import ASSIGNMENT, COSMOS, Snapshot, scope_of
from tests.infra.test_bicep import planted

DIAGNOSTICS = "Microsoft.Insights/diagnosticSettings"
COMPONENTS = "Microsoft.Insights/components"
ROLES = "Microsoft.Authorization/roleDefinitions"


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_on_call_staff_can_switch_flags_and_read_job_output(compiled: Compiled, environment: str):
    made = Snapshot.of(environment, compiled.snapshots[environment])
    assert [*rules.jobs(made), *rules.printed(made)] == []
    assert [scope_of(each) for each in rules.given_to(made, rules.ON_CALL)] == [made.one(rules.JOB, "switch-")["id"]]


def test_step_1_gives_on_call_staff_read_access_only(bootstrap: Snapshot):
    assert rules.given_to(bootstrap, rules.ON_CALL)
    assert rules.on_call(bootstrap) == []


def test_image_with_a_moving_tag_is_found(prod: Snapshot):
    path = "properties.template.containers"
    (container,) = prod.one(rules.JOB, "switch-").at(path)
    moving = [{**container, "image": "mcr.microsoft.com/azure-functions/python:4-python3.11"}]
    assert any("tomorrow" in each for each in rules.jobs(planted(prod, rules.JOB, "switch-", path, moving)))


def test_a_switch_job_with_another_identity_is_found(prod: Snapshot):
    both = prod.one(rules.JOB, "job-")["identity"]["userAssignedIdentities"]
    found = rules.jobs(planted(prod, rules.JOB, "switch-", "identity.userAssignedIdentities", both))
    assert any("can do more than write flags" in each for each in found)


def test_on_call_role_outside_its_scope_is_found(prod: Snapshot):
    (given,) = rules.given_to(prod, rules.ON_CALL)
    elsewhere = given["id"].replace(prod.one(rules.JOB, "switch-")["id"], prod.one(COSMOS)["id"])
    found = rules.jobs(planted(prod, ASSIGNMENT, given.name, "id", elsewhere))
    assert any("those on call may act on" in each for each in found)


def test_permission_to_start_every_job_is_found(bootstrap: Snapshot):
    (given,) = rules.given_to(bootstrap, rules.ON_CALL)
    role = rules.role_of(given)
    permissions: Any = [{"actions": ["Microsoft.App/jobs/read", "Microsoft.App/jobs/start/action"]}]
    found = rules.on_call(planted(bootstrap, ROLES, role, "properties.permissions", permissions))
    assert found == ["those on call may Microsoft.App/jobs/start/action anywhere in the group"]


def test_telemetry_readable_from_outside_is_found(prod: Snapshot):
    outside = prod.one(rules.WORKSPACE, "logop-")["id"]
    changed = Snapshot(prod.environment, copy.deepcopy(prod.resources))
    gateway = next(each for each in changed.all(DIAGNOSTICS) if "managedEnvironments" not in each["id"])
    gateway["properties"]["workspaceId"] = outside
    assert any("logs can be read from outside" in each for each in rules.printed(changed))
    found = rules.printed(planted(prod, COMPONENTS, "", "properties.WorkspaceResourceId", outside))
    assert found == ["telemetry can be read from outside the network"]
    opened = planted(prod, rules.WORKSPACE, "log-", "properties.publicNetworkAccessForQuery", "Enabled")
    assert "2 workspaces can be read from outside the network" in rules.printed(opened)
