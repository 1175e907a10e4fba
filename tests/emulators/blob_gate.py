"""Proxies requests to Azurite, which cannot inject faults, and answers as a fault says.

Fault labels are method and path: `PUT /account0/userevents-raw/tenant_1/…`.
"""

from __future__ import annotations

from aiohttp import ClientSession, web

from tests.emulators.clock import MovableClock
from tests.emulators.faults import AFTER, BEFORE, FaultPlan, wait
from tests.emulators.http import HttpServer, cut, replaced

_OF_THE_CONNECTION = frozenset({"connection", "transfer-encoding", "keep-alive", "content-length", "date", "server"})


class BlobGate(HttpServer):
    """A proxy; `behind` is the port of Azurite on this machine."""

    def __init__(self, behind: int, clock: MovableClock | None = None, *, port: int = 0) -> None:
        super().__init__(FaultPlan(clock or MovableClock()), port=port)
        self._behind = behind
        self._session: ClientSession | None = None

    def through(self, connection_string: str) -> str:
        """Return the connection string of an Azurite account through the proxy."""
        return connection_string.replace(f"http://127.0.0.1:{self._behind}/", f"{self.url}/")

    async def start(self) -> None:
        self._session = ClientSession(
            auto_decompress=False,
            skip_auto_headers=("Content-Type", "User-Agent", "Accept", "Accept-Encoding"),  # some of them are signed
        )
        await super().start()

    async def stop(self) -> None:
        await super().stop()
        if self._session is not None:
            await self._session.close()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        fault = self.faults.take(f"{request.method} {request.path}")
        await wait(fault)
        if fault.cut == BEFORE:
            return cut(request)
        if (answer := await replaced(request, fault)) is not None:
            return answer
        if fault.status:
            return web.Response(status=fault.status, headers=fault.headers)
        answer = await self._pass_on(request)
        return cut(request) if fault.cut == AFTER else answer

    async def _pass_on(self, request: web.Request) -> web.Response:
        assert self._session is not None
        headers = {k: v for k, v in request.headers.items() if k.lower() not in ("connection", "content-length")}
        url = f"http://127.0.0.1:{self._behind}{request.rel_url.raw_path_qs}"
        data = await request.read()
        async with self._session.request(request.method, url, headers=headers, data=data) as found:
            kept = {k: v for k, v in found.headers.items() if k.lower() not in _OF_THE_CONNECTION}
            return web.Response(status=found.status, body=await found.read(), headers=kept)
