"""Runs all four test servers as one program with one clock; an HTTP endpoint injects faults and moves time.

    POST   /clock             {"advance": 600}              seconds
    POST   /faults/<server>   {"match": "batch", "cut": "after", "times": 1}   fields of `faults.Fault`
    DELETE /faults/<server>                                  clear all faults
    POST   /down/<server>     {"seconds": 600}               cut every connection, until that much time has passed
    POST   /refuse/<server>   POST /accept/<server>          stop listening, and listen again
    POST   /garbage/servicebus                               bytes that are no frame, on every connection
    GET    /requests/<server>                                labels of the requests so far
    GET    /used/<server>                                    how many requests met each fault that has a name
    GET    /bytes/servicebus                                 how many passed its gate so far, in both directions
    GET    /queues                                           messages in each queue, subscription and dead-letter queue

<server> is cosmos, servicebus or appconfig. Azurite serves Blob Storage and cannot inject faults. With `--gated`,
proxies run in front of it and of the bus: then blob is a server too, garbage can be sent, and bytes are counted.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass

from aiohttp import web

from shared.adapters.bus.port import LOCK_SECONDS
from tests.emulators.appconfig import AppConfigurationServer
from tests.emulators.azurite import Azurite
from tests.emulators.blob_gate import BlobGate
from tests.emulators.broker_here import broker_of_user_events
from tests.emulators.clock import MovableClock
from tests.emulators.cosmos import CosmosServer
from tests.emulators.faults import Fault, FaultPlan
from tests.emulators.http import HttpServer
from tests.emulators.tcp_gate import TcpGate


@dataclass(frozen=True, slots=True)
class Ports:
    """The port of each server; 0 picks a free one."""

    cosmos: int = 0
    servicebus: int = 0
    appconfig: int = 0
    blob: int = 0
    control: int = 0


class Control(HttpServer):
    """The HTTP endpoint for tests that run in another process."""

    def __init__(self, emulators: Emulators, port: int) -> None:
        super().__init__(FaultPlan(emulators.clock), port=port)
        self._emulators = emulators

    async def handle(self, request: web.Request) -> web.StreamResponse:
        given = await request.json() if request.can_read_body else {}
        try:
            match (request.method, *request.path.strip("/").split("/")):
                case ("POST", "clock"):
                    self._emulators.advance(float(given["advance"]))
                case ("POST", "faults", name):
                    self._emulators.plan(name).add(Fault.from_json(given))
                case ("DELETE", "faults", name):
                    self._emulators.plan(name).clear()
                case ("POST", "down", name):
                    self._emulators.plan(name).go_down(float(given.get("seconds", "inf")))
                case ("POST", "refuse" | "accept" as what, name):
                    await self._emulators.listen(name, what == "accept")
                case ("POST", "garbage", "servicebus"):
                    self._emulators.spoil()
                case ("GET", "used", name):
                    return web.json_response(self._emulators.plan(name).used)
                case ("GET", "bytes", "servicebus"):
                    return web.json_response(self._emulators.bus_bytes())
                case ("GET", "queues"):
                    return web.json_response(await asyncio.to_thread(self._emulators.queues))
                case ("GET", "requests", name):
                    return web.json_response(self._emulators.plan(name).requests)
                case _:
                    return web.json_response({"error": f"no such control: see {__name__}"}, status=404)
        except (KeyError, ValueError, TypeError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response({"now": self._emulators.clock.now()})


class Emulators:
    """The servers, once `running` has started them."""

    def __init__(self, ports: Ports, lock_seconds: float = LOCK_SECONDS, *, gated: bool = False) -> None:
        self.clock = MovableClock()
        self._gated = gated
        self._blob_gate: BlobGate | None = None
        self._bus_gate: TcpGate | None = None
        self.cosmos = CosmosServer(self.clock, partitions=2, port=ports.cosmos)
        self.appconfig = AppConfigurationServer(self.clock, port=ports.appconfig)
        self.broker = broker_of_user_events(self.clock, ports.servicebus, lock_seconds)
        self.azurite = Azurite(ports.blob)
        self.control = Control(self, ports.control)
        self._signing_key, self._identity_secret = (
            base64.b64encode(secrets.token_bytes(32)).decode() for _ in range(2)
        )

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Emulators]:
        await asyncio.to_thread(self.azurite.start)
        try:
            with self.broker:
                async with self.cosmos, self.appconfig, self.control, contextlib.AsyncExitStack() as gates:
                    self._blob_account = self.azurite.account()
                    if self._gated:
                        self._blob_gate = await gates.enter_async_context(BlobGate(self.azurite.port, self.clock))
                        self._bus_gate = await gates.enter_async_context(TcpGate(self.broker.port))
                        self._blob_account = self._blob_gate.through(self._blob_account)
                    yield self
        finally:
            await asyncio.to_thread(self.azurite.stop)

    def settings(self) -> dict[str, str]:
        """Return the environment of an app that uses all servers, with secrets made for this run."""
        return {
            "DOCUMENT_STORE": "cosmos",
            "COSMOS_CONNECTION_STRING": self.cosmos.connection_string,
            "BUS": "servicebus",
            "ServiceBusConnection": self._bus_connection_string(),
            "BLOBS": "azure",
            "BLOB_CONNECTION_STRING": self._blob_account,
            "FLAGS": "appconfig",
            "APP_CONFIGURATION_CONNECTION_STRING": self.appconfig.connection_string,
            "SIGNING_KEYS": f"test:{self._signing_key}",
            "IDENTITY_SECRET": self._identity_secret,
        }

    def _bus_connection_string(self) -> str:
        direct, gate = self.broker.connection_string, self._bus_gate
        return direct if gate is None else direct.replace(f":{self.broker.port};", f":{gate.port};")

    def plan(self, name: str) -> FaultPlan:
        """Return the faults of one server. Raises `KeyError`."""
        if name == "blob" and self._blob_gate is not None:
            return self._blob_gate.faults
        return {"cosmos": self.cosmos, "servicebus": self.broker, "appconfig": self.appconfig}[name].faults

    def spoil(self) -> None:
        """Send garbage once on every connection to the bus. Raises `KeyError` without proxies."""
        if self._bus_gate is None:
            raise KeyError("servicebus")
        self._bus_gate.spoil()
        self._bus_gate.garbage = False

    def bus_bytes(self) -> int:
        """Return the bytes that passed the bus's proxy, in both directions. Raises `KeyError` without proxies."""
        if self._bus_gate is None:
            raise KeyError("servicebus")
        return self._bus_gate.passed

    def advance(self, seconds: float) -> None:
        """Let time pass on all servers."""
        self.clock.advance(seconds)
        self.broker.call(self.broker.tick)

    def queues(self) -> dict[str, int]:
        """Return the number of messages of each path of the bus, locked or not."""
        queues = self.broker.namespace.queues
        return self.broker.call(lambda: {path: len(queue.messages) for path, queue in queues.items()})

    async def listen(self, name: str, accept: bool) -> None:
        """Stop or start listening on one server's port."""
        if name == "servicebus":
            await asyncio.to_thread(self.broker.accept if accept else self.broker.refuse)
        else:
            server = {"cosmos": self.cosmos, "appconfig": self.appconfig}[name]
            await (server.accept() if accept else server.refuse())
