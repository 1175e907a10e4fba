"""Reads the local host's settings from host.json."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from local.host_json import HostJsonError, parse_timespan, read_host_json


def test_project_host_json_is_understood() -> None:
    settings = read_host_json(json.loads((Path(__file__).parents[2] / "host.json").read_text()))
    assert settings.extensions.http.route_prefix == ""
    assert settings.extensions.http.max_outstanding_requests == 200
    assert settings.extensions.service_bus.max_concurrent_calls > 1
    assert settings.function_timeout == settings.extensions.service_bus.max_auto_lock_renewal_duration == 600


def test_an_empty_host_json_means_the_defaults_of_the_functions_host() -> None:
    settings = read_host_json({})
    assert settings.extensions.http.route_prefix == "api"
    assert settings.extensions.http.max_concurrent_requests is None
    assert settings.extensions.service_bus.max_concurrent_calls == 16
    assert settings.extensions.service_bus.max_auto_lock_renewal_duration == 300
    assert settings.function_timeout is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("00:00:30", 30), ("1:00:00", 3_600), ("1.02:03:04", 93_784), ("00:00:00.5", 0.5)],
)
def test_time_spans_are_parsed(text: str, seconds: float) -> None:
    assert parse_timespan(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "24:00:00", "00:60:00", "-00:00:01", "00:00"])
def test_malformed_time_spans_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write"):
        parse_timespan(text)


@pytest.mark.parametrize(
    "document",
    [
        {"extensions": []},
        {"extensions": {"http": {"routePrefix": 1}}},
        {"extensions": {"http": {"maxConcurrentRequests": 0}}},
        {"extensions": {"serviceBus": {"maxConcurrentCalls": "32"}}},
        {"extensions": {"serviceBus": {"maxConcurrentCalls": True}}},
        {"extensions": {"serviceBus": {"autoCompleteMessages": False}}},
        {"extensions": {"serviceBus": {"maxAutoLockRenewalDuration": 600}}},
        {"functionTimeout": "ten minutes"},
    ],
)
def test_invalid_value_is_refused_with_its_place(document: dict) -> None:
    with pytest.raises(HostJsonError, match=r"host\.json: (extensions|functionTimeout)[\w.]*: \w+"):
        read_host_json(document)
