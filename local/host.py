"""The local host: runs the app's own `FunctionApp` object on one machine, without Core Tools.

LocalHost ── http_server  routes → functions              (routes.py)
          ├─ triggers     subscriptions of the bus → functions
          ├─ timers       schedules → functions
          └─ invocation   decode, call, encode, as the Python worker does
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from typing import Any

import azure.functions as func

from local.clock import Clock, SystemClock
from local.host_json import read_host_json
from local.http_server import CannotListen, HttpServer, PortTaken
from local.invocation import (
    HTTP,
    SERVICE_BUS,
    TIMER,
    Invoker,
    OnError,
    UnsupportedFunction,
    load_functions,
    service_bus_message,
    timer_request,
)
from local.timers import Timer
from local.triggers import MessagePump
from shared.adapters.bus.port import LOCK_SECONDS, Bus, ReceivedMessage

__all__ = ["CannotListen", "LocalHost", "PortTaken", "UnsupportedFunction"]

log = logging.getLogger("local.host")

MAX_BODY_BYTES = 100 * 1024 * 1024  # what the Functions host takes; the app itself refuses far less
IDLE_POLL_SECONDS = 0.01


class LocalHost:
    """Serves every function of an app: HTTP on a port, messages from the bus, timers by the clock.

    Raises `UnsupportedFunction`, `RouteError` or `HostJsonError` when built, so that nothing starts by half.
    `on_error(function_name, error)` hears of every failed call, after it was logged. `settings` are the app settings
    for `%NAME%` in bindings (default: the environment). `lock_seconds` is how long the bus locks a message.
    A host starts once.
    """

    def __init__(
        self,
        app: func.FunctionApp,
        bus: Bus,
        host_json: Mapping[str, Any],
        *,
        on_error: OnError | None = None,
        clock: Clock | None = None,
        settings: Mapping[str, str] | None = None,
        max_body_bytes: int = MAX_BODY_BYTES,
        threads: int | None = None,
        lock_seconds: float = LOCK_SECONDS,
    ) -> None:
        clock = clock or SystemClock()
        limits = read_host_json(host_json)
        functions = load_functions(app, os.environ if settings is None else settings)
        self.functions = {function.name: function for function in functions}
        self.port = 0
        self._clock = clock
        self._invoker = Invoker(limits.function_timeout_seconds, threads or (os.cpu_count() or 1) * 4, on_error)
        self._http = HttpServer(
            [function for function in functions if function.kind == HTTP],
            self._invoker,
            route_prefix=limits.route_prefix,
            max_body_bytes=max_body_bytes,
            max_concurrent=limits.max_concurrent_requests,
            max_outstanding=limits.max_outstanding_requests,
        )
        self._pumps = [
            MessagePump(function, bus, self._invoker, limits, clock, lock_seconds)
            for function in functions
            if function.kind == SERVICE_BUS
        ]
        self._timers = {
            function.name: Timer(function, self._invoker, clock) for function in functions if function.kind == TIMER
        }
        self._state = "new"
        if self._pumps and not limits.auto_complete_messages:
            log.warning("host.json: autoCompleteMessages is off, so every message comes again when its lock runs out")

    async def start(self, bind: str = "127.0.0.1", port: int = 7071, *, reuse_port: bool = False) -> None:
        """Listen, then let messages and timers flow. Port 0 takes a free one: see `port`.

        With `reuse_port` several processes may share the port; the kernel spreads connections over them. Raises
        `PortTaken`, or `CannotListen` for another reason, with what to do; nothing runs then.
        """
        if self._state != "new":
            raise RuntimeError("a host starts once; build another")
        self.port = await self._http.start(bind, port, reuse_port)
        self._state = "started"
        for pump in self._pumps:
            pump.start()
        for timer in self._timers.values():
            timer.start()

    async def stop(self, grace_seconds: float = 10.0) -> None:
        """Accept nothing new, let what runs finish within the grace, then cancel it and give its messages back.

        Safe to call twice.
        """
        if self._state != "started":
            return
        self._state = "stopped"
        await asyncio.gather(
            self._http.stop(grace_seconds),
            *(pump.stop(grace_seconds) for pump in self._pumps),
            *(timer.stop(grace_seconds) for timer in self._timers.values()),
        )
        self._invoker.close()

    # ---- by hand, for tests and tools

    async def invoke(self, function_name: str, value: func.HttpRequest | ReceivedMessage | None = None) -> Any:
        """Call one function past its trigger and return what it returns; raises what it raises.

        HTTP functions take an `HttpRequest`, Service Bus ones a `ReceivedMessage` (which is not settled), timers
        nothing.
        """
        if function_name not in self.functions:
            raise KeyError(f"no function is called {function_name!r}")
        function = self.functions[function_name]
        argument: Any = value
        if function.kind == TIMER:
            now = self._clock.now()
            argument = timer_request(False, None, None, now)
        elif isinstance(value, ReceivedMessage):
            argument = service_bus_message(value, "")
        return await self._invoker.call(function, argument)

    async def run_timer(self, function_name: str) -> None:
        """Run a timer's function now, after a run that is under way; raises what it raises."""
        if function_name not in self._timers:
            raise KeyError(f"no timer function is called {function_name!r}")
        await self._timers[function_name].run()

    async def idle(self) -> None:
        """Return when no message is in hand or waits in a subscription with a trigger."""
        while not all([await pump.idle() for pump in self._pumps]):  # noqa: ASYNC110 - the bus can only be asked
            await asyncio.sleep(IDLE_POLL_SECONDS)
