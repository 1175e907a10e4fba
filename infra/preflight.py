"""Checks a subscription before the first deployment: `python -m infra.preflight --environment dev`.

Needs the Azure CLI, signed in, and the variables of step 1 (docs/first-deployment.md). Changes nothing. Prints one line
for each check, with the next step if it fails. Exit code 1 when a failed check would stop the deployment.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

PROVIDERS = (
    "Microsoft.App",
    "Microsoft.AppConfiguration",
    "Microsoft.Authorization",
    "Microsoft.DocumentDB",
    "Microsoft.Insights",
    "Microsoft.KeyVault",
    "Microsoft.ManagedIdentity",
    "Microsoft.Network",
    "Microsoft.OperationalInsights",
    "Microsoft.ServiceBus",
    "Microsoft.SignalRService",
    "Microsoft.Storage",
    "Microsoft.Web",
)
"""Resource providers of main.bicep, and Microsoft.App, which the network of Flex Consumption needs too."""
SUBJECT = re.compile(r"repo:[\w.-]+(@\d+)?/[\w.-]+(@\d+)?")
ENVIRONMENTS = Path(__file__).parent / "bicep" / "env"
Ask = Callable[..., Any]
Finding = tuple[str, str | None]
"""A check, and the next step if it failed."""


class NotAnswered(Exception):
    """The Azure CLI failed; its message gives the reason."""


def az(*arguments: str) -> Any:
    """Return the answer of the Azure CLI. Raises NotAnswered."""
    command = ["az", *arguments, "--output", "json", "--only-show-errors"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    except FileNotFoundError:
        raise NotAnswered("the Azure CLI is not here: install it and run `az login`") from None
    if done.returncode:
        raise NotAnswered((done.stderr.strip().splitlines() or ["az failed"])[-1])
    return json.loads(done.stdout or "null")


def parameters(environment: str) -> dict[str, str]:
    """Return the literal parameters of an environment."""
    text = (ENVIRONMENTS / f"{environment}.bicepparam").read_text(encoding="utf-8")
    literal = re.findall(r"^param (\w+) = ('[^']*'|\d+|true|false)$", text, re.M)
    return {name: value.strip("'") for name, value in literal}


def providers(ask: Ask) -> Iterator[Finding]:
    states = {each["namespace"]: each["registrationState"] for each in ask("provider", "list")}
    for name in PROVIDERS:
        registered = states.get(name) == "Registered"
        yield f"provider {name}", None if registered else f"az provider register --namespace {name} --wait"


def roles(ask: Ask, subscription: str) -> Iterator[Finding]:
    user = ask("ad", "signed-in-user", "show", "--query", "id")
    scope = f"/subscriptions/{subscription}"
    inherited = ("--include-inherited", "--include-groups")
    given = ask("role", "assignment", "list", "--assignee", user, "--scope", scope, *inherited)
    enough = {"Owner"} & {each["roleDefinitionName"] for each in given}
    yield "your roles", None if enough else "step 1 makes role assignments: let somebody with Owner run it"


def region(ask: Ask, location: str, zones: bool) -> Iterator[Finding]:
    arguments = ["functionapp", "list-flexconsumption-locations", *(["--zone-redundant"] if zones else [])]
    offered = {normal(each["name"]) for each in ask(*arguments)}
    over_zones = ", with zone redundancy" if zones else ""
    advice = f"not in {location}{over_zones}: take one of {', '.join(sorted(offered)[:8])}"
    yield "Flex Consumption in the region", None if normal(location) in offered else advice


def database(ask: Ask, subscription: str, location: str, zones: bool) -> Iterator[Finding]:
    url = f"/subscriptions/{subscription}/providers/Microsoft.DocumentDB/locations?api-version=2025-04-15"
    found = {normal(each["name"]): each["properties"] for each in ask("rest", "--method", "get", "--url", url)["value"]}
    here = found.get(normal(location), {})
    allowed = here.get(f"isSubscriptionRegionAccessAllowedFor{'Az' if zones else 'Regular'}")
    step = f"ask Azure support for Cosmos DB in {location}{' over its zones' if zones else ''}, or take another region"
    yield "Cosmos DB in the region", None if allowed else step


def quota(ask: Ask, subscription: str, location: str, instances: int) -> Iterator[Finding]:
    url = f"/subscriptions/{subscription}/providers/Microsoft.Web/locations/{location}/usages?api-version=2025-03-01"
    usages = {each["name"]["value"]: each for each in ask("rest", "--method", "get", "--url", url)["value"]}
    flex = next((each for name, each in usages.items() if "flex" in name.lower()), None)
    if flex is None:
        yield "quota of instances", None  # an unused quota has no line
        return
    free = flex["limit"] - flex["currentValue"]
    short = f"{free} cores are free and {instances} asked for: ask for more, or lower maximumInstances"
    yield "quota of instances", None if free >= instances else short


def subject(prefix: str) -> Iterator[Finding]:
    read = "gh api repos/OWNER/NAME/actions/oidc/customization/sub --jq .sub_claim_prefix"
    well_formed = SUBJECT.fullmatch(prefix) and ("@" in prefix.split("/")[0]) == ("@" in prefix.split("/")[-1])
    yield "sign-in subject", None if well_formed else f"set GITHUB_SUBJECT_PREFIX to what this prints: {read}"


def leftovers(ask: Ask, subscription: str, group: str, prefix: str) -> Iterator[Finding]:
    vaults = ask("keyvault", "list-deleted", "--resource-type", "vault")
    stores = ask("appconfig", "list-deleted")
    ours = [each["name"] for each in vaults if re.match(rf"kv[ae]-{prefix}-", each["name"])]
    ours += [each["name"] for each in stores if each["name"].startswith(f"appcs-{prefix}-")]
    step = f"deleted and still kept: {', '.join(ours)}. If they are this group's, deploy once with RECOVER=true"
    yield "nothing deleted is still kept", step if ours else None
    if not ask("group", "exists", "--name", group):
        yield "no assignment of a lost identity", None
        return
    scope = f"/subscriptions/{subscription}/resourceGroups/{group}"
    lost = [each["id"] for each in ask("role", "assignment", "list", "--scope", scope) if not each.get("principalName")]
    yield "no assignment of a lost identity", f"az role assignment delete --ids {' '.join(lost)}" if lost else None


def normal(location: str) -> str:
    """Return a region's name in one form: `West Europe` and `westeurope` are equal."""
    return location.lower().replace(" ", "")


