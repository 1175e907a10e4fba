"""`/studio`: the Studio's page and its files. They load nothing from other hosts."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path

import azure.functions as func

from shared.web.declaration import Response
from shared.web.endpoint import BASE_HEADERS, Edge, endpoint, not_modified
from shared.web.problems import Problem

FOLDER = Path(__file__).parent
PAGE = "index.html"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
"""By suffix. The SDK adds the charset to texts."""
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "X-Frame-Options": "DENY",
}
"""Scripts and styles from our own files only, no frames, no other host, nothing inline."""

_RESPONSES = {
    200: Response("A file of the Studio.", {"type": "string"}, media_type="text/html"),
    304: Response("As you have it."),
}


class StudioApi:
    """The Studio: a page for content teams, which calls the CMS endpoints with the key of whoever signs in."""

    def __init__(self, edge: Edge) -> None:
        self.edge = edge

    @endpoint("GET", "studio", "The page for content teams", tag="steering", responses=_RESPONSES)
    async def open_studio(self, request: func.HttpRequest) -> func.HttpResponse:
        """The page."""
        return self._file(PAGE, request)

    @endpoint(
        "GET",
        "studio/{file}",
        "A file of that page",
        tag="steering",
        responses=_RESPONSES,
        problems=("not_found",),
    )
    async def get_studio_file(self, request: func.HttpRequest) -> func.HttpResponse:
        """A file of the page. Raises a 404 `Problem` for any name that is not in the folder."""
        return self._file(request.route_params["file"], request)

    def _file(self, name: str, request: func.HttpRequest) -> func.HttpResponse:
        found = self._files.get(name)
        if found is None:
            raise Problem(404, "not_found", "The Studio has no such file.")
        body, etag = found
        headers = {**BASE_HEADERS, **SECURITY_HEADERS, "ETag": etag, "Cache-Control": "no-cache"}
        media_type = TYPES[Path(name).suffix]
        return not_modified(request, headers, media_type) or func.HttpResponse(
            body, headers=headers, mimetype=media_type
        )

    @cached_property
    def _files(self) -> dict[str, tuple[bytes, str]]:
        """Every file with its ETag, by name. Read once."""
        files = {}
        for path in FOLDER.iterdir():
            if path.suffix in TYPES:
                body = path.read_bytes()
                files[path.name] = (body, f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"')
        return files
