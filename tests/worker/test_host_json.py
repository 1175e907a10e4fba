"""host.json contains no key that the Functions host ignores, and every trigger of the app is registered."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import function_app
from local.invocation import load_functions
from tests.worker.host_keys import unknown_keys, unregistered

HOST_JSON: dict[str, Any] = json.loads((Path(__file__).resolve().parents[2] / "host.json").read_text())
TRIGGERS = {each.kind for each in load_functions(function_app.app)}


def test_every_trigger_is_built_in_or_in_the_extension_bundle() -> None:
    assert unregistered(TRIGGERS, HOST_JSON) == set()


def test_a_missing_extension_bundle_is_found() -> None:
    without = {name: value for name, value in HOST_JSON.items() if name != "extensionBundle"}
    assert unregistered(TRIGGERS, without) == {"serviceBusTrigger"}
    other = {**HOST_JSON, "extensionBundle": {"id": "Some.Other.Bundle", "version": "[4.*, 5.0.0)"}}
    assert unregistered(TRIGGERS, other) == {"serviceBusTrigger"}


def test_trigger_missing_from_the_bundle_is_found() -> None:
    assert unregistered(TRIGGERS | {"sendGridTrigger"}, HOST_JSON) == {"sendGridTrigger"}


def test_host_json_has_no_key_that_the_host_ignores() -> None:
    assert list(unknown_keys(HOST_JSON)) == []


def test_a_mistyped_key_of_host_json_is_found_with_its_place() -> None:
    mistyped = copy.deepcopy(HOST_JSON)
    mistyped["extensions"]["serviceBus"]["maxConcurentCalls"] = 32
    mistyped["functionTimeOut"] = "00:10:00"
    assert list(unknown_keys(mistyped)) == ["extensions.serviceBus.maxConcurentCalls", "functionTimeOut"]


def test_host_reports_every_execution_and_the_app_none_of_its_own() -> None:
    levels = HOST_JSON["logging"]["logLevel"]
    assert levels == {"default": "Warning", "Host.Results": "Information", "Function": "Warning"}
