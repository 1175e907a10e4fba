"""Calling the functions of a `FunctionApp` as the Python worker does: decode, call, encode.

Values go through the SDK's own converters (`azure.functions.get_binding_registry()`), which get them in the shapes
the Functions host sends, so a function sees here what it will see when deployed.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import os
import re
import secrets
import threading
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import azure.functions as func
import orjson
from azure.functions.meta import Datum

from shared.adapters.bus.port import MESSAGE_TTL_SECONDS, ReceivedMessage
from shared.observability.tracebacks import traceback_without_values

log = logging.getLogger("local.host")

HTTP, SERVICE_BUS, TIMER = "httpTrigger", "serviceBusTrigger", "timerTrigger"
REGISTRY: Any = func.get_binding_registry()  # type: ignore[no-untyped-call]
_SETTING = re.compile(r"%([^%\s]+)%")
_TRACE_PARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_EMPTY_JSON = Datum("{}", "json")

OnError = Callable[[str, BaseException], None]


class UnsupportedFunction(ValueError):
    """The app has a function that the local host cannot run; the message names it and says why."""


class FunctionTimeout(Exception):
    """The function ran longer than host.json's `functionTimeout`."""


@dataclass(frozen=True, slots=True)
class HostedFunction:
    """One function of the app. `trigger` is its binding as the Functions host would read it."""

    name: str
    call: Callable[..., Any]
    is_async: bool
    trigger: Mapping[str, Any]
    argument: str
    wants_context: bool

    @property
    def kind(self) -> str:
        return str(self.trigger["type"])


def load_functions(app: func.FunctionApp, settings: Mapping[str, str]) -> list[HostedFunction]:
    """Every function of the app. `settings` resolves `%NAME%` in bindings. Raises `UnsupportedFunction`.

    An app may be read any number of times in a process: the SDK's look for names used twice would remember the first.
    """
    app.functions_bindings = {}
    return [_load(function, settings) for function in app.get_functions()]


def _load(function: Any, settings: Mapping[str, str]) -> HostedFunction:
    name = function.get_function_name()
    bindings = [orjson.loads(text) for text in function.get_raw_bindings()]
    trigger = next(binding for binding in bindings if binding["type"].endswith("Trigger"))
    if trigger["type"] not in (HTTP, SERVICE_BUS, TIMER):
        raise UnsupportedFunction(f"function {name}: the local host does not know a {trigger['type']}")
    for binding in bindings:
        if binding is not trigger and (trigger["type"] != HTTP or binding["name"] != "$return"):
            raise UnsupportedFunction(f"function {name}: the local host has no {binding['type']} binding")
    call = function.get_user_function()
    parameters = set(inspect.signature(call).parameters)
    wants_context = "context" in parameters and trigger["name"] != "context"
    if parameters - {"context"} != {trigger["name"]} - {"context"}:
        raise UnsupportedFunction(
            f"function {name}: its parameters must be {trigger['name']} and, if wanted, context; "
            f"it has {', '.join(sorted(parameters)) or 'none'}"
        )
    return HostedFunction(
        name=name,
        call=call,
        is_async=inspect.iscoroutinefunction(call),
        trigger={key: _resolve(name, value, settings) for key, value in trigger.items()},
        argument=trigger["name"],
        wants_context=wants_context,
    )


def _resolve(function: str, value: Any, settings: Mapping[str, str]) -> Any:
    """A binding's text with every `%NAME%` replaced by that app setting."""
    if not isinstance(value, str):
        return value

    def setting(match: re.Match[str]) -> str:
        if match[1] not in settings:
            raise UnsupportedFunction(f"function {function}: the setting {match[1]} of its trigger is not set")
        return settings[match[1]]

    return _SETTING.sub(setting, value)


# ---- the context of one call


@dataclass(frozen=True, slots=True)
class TraceContext(func._abc.TraceContext):  # the SDK exports Context alone
    """W3C trace context. What the caller did not send, or sent malformed, starts a new trace."""

    trace_parent: str
    trace_state: str
    attributes: dict[str, str]


