"""Workflows pin their actions, have least permissions, and put no untrusted input into a shell line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ACTIONS = sorted((ROOT / ".github" / "actions").glob("*/action.yml"))
FROM_OUTSIDE = re.compile(r"\$\{\{\s*(github\.event|github\.head_ref|inputs\.|needs\.|steps\.|vars\.|secrets\.)")


def load(path: Path) -> dict[Any, Any]:
    document: dict[Any, Any] = yaml.safe_load(path.read_text())
    return document


def steps(document: dict[Any, Any]) -> Iterator[dict[str, Any]]:
    for job in document.get("jobs", {}).values():
        yield from job.get("steps", [])
    yield from document.get("runs", {}).get("steps", [])


@pytest.mark.parametrize("path", [*WORKFLOWS, *ACTIONS], ids=lambda path: path.parent.name + "/" + path.name)
def test_every_third_party_action_is_pinned_to_a_commit(path: Path):
    for line in re.findall(r"uses: (\S+.*)", path.read_text()):
        assert line.startswith("./") or re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line


@pytest.mark.parametrize("path", [*WORKFLOWS, *ACTIONS], ids=lambda path: path.parent.name + "/" + path.name)
def test_no_shell_line_contains_untrusted_input(path: Path):
    for step in steps(load(path)):
        assert not FROM_OUTSIDE.search(step.get("run", "")), step["run"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_have_read_permission_and_each_job_declares_more(path: Path):
    document = load(path)
    assert document["permissions"] == {"contents": "read"}
    for name, job in document["jobs"].items():
        asked = job.get("permissions", {})
        assert set(asked) <= {"contents", "actions", "id-token", "pull-requests"}, name
        assert asked.get("contents", "read") == "read"
        assert asked.get("actions", "read") == "read"
        assert "timeout-minutes" in job or "uses" in job, f"{name} may run for ever"


def test_pull_requests_see_no_environment_and_no_secret():
    text = (ROOT / ".github" / "workflows" / "pull-request.yml").read_text()
    assert "pull_request_target" not in text
    assert "secrets." not in text
    assert "environment:" not in text


def test_every_job_that_touches_azure_uses_a_protected_environment():
    for path in WORKFLOWS:
        for job in load(path)["jobs"].values():
            logins = [step for step in job.get("steps", []) if step.get("uses", "").startswith("azure/login@")]
            for step in logins:
                preview = "PREVIEW" in step["with"]["client-id"]
                assert preview or job["environment"], path.name
                assert set(step["with"]) == {"client-id", "tenant-id", "subscription-id"}, "OIDC needs no more"


def test_production_follows_a_smoke_test_of_development():
    jobs = load(ROOT / ".github" / "workflows" / "main.yml")["jobs"]
    assert jobs["prod"]["needs"] == ["package", "dev"]
    steps_of = [step.get("name") for step in load(ROOT / ".github/workflows/deploy.yml")["jobs"]["deploy"]["steps"]]
    assert steps_of[-6:] == [
        "Infrastructure, where it changed",
        "Sign in again",
        "Code",
        "Sign in again",
        "Flags that are missing",
        "Smoke, through the front door",
    ]


def test_tests_run_on_every_supported_python_and_one_compiler_version():
    checks = load(ROOT / ".github" / "workflows" / "checks.yml")
    assert checks["jobs"]["test"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
    named = {version for path in WORKFLOWS for version in re.findall(r"\bv0\.\d+\.\d+\b", path.read_text())}
    assert len(named) == 1, f"one version of the Bicep compiler, not {named}"


def test_switch_workflow_runs_the_restricted_switch_job():
    jobs = {path.stem: step["with"].get("job") for path in WORKFLOWS for step in steps(load(path)) if is_operate(step)}
    assert jobs["switch"] == "switch"
    assert {name for name, job in jobs.items() if job is None} == {"deploy", "rollback"}


def is_operate(step: dict[str, Any]) -> bool:
    return str(step.get("uses", "")).endswith("actions/operate")
