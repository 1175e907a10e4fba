"""Signed links to a local HTTP server of blobs (`local/blob_door.py`); like shared access signatures on Azure.

    PUT http://127.0.0.1:PORT/_blobs/CONTAINER/NAME?exp=SECONDS&sig=…            stores a blob that is not there yet
    GET http://127.0.0.1:PORT/_blobs/CONTAINER/NAME?exp=SECONDS&type=…&sig=…     reads it, as this content type

`sig` is HMAC-SHA-256 over method, container, name, expiry and type, so a link is valid for one blob and one purpose.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from hashlib import sha256
from urllib.parse import quote, urlencode

from shared.adapters.blobs.port import UploadLink
from shared.domain.base64url import to_text

DOOR_PATH = "/_blobs"
BLOCK_BLOB = {"x-ms-blob-type": "BlockBlob"}
"""Header that Blob Storage requires of an upload. The local server requires it too, so one client works with both."""


class DoorLinks:
    """Makes and checks links with one key. `url`: address of the server, without a slash at its end."""

    def __init__(self, key: bytes, url: str) -> None:
        self._key = key
        self.url = url

    def upload(self, container: str, name: str, content_type: str, expires_at: float) -> UploadLink:
        """Return a link for `PUT`. The content type is only the client's claim; the server does not trust it."""
        url = self._link("PUT", container, name, expires_at, "")
        return UploadLink("PUT", url, {**BLOCK_BLOB, "Content-Type": content_type})

    def download(self, container: str, name: str, content_type: str, expires_at: float) -> str:
        """Return a link for `GET`."""
        return self._link("GET", container, name, expires_at, content_type)

    def allows(self, method: str, container: str, name: str, query: Mapping[str, str], now: float) -> bool:
        """Whether a request has a valid link that has not expired."""
        expiry, content_type = query.get("exp", ""), query.get("type", "")
        expected = self._signature(method, container, name, expiry, content_type)
        if not hmac.compare_digest(expected.encode(), query.get("sig", "").encode()):
            return False
        return now < int(expiry)

    def _link(self, method: str, container: str, name: str, expires_at: float, content_type: str) -> str:
        expiry = str(int(expires_at))
        query = {"exp": expiry, **({"type": content_type} if content_type else {})}
        query["sig"] = self._signature(method, container, name, expiry, content_type)
        return f"{self.url}{DOOR_PATH}/{container}/{quote(name)}?{urlencode(query)}"

    def _signature(self, method: str, container: str, name: str, expiry: str, content_type: str) -> str:
        signed = "\n".join((method, container, name, expiry, content_type)).encode()
        return to_text(hmac.new(self._key, signed, sha256).digest())
