"""`/studio`: the page and its files, from this app and from nowhere else."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import azure.functions as func

from bootstrap import Services
from shared.web.endpoint import BASE_HEADERS, endpoint, matches_etag
from shared.web.problems import Problem

FOLDER = Path(__file__).parent
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
SECURITY = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "X-Frame-Options": "DENY",
}
"""Scripts and styles from our own files only, no frames, no other host, nothing inline."""


@endpoint("studio")
async def studio(request: func.HttpRequest, services: Services) -> func.HttpResponse:
    """A file of the page; the page itself without a name. Names outside the folder do not exist."""
    name = request.route_params.get("file") or "index.html"
    found = _files().get(name)
    if found is None:
        raise Problem(404, "not_found", "The Studio has no such file.")
    body, etag = found
    headers = {**BASE_HEADERS, **SECURITY, "ETag": etag, "Cache-Control": "no-cache"}
    if matches_etag(request.headers.get("if-none-match"), etag):
        return func.HttpResponse(b"", status_code=304, headers=headers)
    return func.HttpResponse(body, headers=headers, mimetype=TYPES[Path(name).suffix])


@cache
def _files() -> dict[str, tuple[bytes, str]]:
    """Every file of the page with its ETag, read once."""
    files = {}
    for path in FOLDER.iterdir():
        if path.suffix in TYPES:
            body = path.read_bytes()
            files[path.name] = (body, f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"')
    return files
