"""An aiohttp server on a free port that can refuse connections."""

from __future__ import annotations

import asyncio
from typing import Self

from aiohttp import web

from tests.emulators.faults import Fault, FaultPlan

MAX_BODY_BYTES = 8 << 20
STALL_SECONDS = 60.0
"""Longer than any of our clients waits."""


class HttpServer:
    """Start with `async with`, or `start` and `stop`. One catch-all route: `handle`."""

    def __init__(self, faults: FaultPlan, *, port: int = 0) -> None:
        self.faults = faults
        self.port = port
        self._runner: web.AppRunner | None = None
        self._site: web.TCPSite | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        raise NotImplementedError

    async def start(self) -> None:
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_route("*", "/{path:.*}", self.handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await self.accept()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = self._site = None

    async def accept(self) -> None:
        """Listen on the same port, again after `refuse`."""
        if self._runner is None or self._site is not None:
            return
        self._site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await self._site.start()
        if self.port == 0:
            self.port = self._runner.addresses[0][1]

    async def refuse(self) -> None:
        """Stop listening and drop every open connection, so the operating system refuses new ones."""
        if self._runner is None or self._site is None:
            return
        await self._site.stop()
        self._site = None
        server = self._runner.server
        if server is not None:
            for connection in list(server.connections):
                if connection.transport is not None:
                    connection.transport.abort()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


async def replaced(request: web.Request, fault: Fault) -> web.StreamResponse | None:
    """Return the response that a fault puts in place of the server's own; None for no replacement."""
    if fault.stall:
        answer = web.StreamResponse(headers={"Content-Type": fault.content_type, "Content-Length": "1000"})
        await answer.prepare(request)
        await answer.write(b"{")
        await asyncio.sleep(STALL_SECONDS)
        return cut(request)
    if fault.body is None:
        return None
    headers = {"Content-Type": fault.content_type, **fault.headers}
    return web.Response(status=fault.status or 200, body=fault.body.encode(), headers=headers)


def cut(request: web.Request) -> web.Response:
    """Drop the connection without an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
