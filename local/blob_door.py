"""Serves uploads and media of the local host by signed links, as a public storage account does on Azure.

    PUT …/_blobs/CONTAINER/NAME?exp&sig         stores the body as a new blob: 201, or 409 where there is one
    GET …/_blobs/CONTAINER/NAME?exp&type&sig    the blob, or a range of it, with the content type of the link

It is part of the host, not of the app: no byte goes through a function. A body is written to a temporary file, which
becomes a blob when it is complete. Responses forbid content sniffing, scripts and loading of other files. Pages of any
origin can call it, since only the link gives access, and no credentials are sent.
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
"""Longest body. The app's own limits, in its tickets, are lower."""
SILENCE_SECONDS = 15.0
"""Longest wait for the next part of a body."""
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
    """Serves one folder of blobs by signed links."""

    def __init__(self, blobs: FolderBlobs, links: DoorLinks, clock: Callable[[], float] = time.time) -> None:
        self._blobs, self._links, self._clock = blobs, links, clock

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this server."""
        path = DOOR_PATH + "/{container}/{name:.+}"
        return [web.put(path, self.put), web.get(path, self.get), web.options(path, self.preflight)]

    async def preflight(self, request: web.Request) -> web.StreamResponse:
        """Answer a CORS preflight: pages of any origin can use a link."""
        return web.Response(status=204, headers=_PREFLIGHT)

    async def put(self, request: web.Request) -> web.StreamResponse:
        """Store an upload."""
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
        """Serve a blob, with the content type of its link."""
        place = self._allowed(request)
        if place is None:
            return _refused(403)
        path = self._blobs.path(*place)
        if not await asyncio.to_thread(path.is_file):
            return _refused(404)
        return web.FileResponse(path, headers={**_SERVED, "Content-Type": request.query["type"]})

    def _allowed(self, request: web.Request) -> tuple[str, str] | None:
        """Return container and name of the request's link; None if the link is not valid."""
        container, name = request.match_info["container"], request.match_info["name"]
        method = "GET" if request.method == "HEAD" else request.method
        if not self._links.allows(method, container, name, request.query, self._clock()):
            return None
        return container, name


async def _received(request: web.Request, descriptor: int) -> bool:
    """Write a body to a file and flush it. Return whether the body was complete."""
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
