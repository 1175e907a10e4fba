"""Preflight checks, run with a program called `az` that answers as the Azure CLI does."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from infra import preflight
from tests.infra.compiler import Compiled
from tests.infra.snapshot import templates

VARIABLES = {
    "DEPLOY_LOCATION": "westeurope",
    "DEPLOY_GROUP": "rg-vfeed-prod",
    "GITHUB_SUBJECT_PREFIX": "repo:OWNER@1/NAME@2",
}
COSMOS_ACCESS = {"isSubscriptionRegionAccessAllowedForRegular": True, "isSubscriptionRegionAccessAllowedForAz": True}
ANSWERS: dict[str, Any] = {
    "account show": {"id": "1111", "user": {"type": "user"}},
    "provider list": [{"namespace": name, "registrationState": "Registered"} for name in preflight.PROVIDERS],
    "ad signed-in-user": "2222",
    "role assignment list --assignee": [{"roleDefinitionName": "Owner", "principalName": "anna"}],
    "role assignment list --scope": [{"id": "/x/1", "principalName": "anna"}],
    "functionapp list-flexconsumption-locations": [{"name": "westeurope"}, {"name": "northeurope"}],
    "rest --method get --url /subscriptions/1111/providers/Microsoft.DocumentDB": {
        "value": [{"name": "West Europe", "properties": COSMOS_ACCESS}]
    },
    "rest --method get --url /subscriptions/1111/providers/Microsoft.Web": {
        "value": [{"name": {"value": "FlexConsumptionCores"}, "currentValue": 0, "limit": 512}]
    },
    "keyvault list-deleted": [],
    "appconfig list-deleted": [],
    "group exists": True,
}
"""Beginning of the arguments → output of the CLI, in the shapes of its reference."""

FAKE = """#!{python}
import json, sys
said = " ".join(sys.argv[1:])
answers = json.load(open({answers!r}))
for start in sorted(answers, key=len, reverse=True):
    if said.startswith(start):
        print(json.dumps(answers[start]))
        break
else:
    sys.exit("ERROR: (AuthorizationFailed) may not " + said)
"""


def run(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answers: dict[str, Any],
    variables: dict[str, str] = VARIABLES,
) -> tuple[int, str]:
    """Run preflight with these answers; return exit code and output."""
    stored, program = tmp_path / "answers.json", tmp_path / "az"
    stored.write_text(json.dumps(answers))
    program.write_text(FAKE.format(python=sys.executable, answers=str(stored)))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return preflight.main(["--environment", "prod"], variables), capsys.readouterr().out


def test_valid_subscription_passes_and_the_next_step_is_named(tmp_path, monkeypatch, capsys):
    code, said = run(tmp_path, monkeypatch, capsys, ANSWERS)
    assert code == 0, said
    assert "FAILED" not in said
    assert said.endswith("Next: step 1 of docs/operations.md.\n")


WRONG = {
    "a provider": (
        {"provider list": [{"namespace": "Microsoft.App", "registrationState": "NotRegistered"}]},
        "az provider register --namespace Microsoft.App --wait",
    ),
    "a right": (
        {"role assignment list --assignee": [{"roleDefinitionName": "Contributor"}]},
        "let somebody with Owner run it",
    ),
    "the region": (
        {"functionapp list-flexconsumption-locations": [{"name": "northeurope"}]},
        "one of northeurope",
    ),
    "zones of the database": (
        {
            "rest --method get --url /subscriptions/1111/providers/Microsoft.DocumentDB": {
                "value": [
                    {
                        "name": "West Europe",
                        "properties": {**COSMOS_ACCESS, "isSubscriptionRegionAccessAllowedForAz": False},
                    }
                ]
            }
        },
        "ask Azure support for Cosmos DB in westeurope over its zones",
    ),
    "quota": (
        {
            "rest --method get --url /subscriptions/1111/providers/Microsoft.Web": {
                "value": [{"name": {"value": "FlexConsumptionCores"}, "currentValue": 500, "limit": 512}]
            }
        },
        "12 cores are free",
    ),
    "a deleted vault": ({"keyvault list-deleted": [{"name": "kva-vfeed-abcdef"}]}, "RECOVER=true"),
    "a deleted store": ({"appconfig list-deleted": [{"name": "appcs-vfeed-prod-abcdef"}]}, "RECOVER=true"),
    "a lost identity": (
        {"role assignment list --scope": [{"id": "/x/1", "principalName": ""}]},
        "az role assignment delete --ids /x/1",
    ),
    "an answer of another shape": ({"provider list": [{}]}, "providers: could not be asked"),
}


@pytest.mark.parametrize(("answers", "step"), WRONG.values(), ids=WRONG.keys())
def test_blocking_problem_fails_with_the_next_step(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answers: dict[str, Any],
    step: str,
):
    code, said = run(tmp_path, monkeypatch, capsys, {**ANSWERS, **answers})
    assert code == 1
    assert any(line.startswith("FAILED") and step in line for line in said.splitlines()), said


def test_denied_query_is_one_failed_check_and_the_others_still_run(tmp_path, monkeypatch, capsys):
    code, said = run(tmp_path, monkeypatch, capsys, {k: v for k, v in ANSWERS.items() if k != "provider list"})
    assert code == 1
    assert "providers: could not be asked: ERROR: (AuthorizationFailed)" in said
    assert "ok     sign-in subject" in said


@pytest.mark.parametrize(
    ("prefix", "good"),
    [
        ("repo:OWNER/NAME", True),
        ("repo:OWNER@1/NAME@2", True),
        ("OWNER/NAME", False),
        ("repo:OWNER@1/NAME", False),
        ("repo:OWNER/NAME:environment:prod", False),
    ],
)
def test_the_subject_has_one_of_the_two_forms_that_github_signs(prefix: str, good: bool):
    assert [step is None for _, step in preflight.subject(prefix)] == [good]


def test_missing_variables_are_named(capsys: pytest.CaptureFixture[str]):
    assert preflight.main(["--environment", "dev"], {}) == 2
    assert "set DEPLOY_LOCATION, DEPLOY_GROUP, GITHUB_SUBJECT_PREFIX first" in capsys.readouterr().out


def test_every_provider_of_the_templates_is_checked(compiled: Compiled):
    used = set()
    for name, template in compiled.templates.items():
        for _, inner in templates(template, name):
            resources = inner["resources"]
            used |= {each["type"] for each in (resources.values() if isinstance(resources, dict) else resources)}
    assert {each.partition("/")[0] for each in used} - {"Microsoft.Resources"} <= set(preflight.PROVIDERS)
