"""A TCP proxy before any server: forwards bytes, answers with invalid bytes, or stays silent."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Self

CHUNK = 65_536
GARBAGE = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n" + bytes(range(256))


class TcpGate:
    """Start with `async with`. `behind` is a port on this machine."""

    def __init__(self, behind: int) -> None:
        self._behind = behind
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self.garbage = self.silent = False
        self.port = 0
        self.passed = 0
        """Bytes so far, both directions."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()

    def cut(self) -> None:
        """Drop every connection."""
        for writer in list(self._open):
            writer.transport.abort()

    def spoil(self) -> None:
        """Send garbage on every connection now, and on each instead of its next answer, until `garbage` is unset."""
        self.garbage = True
        for writer in list(self._open):
            writer.write(GARBAGE)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._behind)
        except OSError:
            writer.transport.abort()
            return
        self._open.add(writer)
        with contextlib.suppress(OSError, ExceptionGroup):
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass_on(reader, back, answers=False))
                both.create_task(self._pass_on(there, writer, answers=True))
        self._open.discard(writer)
        writer.transport.abort()
        back.transport.abort()

    async def _pass_on(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, answers: bool) -> None:
        while data := await source.read(CHUNK):
            if answers and self.silent:
                continue
            self.passed += len(data)
            target.write(GARBAGE if answers and self.garbage else data)
            await target.drain()
        raise ConnectionResetError  # ends the other direction too
