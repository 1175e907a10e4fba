"""The official worker library of Python 3.13 indexes the app and invokes every function of it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import function_app
from local.invocation import load_functions
from shared.adapters.flags.evaluation import PERSONALIZED_FEED
from tests.skip_reasons import leave_out
from tests.worker.python313 import python313

ROOT = Path(__file__).resolve().parents[2]
WORKER = ROOT / ".venv/worker/bin/python"
TRIGGERS = {"httpTrigger", "serviceBusTrigger", "timerTrigger"}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The output of `worker_program.py`."""
    program = os.environ.get("WORKER_PYTHON", str(WORKER))
    if not Path(program).exists():
        found = python313()
        leave_out(
            "the official worker needs Python 3.13: install one, or name it in PYTHON313, and run make test again"
            if found is None
            else "the official worker is not installed: make test does that"
        )
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path_factory.mktemp("home")),
        "DATA_FOLDER": str(tmp_path_factory.mktemp("data")),
        "NUMBA_CACHE_DIR": str(tmp_path_factory.mktemp("numba")),
        "SIGNALS_CACHE_SECONDS": "0",  # the page is requested right after the fold
    }
    done = subprocess.run(
        [program, "-m", "tests.worker.worker_program"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    found_answers: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found_answers


def calls_of(answers: dict[str, Any], function: str) -> list[dict[str, Any]]:
    return [call for call in answers["calls"] if call["function"] == function]


def test_the_worker_indexes_every_function_of_the_app(
    answers: dict[str, Any], record_property: Callable[[str, object], None]
) -> None:
    names = ("azure-functions-runtime", "azure-functions", "Python")
    versions = zip(names, (answers["worker"], answers["sdk"], answers["python"]), strict=True)
    record_property("tested with", ", ".join(f"{name} {number}" for name, number in versions))
    assert answers["functions"] == {each.name: each.kind for each in load_functions(function_app.app)}
    assert set(answers["functions"].values()) == TRIGGERS


def test_the_worker_invokes_every_function_and_none_fails(answers: dict[str, Any]) -> None:
    assert {call["function"] for call in answers["calls"]} == set(answers["functions"])
    assert [call for call in answers["calls"] if not call["ok"]] == []
    http = [call for call in answers["calls"] if answers["functions"][call["function"]] == "httpTrigger"]
    assert [call for call in http if not 200 <= call["status"] < 500] == []


def test_events_accepted_by_the_worker_are_in_the_next_page(answers: dict[str, Any]) -> None:
    before, after = (json.loads(call["body"]) for call in calls_of(answers, "get_feed")[:2])
    accepted = json.loads(calls_of(answers, "post_events")[0]["body"])
    assert accepted["accepted"] == 10
    assert len(calls_of(answers, "fold_signals")) >= 2, "the message that the app sent, and one that is no batch"
    assert len(before["items"]) == len(after["items"]) == 20
    assert (before["mode"], after["mode"]) == ("fallback", "personalized"), f"is {PERSONALIZED_FEED} on?"
    assert [item["videoId"] for item in before["items"]] != [item["videoId"] for item in after["items"]]


def test_headers_of_the_worker_arrive_unchanged(answers: dict[str, Any]) -> None:
    headers = {name.lower(): value for name, value in calls_of(answers, "get_feed")[0]["headers"].items()}
    assert headers["content-type"] == "application/json"
    assert "X-User" in headers["vary"] or headers["cache-control"] == "no-store"
