"""Serves live notifications over WebSockets on the local host, as Azure Web PubSub does in production.

    GET ws://…/_live?who=…&exp=…&sig=…    a WebSocket that only listens: each frame is one JSON object, as text

The signature is valid for this server, one listener and an hour; a user's token is never in a URL. Frames have full
content, because they do not leave the operators' network.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from hashlib import sha256
from urllib.parse import urlencode

import orjson
from aiohttp import WSMsgType, web

from shared.adapters.live.port import ADDRESS_SECONDS, Address, Frame
from shared.domain.base64url import to_text

PATH = "/_live"
HEARTBEAT_SECONDS = 30.0
SEND_SECONDS = 2.0
MOST_OF_ONE = 20
"""Most connections of one listener; a further one closes the oldest."""
MAX_FRAME_BYTES = 1_024
"""Largest frame of a client; its content is ignored."""


class LiveDoor:
    """`Live` for the app, and the WebSocket for its clients. `origin`: host and port, as in a URL."""

    inside = True

    def __init__(self, key: bytes, origin: str, clock: Callable[[], float] = time.time) -> None:
        self._key, self._origin, self._clock = key, origin, clock
        self._sockets: defaultdict[str, list[web.WebSocketResponse]] = defaultdict(list)

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this server."""
        return [web.get(PATH, self.listen)]

    def listening(self, who: str) -> int:
        """Return the number of a listener's connections."""
        return len(self._sockets.get(who, ()))

    async def address(self, who: str, now: float) -> Address:
        """See the port."""
        expires_at = int(now + ADDRESS_SECONDS)
        query = urlencode({"who": who, "exp": expires_at, "sig": self._signature(who, str(expires_at))})
        return Address(f"ws://{self._origin}{PATH}?{query}", float(expires_at))

    async def send(self, who: str, frames: Sequence[Frame]) -> None:
        """See the port. A connection that does not read is closed."""
        for socket in list(self._sockets.get(who, ())):
            try:
                async with asyncio.timeout(SEND_SECONDS):
                    for frame in frames:
                        await socket.send_str(orjson.dumps(frame).decode())
            except (TimeoutError, ConnectionError, RuntimeError):
                await self._dropped(socket)

    async def close(self) -> None:
        """Close every connection."""
        for socket in [each for sockets in self._sockets.values() for each in sockets]:
            await self._dropped(socket)

    async def listen(self, request: web.Request) -> web.StreamResponse:
        """Serve a client's connection until either side closes it."""
        who, expiry = request.query.get("who", ""), request.query.get("exp", "")
        given = request.query.get("sig", "").encode()
        if not hmac.compare_digest(self._signature(who, expiry).encode(), given) or self._clock() >= int(expiry):
            return web.Response(status=401)
        socket = web.WebSocketResponse(heartbeat=HEARTBEAT_SECONDS, max_msg_size=MAX_FRAME_BYTES)
        await socket.prepare(request)
        mine = self._sockets[who]
        mine.append(socket)
        try:
            if len(mine) > MOST_OF_ONE:
                await self._dropped(mine[0])
            async for message in socket:
                if message.type == WSMsgType.ERROR:
                    break
        finally:
            with contextlib.suppress(ValueError):
                mine.remove(socket)
            if not mine:
                self._sockets.pop(who, None)
        return socket

    async def _dropped(self, socket: web.WebSocketResponse) -> None:
        with contextlib.suppress(Exception):
            async with asyncio.timeout(SEND_SECONDS):
                await socket.close()

    def _signature(self, who: str, expiry: str) -> str:
        return to_text(hmac.new(self._key, f"live\n{who}\n{expiry}".encode(), sha256).digest())
