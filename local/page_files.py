"""Serves the in-memory files of the pages that only the local host has."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path

import azure.functions as func

from shared.web.endpoint import BASE_HEADERS, JSON, not_modified
from shared.web.http_response import HttpResponse
from shared.web.problems import Problem
from shared.web.static_files import SECURITY_HEADERS, TYPES

HEADERS = {
    **BASE_HEADERS,
    **SECURITY_HEADERS,
    "Content-Security-Policy": f"{SECURITY_HEADERS['Content-Security-Policy']}; media-src 'self'",
    "Cache-Control": "no-cache",
}
MEDIA_TYPES = {
    **TYPES, ".mp4": "video/mp4", ".jpg": "image/jpeg", ".gif": "image/gif", ".json": JSON, ".md": TYPES[".html"],
}  # fmt: skip
"""Media type by suffix. A page made from Markdown keeps its name."""


def page_file(files: Mapping[str, bytes], name: str, request: func.HttpRequest) -> func.HttpResponse:
    """Return the file of that name; 304 when the client has it. Raises a 404 `Problem` for an unknown name."""
    body = files.get(name)
    if body is None:
        raise Problem(404, "not_found", "There is no such file.")
    media_type = MEDIA_TYPES[Path(name).suffix]
    headers = {**HEADERS, "ETag": f'W/"{blake2b(body, digest_size=12).hexdigest()}"'}
    return not_modified(request, headers, media_type) or HttpResponse(body, headers=headers, mimetype=media_type)