def trace_context(trace_parent: str = "", trace_state: str = "") -> TraceContext:
    """The caller's trace, or the start of a new, unsampled one."""
    if _TRACE_PARENT.fullmatch(trace_parent):
        return TraceContext(trace_parent, trace_state, {})
    return TraceContext(f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00", "", {})


@dataclass(frozen=True, slots=True)
class RetryContext(func._abc.RetryContext):
    """The local host applies no retry policies: every call is the first and the last."""

    retry_count: int = 0
    max_retry_count: int = 0
    exception: Any = None


class Context(func.Context):
    """What a function sees as `context`."""

    _threads = threading.local()

    def __init__(self, function_name: str, invocation_id: str, trace: TraceContext) -> None:
        self._function_name = function_name
        self._invocation_id = invocation_id
        self._trace = trace

    @property
    def invocation_id(self) -> str:
        return self._invocation_id

    @property
    def function_name(self) -> str:
        return self._function_name

    @property
    def function_directory(self) -> str:
        return os.getcwd()

    @property
    def trace_context(self) -> TraceContext:
        return self._trace

    @property
    def retry_context(self) -> RetryContext:
        return RetryContext()

    @property
    def thread_local_storage(self) -> Any:
        return self._threads


# ---- calling


class Invoker:
    """Calls functions: async ones on the event loop, plain ones in a pool of threads."""

    def __init__(self, timeout_seconds: float | None, threads: int, on_error: OnError | None = None) -> None:
        self._timeout_seconds = timeout_seconds
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="function")
        self._on_error = on_error

    async def call(self, function: HostedFunction, value: Any, trace: tuple[str, str] = ("", "")) -> Any:
        """What the function returns for a decoded trigger value; `trace` is (traceparent, tracestate).

        Raises what the function raises, and `FunctionTimeout`. A plain function cannot be stopped: its thread
        runs on when the call is cancelled.
        """
        arguments = {function.argument: value}
        context = None
        if function.wants_context:
            context = arguments["context"] = Context(function.name, str(uuid.uuid4()), trace_context(*trace))
        if not function.is_async:
            run = contextvars.copy_context().run
            return await asyncio.get_running_loop().run_in_executor(
                self._threads, run, _call_in_thread, function, arguments, context
            )
        if self._timeout_seconds is None:
            return await function.call(**arguments)
        try:
            async with asyncio.timeout(self._timeout_seconds) as limit:
                return await function.call(**arguments)
        except TimeoutError:
            if limit.expired():
                raise FunctionTimeout(f"{function.name} ran longer than {self._timeout_seconds:g} s") from None
            raise

    async def trigger(self, function: HostedFunction, value: Any) -> None:
        """Call a function without an output. Like the Python worker, refuses a result it could not pass on."""
        if await self.call(function, value) is not None:
            raise RuntimeError(f"function {function.name} has no output binding but returned a value")

    def failed(self, function: HostedFunction, error: BaseException) -> str:
        """Log a failed call in one record and tell `on_error`. Returns the id that finds the record."""
        error_id = secrets.token_hex(8)
        log.error("function %s failed, error id %s\n%s", function.name, error_id, traceback_without_values(error))
        if self._on_error is not None:
            try:
                self._on_error(function.name, error)
            except Exception as second:
                log.error("on_error failed\n%s", traceback_without_values(second))
        return error_id

    def close(self) -> None:
        """Take no more calls; threads that still run are left to end."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _call_in_thread(function: HostedFunction, arguments: dict[str, Any], context: Context | None) -> Any:
    if context is not None:
        context.thread_local_storage.invocation_id = context.invocation_id
    return function.call(**arguments)


# ---- values in the shapes the Functions host sends


def http_request(
    method: str, url: str, headers: Mapping[str, str], query: Mapping[str, str], parameters: Mapping[str, str],
    body: bytes,
) -> func.HttpRequest:  # fmt: skip
    """The request as the function sees it. Header names are lower case; nothing is repeated."""
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


def http_response(value: Any) -> Datum | None:
    """A function's answer as the worker would send it; None when it returned None."""
    return None if value is None else REGISTRY.get("http").encode(value, expected_type=None)


def service_bus_message(message: ReceivedMessage, lock_token: str) -> func.ServiceBusMessage:
    """A single message with a binary body, and the metadata the Service Bus extension adds to it.

    Numbers and times travel as JSON, texts as strings, absent values not at all.
    """
    metadata = {
        "MessageId": Datum(message.message_id, "string"),
        "DeliveryCount": Datum(str(message.delivery_count), "json"),
        "SequenceNumber": Datum(str(message.sequence_number), "json"),
        "EnqueuedTimeUtc": Datum(_json_time(message.enqueued_at), "json"),
        "ExpiresAtUtc": Datum(_json_time(message.enqueued_at + MESSAGE_TTL_SECONDS), "json"),
        "LockToken": Datum(lock_token, "string"),
        "ApplicationProperties": _EMPTY_JSON,
        "UserProperties": _EMPTY_JSON,
    }
    if message.session_id:
        metadata["SessionId"] = Datum(message.session_id, "string")
    body = Datum(message.body, "bytes")
    decoded: func.ServiceBusMessage = REGISTRY.get(SERVICE_BUS).decode(body, trigger_metadata=metadata)
    return decoded


def timer_request(past_due: bool, last: float | None, following: float | None, now: float) -> func.TimerRequest:
    """A timer's tick; the times are in seconds since the epoch."""
    status = {"Last": _iso(last or 0.0), "Next": _iso(following or 0.0), "LastUpdated": _iso(now)}
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
