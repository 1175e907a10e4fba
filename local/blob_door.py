"""The door of the local host for uploads and media: what a storage account with a public endpoint is on Azure.

    PUT …/_blobs/CONTAINER/NAME?exp&sig         stores the body as a new blob: 201, or 409 where there is one
    GET …/_blobs/CONTAINER/NAME?exp&type&sig    the blob, or a range of it, with the content type of the link

It belongs to the host, not to the app: no byte passes a function. A body goes to a file aside as it comes, and becomes
a blob when it is whole. Answers are never sniffed, and what is served can neither run a script nor load anything. Pages
of any origin may ask, for the link alone is what counts, and it is sent without credentials.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable

from aiohttp import web

from shared.adapters.blobs.door_links import BLOCK_BLOB, DOOR_PATH, DoorLinks
from shared.adapters.blobs.folder import FolderBlobs
from shared.adapters.blobs.port import BlobsError

MAX_BYTES = 128 * 1024 * 1024
"""Longest body; the app refuses less, by its ticket."""
SILENCE_SECONDS = 15.0
"""How long the next part of a body may take."""
CHUNK_BYTES = 256 * 1024
_OPEN = {"Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin"}
_PREFLIGHT = {
    **_OPEN,
    "Access-Control-Allow-Methods": "GET, PUT",
    "Access-Control-Allow-Headers": "content-type, x-ms-blob-type, range",
    "Access-Control-Max-Age": "600",
}
_SERVED = {
    **_OPEN,
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Content-Disposition": "inline",
    "Cache-Control": "private, max-age=300",
}


class BlobDoor:
    """Serves one folder of blobs to whoever has a link."""

    def __init__(self, blobs: FolderBlobs, links: DoorLinks, clock: Callable[[], float] = time.time) -> None:
        self._blobs, self._links, self._clock = blobs, links, clock

    def routes(self) -> list[web.RouteDef]:
        """What it answers."""
        path = DOOR_PATH + "/{container}/{name:.+}"
        return [web.put(path, self.put), web.get(path, self.get), web.options(path, self.preflight)]

    async def preflight(self, request: web.Request) -> web.StreamResponse:
        """Pages of any origin may use a link."""
        return web.Response(status=204, headers=_PREFLIGHT)

    async def put(self, request: web.Request) -> web.StreamResponse:
        """Take an upload."""
        place = self._allowed(request)
        if place is None:
            return _refused(403)
        if request.headers.get("x-ms-blob-type") != BLOCK_BLOB["x-ms-blob-type"]:
            return _refused(400)
        if request.content_length is None:
            return _refused(411)
        if request.content_length > MAX_BYTES:
            return _refused(413)
        descriptor, temporary = self._blobs.aside()
        try:
            if not await _received(request, descriptor):
                return _refused(400)
            stored = await self._blobs.take(*place, temporary)
        except (BlobsError, OSError):
            return _refused(503)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()
        return web.Response(status=201, headers=_OPEN) if stored else _refused(409)

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Serve a blob as the type that its link says."""
        place = self._allowed(request)
        if place is None:
            return _refused(403)
        path = self._blobs.path(*place)
        if not await asyncio.to_thread(path.is_file):
            return _refused(404)
        return web.FileResponse(path, headers={**_SERVED, "Content-Type": request.query["type"]})

    def _allowed(self, request: web.Request) -> tuple[str, str] | None:
        """Container and name that the request's link is for, or None."""
        container, name = request.match_info["container"], request.match_info["name"]
        method = "GET" if request.method == "HEAD" else request.method
        if not self._links.allows(method, container, name, request.query, self._clock()):
            return None
        return container, name


async def _received(request: web.Request, descriptor: int) -> bool:
    """Whether the whole body is in the file, and on the disk."""
    written = 0
    with os.fdopen(descriptor, "wb") as file:
        while True:
            try:
                async with asyncio.timeout(SILENCE_SECONDS):
                    part = await request.content.read(CHUNK_BYTES)
            except (TimeoutError, ConnectionError, web.RequestPayloadError):
                return False
            if not part:
                break
            written += len(part)
            file.write(part)
        file.flush()
        await asyncio.to_thread(os.fsync, file.fileno())
    return written == request.content_length


def _refused(status: int) -> web.Response:
    return web.Response(status=status, headers=_OPEN)
