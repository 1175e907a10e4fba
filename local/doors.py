"""Second HTTP server of the local host, for endpoints that other services have on Azure: media and live connections."""

from __future__ import annotations

import socket
from collections.abc import Iterable

from aiohttp import web

GRACE_SECONDS = 1.0
BIND = "127.0.0.1"


class Doors:
    """Reserves its port when it is created, so that the app knows the address, and listens once it has its routes.

    The port is `wanted`, or a free one if that is taken: clients get the address from the app.
    """

    def __init__(self, wanted: int) -> None:
        self._socket = _bound(wanted)
        self.port: int = self._socket.getsockname()[1]
        self._runner: web.AppRunner | None = None

    @property
    def origin(self) -> str:
        """Host and port, as in a URL."""
        return f"{BIND}:{self.port}"

    async def start(self, routes: Iterable[web.RouteDef]) -> None:
        """Listen."""
        app = web.Application()
        app.add_routes(routes)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=GRACE_SECONDS)
        await self._runner.setup()
        await web.SockSite(self._runner, self._socket).start()

    async def stop(self) -> None:
        """Close everything. Safe to call twice."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()
        self._socket.close()


def _bound(wanted: int) -> socket.socket:
    for port in (wanted, 0):
        taken = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind((BIND, port))
            return taken
        except (OSError, OverflowError):
            taken.close()
            if port == 0:
                raise
    raise OSError("no port is free")
