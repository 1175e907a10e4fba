"""The local host: runs the app's own `FunctionApp` object on one machine, without Core Tools.

LocalHost ── http_server  routes → functions
          ├─ triggers     subscriptions of the bus → functions
          ├─ timers       schedules → functions
          └─ invocation   decode, call, encode, as the Python worker does
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import azure.functions as func

from local.clock import Clock, SystemClock
from local.host_json import read_host_json
from local.http_server import PATIENCE, HttpServer, Patience
from local.invocation import HTTP, SERVICE_BUS, TIMER, Invoker, load_functions
from local.timers import Timer
from local.triggers import MessagePump
from shared.adapters.bus.port import LOCK_SECONDS, Bus

MAX_BODY_BYTES = 100 * 1024 * 1024  # limit of the Functions host; the app's own limits are much lower
IDLE_POLL_SECONDS = 0.01


class LocalHost:
    """Serves every function of an app: HTTP on a port, messages from the bus, timers by the clock.

    Raises `UnsupportedFunction` or `HostJsonError` when built, before anything has started. `extra`: functions besides
    the app's. `lock_seconds`: duration of a message's lock on the bus. `host_names`: allowed besides those of this
    machine. `patience`: time limits for slow clients. A host can be started once.
    """

    def __init__(
        self,
        app: func.FunctionApp,
        bus: Bus,
        host_json: Mapping[str, Any],
        *,
        extra: func.FunctionApp | None = None,
        clock: Clock | None = None,
        max_body_bytes: int = MAX_BODY_BYTES,
        lock_seconds: float = LOCK_SECONDS,
        host_names: Sequence[str] = (),
        patience: Patience = PATIENCE,
    ) -> None:
        settings = read_host_json(host_json)
        functions = load_functions(app) + (load_functions(extra) if extra else [])
        clock = clock or SystemClock()
        invoker = Invoker(settings.function_timeout)
        self.port = 0
        self._http = HttpServer(
            [each for each in functions if each.kind == HTTP],
            invoker,
            settings.extensions.http,
            max_body_bytes,
            host_names,
            patience,
        )
        self._pumps = [
            MessagePump(each, bus, invoker, settings.extensions.service_bus, clock, lock_seconds)
            for each in functions
            if each.kind == SERVICE_BUS
        ]
        self._timers = {each.name: Timer(each, invoker, clock) for each in functions if each.kind == TIMER}

    async def start(self, bind: str = "127.0.0.1", port: int = 7071, *, reuse_port: bool = False) -> None:
        """Listen, then start messages and timers. Port 0 selects a free one: see `port`.

        With `reuse_port` several processes can share the port; the kernel spreads connections over them. Raises
        `PortTaken`, or `CannotListen` for another reason, with what to do; nothing runs then.
        """
        self.port = await self._http.start(bind, port, reuse_port)
        for pump in self._pumps:
            pump.start()
        for timer in self._timers.values():
            timer.start()

    async def stop(self, grace_seconds: float = 10.0) -> None:
        """Accept nothing new, let running calls finish within the grace, then cancel them and abandon their messages.

        Safe to call twice.
        """
        await asyncio.gather(
            self._http.stop(grace_seconds),
            *(pump.stop(grace_seconds) for pump in self._pumps),
            *(timer.stop(grace_seconds) for timer in self._timers.values()),
        )

    async def run_timer(self, function_name: str) -> None:
        """Run a timer's function now, after a current run has ended. Raises its errors, and `KeyError`."""
        if function_name not in self._timers:
            raise KeyError(f"no timer function is called {function_name!r}")
        await self._timers[function_name].run()

    async def idle(self) -> None:
        """Return when no message is unsettled or waits in a subscription with a trigger."""
        while not all([await pump.idle() for pump in self._pumps]):  # noqa: ASYNC110 - the bus can only be asked
            await asyncio.sleep(IDLE_POLL_SECONDS)
