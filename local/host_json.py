"""Reads the local host's settings from host.json; a missing one has the default of the Functions host.

{"functionTimeout": "00:10:00",
 "extensions": {"http": {"routePrefix": "", "maxConcurrentRequests": 100, "maxOutstandingRequests": 200},
                "serviceBus": {"maxConcurrentCalls": 32, "maxAutoLockRenewalDuration": "00:10:00"}}}
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, PositiveInt, ValidationError
from pydantic.alias_generators import to_camel

_TIMESPAN = re.compile(r"(?:(\d+)\.)?(\d{1,2}):([0-5]?\d):([0-5]?\d(?:\.\d{1,7})?)", re.ASCII)


class HostJsonError(ValueError):
    """host.json has an invalid value; the message names it and a valid one."""


def parse_timespan(value: Any) -> float:
    """Return the seconds of a .NET time span: `hh:mm:ss`, with optional `days.` in front and a fraction behind.

    Raises ValueError. `24:00:00` is refused: .NET reads it as 24 days, which is never intended.
    """
    match = _TIMESPAN.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{value!r} is not a time span; write hh:mm:ss, such as 00:00:30")
    days, hours, minutes, seconds = match.groups()
    if int(hours) > 23:
        raise ValueError(f"{value!r} has more than 23 hours; write days in front, such as 1.00:00:00")
    return int(days or 0) * 86_400 + int(hours) * 3_600 + int(minutes) * 60 + float(seconds)


Seconds = Annotated[float, BeforeValidator(parse_timespan)]


class _Section(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, alias_generator=to_camel)


class HttpSettings(_Section):
    """Limits of HTTP requests; None: no limit."""

    route_prefix: str = "api"
    max_concurrent_requests: PositiveInt | None = None
    max_outstanding_requests: PositiveInt | None = None


class ServiceBusSettings(_Section):
    """Delivery of messages. The message pump always completes messages that succeeded."""

    auto_complete_messages: Literal[True] = True
    max_concurrent_calls: PositiveInt = 16
    max_auto_lock_renewal_duration: Seconds = 300.0


class _Extensions(_Section):
    http: HttpSettings = HttpSettings()
    service_bus: ServiceBusSettings = ServiceBusSettings()


class HostSettings(_Section):
    """Options of host.json. Without `function_timeout` (seconds) a function can run for any time."""

    function_timeout: Seconds | None = None
    extensions: _Extensions = _Extensions()


def read_host_json(host_json: Mapping[str, Any]) -> HostSettings:
    """Read the settings of a parsed host.json. Raises `HostJsonError`."""
    try:
        return HostSettings.model_validate(host_json)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise HostJsonError(f"host.json: {place}: {first['msg']}") from None
