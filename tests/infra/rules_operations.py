"""Rules over snapshots: what jobs in the network can do, who can start them, who reads their output."""

from __future__ import annotations

import re

from tests.infra.snapshot import ASSIGNMENT, Resource, Snapshot, last, role_of, scope_of

JOB = "Microsoft.App/jobs"
WORKSPACE = "Microsoft.OperationalInsights/workspaces"
APP_CONFIGURATION_DATA_OWNER = "5ae67dd6-50cb-40e7-96ff-dc2bfa4b606b"
ON_CALL = "id-pipeline-switch"
PINNED = re.compile(r".+@sha256:[0-9a-f]{64}")


def jobs(made: Snapshot) -> list[str]:
    """Images are pinned; the switch job can write flags only, and on-call staff may start only that one."""
    found = []
    for job in made.all(JOB):
        images = [each["image"] for each in job.at("properties.template.containers")]
        found += [
            f"{job}: another image may stand behind {image} tomorrow" for image in images if not PINNED.match(image)
        ]
    switch = made.one(JOB, "switch-")
    for identity in switch["identity"]["userAssignedIdentities"]:
        for assignment in given_to(made, last(identity)):
            if role_of(assignment) != APP_CONFIGURATION_DATA_OWNER:
                found.append(f"{switch}: whoever starts it can do more than write flags, on {scope_of(assignment)}")
    on_call = [scope_of(each) for each in given_to(made, ON_CALL)]
    return found + [f"those on call may act on {scope}" for scope in on_call if scope != switch["id"]]


def on_call(bootstrap: Snapshot) -> list[str]:
    """Step 1 gives on-call staff only read access to the whole group."""
    roles = {each.name: each for each in bootstrap.all("Microsoft.Authorization/roleDefinitions")}
    found = []
    for assignment in given_to(bootstrap, ON_CALL):
        for permission in roles[role_of(assignment)].at("properties.permissions"):
            more = [action for action in permission["actions"] if not action.endswith("/read")]
            found += [f"those on call may {action} anywhere in the group" for action in more]
    return found


def printed(made: Snapshot) -> list[str]:
    """The workspace that is readable from outside holds only job output."""
    outside = {
        each["id"] for each in made.all(WORKSPACE) if each.at("properties.publicNetworkAccessForQuery") == "Enabled"
    }
    found = [] if len(outside) == 1 else [f"{len(outside)} workspaces can be read from outside the network"]
    for setting in made.all("Microsoft.Insights/diagnosticSettings"):
        source = setting["id"].partition("/providers/Microsoft.Insights/diagnosticSettings")[0]
        if setting.at("properties.workspaceId") in outside and "Microsoft.App/managedEnvironments" not in source:
            found.append(f"what {last(source)} logs can be read from outside the network")
    for component in made.all("Microsoft.Insights/components"):
        if component.at("properties.WorkspaceResourceId") in outside:
            found.append("telemetry can be read from outside the network")
    return found


def given_to(made: Snapshot, identity: str) -> list[Resource]:
    """Return the role assignments of an identity, by its name."""
    return [each for each in made.all(ASSIGNMENT) if f"/{identity}'" in each.at("properties.principalId")]