def checks(ask: Ask, environment: str, variables: Mapping[str, str]) -> Iterator[Finding]:
    """Yield every check with its next step, None if it passed."""
    given = parameters(environment)
    location, zones = variables.get("DEPLOY_LOCATION", ""), given["zoneRedundant"] == "true"
    subscription = ask("account", "show")["id"]
    parts: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("providers", lambda: providers(ask)),
        ("your roles", lambda: roles(ask, subscription)),
        ("region", lambda: region(ask, location, zones)),
        ("database", lambda: database(ask, subscription, location, zones)),
        ("quota", lambda: quota(ask, subscription, location, int(given["maximumInstances"]))),
        ("subject", lambda: subject(variables.get("GITHUB_SUBJECT_PREFIX", ""))),
        ("leftovers", lambda: leftovers(ask, subscription, variables.get("DEPLOY_GROUP", ""), given["namePrefix"])),
    ]
    for name, part in parts:
        try:
            yield from part()
        except (NotAnswered, KeyError, TypeError) as error:
            yield name, f"could not be asked: {error}"


def main(arguments: list[str], variables: Mapping[str, str], ask: Ask = az) -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.preflight", description=__doc__)
    parser.add_argument("--environment", required=True, choices=["dev", "prod"], help="whose sizes are asked for")
    environment = parser.parse_args(arguments).environment
    missing = [name for name in ("DEPLOY_LOCATION", "DEPLOY_GROUP", "GITHUB_SUBJECT_PREFIX") if not variables.get(name)]
    if missing:
        print(f"set {', '.join(missing)} first, as docs/first-deployment.md says")
        return 2
    failed = 0
    try:
        for what, step in checks(ask, environment, variables):
            failed += step is not None
            print(f"{'FAILED' if step else 'ok':7}{what}{f': {step}' if step else ''}")
    except NotAnswered as error:
        print(f"FAILED {error}")
        return 1
    again = f"{failed} checks failed: do what they say, then run this again."
    print(again if failed else "Next: step 1 of docs/operations.md.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
