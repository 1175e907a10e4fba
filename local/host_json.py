"""The parts of host.json that the local host obeys, with the defaults of the Functions host.

    {"functionTimeout": "00:10:00",
     "extensions": {"http": {"routePrefix": "", "maxConcurrentRequests": 100, "maxOutstandingRequests": 200},
                    "serviceBus": {"autoCompleteMessages": true, "maxConcurrentCalls": 32,
                                   "maxAutoLockRenewalDuration": "00:10:00"}}}

A wrong value raises `HostJsonError` with the setting's path and what would be right.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_TIMESPAN = re.compile(r"(?:(\d+)\.)?(\d{1,2}):([0-5]?\d):([0-5]?\d(?:\.\d{1,7})?)", re.ASCII)


class HostJsonError(ValueError):
    """host.json says something the host cannot obey."""


@dataclass(frozen=True, slots=True)
class HostSettings:
    """What host.json asks for. None means without a limit."""

    route_prefix: str = "api"
    max_concurrent_requests: int | None = None
    max_outstanding_requests: int | None = None
    auto_complete_messages: bool = True
    max_concurrent_calls: int = 16
    max_lock_renewal_seconds: float = 300.0
    function_timeout_seconds: float | None = None


def read_host_json(host_json: Mapping[str, Any]) -> HostSettings:
    """The settings of a parsed host.json; what is absent keeps the default of the Functions host."""
    http = _section(host_json, "extensions", "http")
    bus = _section(host_json, "extensions", "serviceBus")
    timeout = host_json.get("functionTimeout")
    return HostSettings(
        route_prefix=_text(http.get("routePrefix", "api"), "extensions.http.routePrefix").strip("/"),
        max_concurrent_requests=_limit(http, "maxConcurrentRequests"),
        max_outstanding_requests=_limit(http, "maxOutstandingRequests"),
        auto_complete_messages=_flag(bus, "autoCompleteMessages", True),
        max_concurrent_calls=_count(bus, "maxConcurrentCalls", 16),
        max_lock_renewal_seconds=_seconds(bus.get("maxAutoLockRenewalDuration", "00:05:00"), "serviceBus"),
        function_timeout_seconds=None if timeout in (None, "-1") else _seconds(timeout, "functionTimeout"),
    )


def parse_timespan(text: str) -> float:
    """Seconds of a .NET time span: `hh:mm:ss`, with optional `days.` in front and a fraction behind.

    Raises ValueError. `24:00:00` is refused: .NET reads it as 24 days, which nobody means.
    """
    match = _TIMESPAN.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a time span; write hh:mm:ss, such as 00:00:30")
    days, hours, minutes, seconds = match.groups()
    if int(hours) > 23:
        raise ValueError(f"{text!r} has more than 23 hours; write days in front, such as 1.00:00:00")
    return int(days or 0) * 86_400 + int(hours) * 3_600 + int(minutes) * 60 + float(seconds)


def _section(document: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    section = document
    for name in path:
        inner = section.get(name, {})
        if not isinstance(inner, Mapping):
            raise HostJsonError(f"host.json: {'.'.join(path)} must be an object")
        section = inner
    return section


def _text(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise HostJsonError(f"host.json: {path} must be text")
    return value


def _flag(section: Mapping[str, Any], name: str, default: bool) -> bool:
    value = section.get(name, default)
    if not isinstance(value, bool):
        raise HostJsonError(f"host.json: {name} must be true or false")
    return value


def _count(section: Mapping[str, Any], name: str, default: int) -> int:
    value = section.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise HostJsonError(f"host.json: {name} must be a whole number of at least 1")
    return value


def _limit(section: Mapping[str, Any], name: str) -> int | None:
    """A count, where -1 (the default) means without a limit."""
    return None if section.get(name, -1) == -1 else _count(section, name, 1)


def _seconds(value: Any, name: str) -> float:
    try:
        return parse_timespan(_text(value, name))
    except ValueError as error:
        raise HostJsonError(f"host.json: {name}: {error}") from None
