"""Serves the files of our own pages, with a content security policy that allows no other host."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path

import azure.functions as func

from shared.domain.media_hosts import is_media_host
from shared.web.compression import COMPRESSED_TYPES, GZIP, gzipped_once, least_bytes
from shared.web.endpoint import BASE_HEADERS, headers_of, not_modified
from shared.web.http_response import HttpResponse

TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
"""Media type by suffix. The SDK adds the charset of texts."""
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "X-Frame-Options": "DENY",
}
"""Headers that allow scripts and styles from our own files only: no frames, no other host, nothing inline."""


def policy_with(hosts: Iterable[str]) -> str:
    """Return the content security policy of a page that also loads pictures and clips by https from these hosts.

    Malformed hosts are left out, so that no other text gets into the header. Without hosts, the strict policy is
    returned.
    """
    strict = SECURITY_HEADERS["Content-Security-Policy"]
    sources = " ".join(f"https://{host}" for host in hosts if is_media_host(host))
    if not sources:
        return strict
    return strict.replace("img-src 'self' data:", f"img-src 'self' data: {sources}; media-src {sources}")


class StaticFiles:
    """Files that are read once, at the first request. `paths`: their paths; files of other types are left out."""

    def __init__(self, paths: Callable[[], Iterable[Path]]) -> None:
        self._paths = paths

    def response(self, name: str, request: func.HttpRequest, cache: str) -> func.HttpResponse | None:
        """Return the file of that name; 304 when the client has it; None for an unknown name. `cache`:
        `Cache-Control`."""
        found = self._files.get(name)
        if found is None:
            return None
        body, etag = found
        headers = {**BASE_HEADERS, **SECURITY_HEADERS, "ETag": etag, "Cache-Control": cache}
        media_type = TYPES[Path(name).suffix]
        unchanged = not_modified(request, headers, media_type)
        if unchanged is not None:
            return unchanged
        if media_type.startswith(COMPRESSED_TYPES) and len(body) >= least_bytes(headers_of(request)):
            body, headers = gzipped_once(body), {**headers, **GZIP}
        return HttpResponse(body, headers=headers, mimetype=media_type)

    def text(self, name: str) -> str:
        """Return the text of an existing file."""
        return self._files[name][0].decode()

    @cached_property
    def _files(self) -> dict[str, tuple[bytes, str]]:
        """Content and ETag of every file, by name."""
        files = {}
        for path in self._paths():
            if path.suffix in TYPES:
                body = path.read_bytes()
                files[path.name] = (body, f'W/"{hashlib.blake2b(body, digest_size=12).hexdigest()}"')
        return files
