"""Azure Web PubSub as far as the live port uses it: tokens for clients, sending to a user, the clients' socket.

    POST /api/hubs/HUB/:generateToken?userId=…&minutesToExpire=…    → {"token": …}; for callers with an Entra token
    POST /api/hubs/HUB/users/USER/:send                             → 202
    GET  /client/hubs/HUB?access_token=…                            → a WebSocket

A caller signs with the access key (HS256, `aud` is the URL called) or brings any Entra token. A client's token has the
key's signature too, `sub` is its user id. A request's label, which faults match, is its method and path.
"""

from __future__ import annotations

import time
from collections import defaultdict
from typing import Any

import jwt
from aiohttp import WSMsgType, web

from tests.emulators.clock import MovableClock
from tests.emulators.faults import BEFORE, FaultPlan, wait
from tests.emulators.http import HttpServer, cut, replaced

KEY = "the access key of the test server, long enough"
API_VERSION = "api-version"


class WebPubSubServer(HttpServer):
    """One hub of any name. `sent` lists (user id, body) in order, whether or not anybody listened."""

    def __init__(self) -> None:
        super().__init__(FaultPlan(MovableClock()))
        self.sent: list[tuple[str, str]] = []
        self.tokens: list[dict[str, Any]] = []
        self._sockets: defaultdict[str, list[web.WebSocketResponse]] = defaultdict(list)

    @property
    def connection_string(self) -> str:
        return f"Endpoint={self.url};AccessKey={KEY};Version=1.0;"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        fault = self.faults.take(f"{request.method} {request.path}")
        await wait(fault)
        if fault.cut == BEFORE:
            return cut(request)
        if (answer := await replaced(request, fault)) is not None:
            return answer
        if fault.status:
            return web.Response(status=fault.status)
        match request.path.strip("/").split("/"):
            case ["client", "hubs", hub]:
                return await self._listen(request, hub)
            case ["api", "hubs", hub, ":generateToken"] if request.method == "POST":
                return self._token(request, hub) if self._may(request) else web.Response(status=401)
            case ["api", "hubs", _, "users", user, ":send"] if request.method == "POST":
                return await self._send(request, user) if self._may(request) else web.Response(status=401)
        return web.Response(status=404)

    def _may(self, request: web.Request) -> bool:
        if API_VERSION not in request.query:
            return False
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer":
            return False
        try:
            url = f"{self.url}{request.path_qs}"
            jwt.decode(token, KEY, ["HS256"], audience=[url, f"{self.url}{request.path}"])
        except jwt.InvalidTokenError:
            return token == "entra"
        return True

    def _token(self, request: web.Request, hub: str) -> web.Response:
        minutes = int(request.query.get("minutesToExpire", "60"))
        claims = {
            "aud": f"{self.url}/client/hubs/{hub}",
            "sub": request.query.get("userId", ""),
            "role": request.query.getall("role", []),
            "exp": int(time.time()) + minutes * 60,
        }
        self.tokens.append(claims)
        return web.json_response({"token": jwt.encode(claims, KEY, "HS256")})

    async def _send(self, request: web.Request, user: str) -> web.Response:
        body = await request.text()
        self.sent.append((user, body))
        for socket in list(self._sockets[user]):
            await socket.send_str(body)
        return web.Response(status=202)

    async def _listen(self, request: web.Request, hub: str) -> web.StreamResponse:
        try:
            audience = f"{self.url}/client/hubs/{hub}"
            claims = jwt.decode(request.query.get("access_token", ""), KEY, ["HS256"], audience=audience)
        except jwt.InvalidTokenError:
            return web.Response(status=401)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._sockets[claims["sub"]].append(socket)
        async for message in socket:
            if message.type == WSMsgType.ERROR:
                break
        self._sockets[claims["sub"]].remove(socket)
        return socket
