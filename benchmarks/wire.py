"""HTTP client on plain sockets. It uses little CPU, so that it does not slow down a server on the same two cores."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import NamedTuple
from urllib.parse import urlsplit


class Reply(NamedTuple):
    """A response. `status` 0: the connection failed. `head`: raw headers in lower case; `seconds`: from sending to the
    last byte."""

    status: int
    head: bytes
    body: bytes
    seconds: float


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self._buffer = b""
        self._waiting: asyncio.Future[tuple[int, bytes, bytes]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def send(self, request: bytes) -> asyncio.Future[tuple[int, bytes, bytes]]:
        assert self.transport is not None
        self._waiting = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self._waiting

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        lower = head.lower()
        at = lower.find(b"content-length:")
        length = int(lower[at + 15 : lower.find(b"\r\n", at) if b"\r\n" in lower[at:] else None]) if at >= 0 else 0
        if len(rest) >= length:
            self._buffer = b""
            if self._waiting is not None and not self._waiting.done():
                self._waiting.set_result((int(head[9:12]), lower, rest[:length]))

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result((0, b"", b""))


class Connections:
    """Up to `most` kept-alive connections; callers queue for a free one."""

    def __init__(self, url: str, most: int) -> None:
        place = urlsplit(url)
        self._host, self._port = place.hostname or "127.0.0.1", place.port or 80
        self._free: list[_Connection] = []
        self._line: deque[asyncio.Future[None]] = deque()
        self._left = most

    async def ask(self, request: bytes) -> Reply:
        """Send one request and wait for its answer."""
        while not self._left:
            turn = asyncio.get_running_loop().create_future()
            self._line.append(turn)
            await turn
        self._left -= 1
        try:
            loop = asyncio.get_running_loop()
            connection = await self._connection()
            started = loop.time()
            status, head, body = (0, b"", b"") if connection is None else await connection.send(request)
            seconds = loop.time() - started
            if connection is not None and connection.transport is not None:
                self._free.append(connection)
            return Reply(status, head, body, seconds)
        finally:
            self._left += 1
            if self._line:
                self._line.popleft().set_result(None)

    @property
    def waiting(self) -> int:
        """Return the number of queued callers."""
        return len(self._line)

    async def _connection(self) -> _Connection | None:
        while self._free:
            connection = self._free.pop()
            if connection.transport is not None and not connection.transport.is_closing():
                return connection
        try:
            _, connection = await asyncio.get_running_loop().create_connection(_Connection, self._host, self._port)
        except OSError:
            return None
        return connection

    def close(self) -> None:
        """Close every free connection."""
        for connection in self._free:
            if connection.transport is not None:
                connection.transport.abort()


def http(method: str, path: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    """Return a request as bytes."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *(f"{name}: {value}" for name, value in headers.items())]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body
