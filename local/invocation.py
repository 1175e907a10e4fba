"""Calls the functions of a `FunctionApp` as the Python worker does.

The SDK's own converters (`azure.functions.get_binding_registry()`) decode the values, in the formats of the Functions
host. So a function gets the same arguments as when deployed.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import secrets
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, get_type_hints

import azure.functions as func
import orjson
from azure.functions.meta import Datum

from shared.adapters.bus.port import MESSAGE_TTL_SECONDS, ReceivedMessage
from shared.observability.tracebacks import traceback_without_values

log = logging.getLogger("local.host")

HTTP, SERVICE_BUS, TIMER = "httpTrigger", "serviceBusTrigger", "timerTrigger"
REGISTRY: Any = func.get_binding_registry()  # type: ignore[no-untyped-call]
_EMPTY_JSON = Datum("{}", "json")


class UnsupportedFunction(ValueError):
    """The app has a function that the local host cannot run; the message names it and says why."""


class FunctionTimeout(Exception):
    """The function ran longer than host.json's `functionTimeout`."""


@dataclass(frozen=True, slots=True)
class HostedFunction:
    """One function of the app. `trigger`: its binding as the Functions host reads it."""

    name: str
    call: Callable[[Any], Awaitable[Any]]
    trigger: Mapping[str, Any]
    takes_bytes: bool

    @property
    def kind(self) -> str:
        return str(self.trigger["type"])


def load_functions(app: func.FunctionApp) -> list[HostedFunction]:
    """Return every function of the app. Raises `UnsupportedFunction`.

    Can be called repeatedly in a process: the SDK's check for duplicate names, which would fail then, is bypassed.
    """
    app.functions_bindings = {}
    return [_load(function) for function in app.get_functions()]


def _load(function: Any) -> HostedFunction:
    name, call = function.get_function_name(), function.get_user_function()
    bindings = [orjson.loads(text) for text in function.get_raw_bindings()]
    trigger = next(binding for binding in bindings if binding["type"].endswith("Trigger"))
    kind, parameter = trigger["type"], trigger["name"]
    if kind not in (HTTP, SERVICE_BUS, TIMER):
        raise UnsupportedFunction(f"function {name}: the local host does not know a {kind}")
    if len(bindings) > (2 if kind == HTTP else 1):  # the HTTP response is a binding too
        raise UnsupportedFunction(f"function {name}: the local host has no bindings but triggers")
    if not inspect.iscoroutinefunction(call) or list(inspect.signature(call).parameters) != [parameter]:
        raise UnsupportedFunction(f"function {name}: it must be `async def` with the one parameter {parameter}")
    annotation = get_type_hints(call).get(parameter, object)
    # The worker decodes a parameter annotated `bytes` with its generic converter, which passes the body unchanged.
    takes_bytes = kind == SERVICE_BUS and annotation is bytes
    if not takes_bytes and not REGISTRY.get(kind).check_input_type_annotation(annotation):
        raise UnsupportedFunction(f"function {name}: a {kind} does not give its parameter the type {annotation}")
    return HostedFunction(name, call, trigger, takes_bytes)


class Invoker:
    """Calls functions, none for longer than `timeout_seconds`."""

    def __init__(self, timeout_seconds: float | None) -> None:
        self._timeout_seconds = timeout_seconds

    async def call(self, function: HostedFunction, value: Any) -> Any:
        """Call a function with a decoded value and return its result. Raises its errors, and `FunctionTimeout`."""
        try:
            async with asyncio.timeout(self._timeout_seconds) as limit:
                return await function.call(value)
        except TimeoutError:
            if limit.expired():
                raise FunctionTimeout(f"{function.name} ran longer than {self._timeout_seconds} s") from None
            raise

    async def trigger(self, function: HostedFunction, value: Any) -> None:
        """Call a function without an output. Refuses a result, as the Python worker does."""
        if await self.call(function, value) is not None:
            raise RuntimeError(f"function {function.name} has no output binding but returned a value")

    def failed(self, function: HostedFunction, error: BaseException) -> str:
        """Log a failed call in one record. Return the id in the record."""
        error_id = secrets.token_hex(8)
        log.error("function %s failed, error id %s\n%s", function.name, error_id, traceback_without_values(error))
        return error_id


# ---- values in the shapes the Functions host sends


def http_request(
    method: str, url: str, headers: Mapping[str, str], query: Mapping[str, str], parameters: Mapping[str, str],
    body: bytes,
) -> func.HttpRequest:  # fmt: skip
    """Make the request for a function. Header names are in lower case; nothing is repeated."""
    datum = Datum(
        {
            "method": Datum(method, "string"),
            "url": Datum(url, "string"),
            "headers": _strings(headers),
            "query": _strings(query),
            "params": _strings(parameters),
            "body": Datum(body, "bytes"),
        },
        "http",
    )
    request: func.HttpRequest = REGISTRY.get(HTTP).decode(datum, trigger_metadata=None)
    return request


def http_response(value: Any) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of a function's result, as the worker would send it."""
    answer = REGISTRY.get("http").encode(value, expected_type=None).value
    headers = {name: header.value for name, header in answer["headers"].items()}
    return int(answer["status_code"].value), headers, answer["body"].value


def message_argument(function: HostedFunction, message: ReceivedMessage) -> bytes | func.ServiceBusMessage:
    """Return the body for a parameter annotated `bytes`; else the message with the metadata of the extension.

    Metadata: numbers and times as JSON, texts as strings, absent values left out.
    """
    if function.takes_bytes:
        return message.body
    metadata = {
        "MessageId": Datum(message.message_id, "string"),
        "DeliveryCount": Datum(str(message.delivery_count), "json"),
        "SequenceNumber": Datum(str(message.sequence_number), "json"),
        "EnqueuedTimeUtc": Datum(_json_time(message.enqueued_at), "json"),
        "ExpiresAtUtc": Datum(_json_time(message.enqueued_at + MESSAGE_TTL_SECONDS), "json"),
        "LockToken": Datum(str(uuid.uuid4()), "string"),
        "ApplicationProperties": _EMPTY_JSON,
        "UserProperties": _EMPTY_JSON,
    }
    if message.session_id:
        metadata["SessionId"] = Datum(message.session_id, "string")
    body = Datum(message.body, "bytes")
    decoded: func.ServiceBusMessage = REGISTRY.get(SERVICE_BUS).decode(body, trigger_metadata=metadata)
    return decoded


def timer_request(past_due: bool, last: float | None, following: float, now: float) -> func.TimerRequest:
    """Make the argument of a timer function; times in seconds since the epoch."""
    status = {"Last": _iso(last or 0.0), "Next": _iso(following), "LastUpdated": _iso(now)}
    tick = {"Schedule": {"AdjustForDST": True}, "ScheduleStatus": status, "IsPastDue": past_due}
    datum = Datum(orjson.dumps(tick).decode(), "json")
    request: func.TimerRequest = REGISTRY.get(TIMER).decode(datum, trigger_metadata=None)
    return request


def _strings(values: Mapping[str, str]) -> dict[str, Datum]:
    return {name: Datum(value, "string") for name, value in values.items()}


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _json_time(seconds: float) -> str:
    return f'"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S.%fZ}"'
