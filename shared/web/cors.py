"""CORS: which origins can call the service from a browser. None unless configured.

Credentials in the browser's sense (cookies) play no part: a caller is who its headers say.
"""

from __future__ import annotations

import re
from collections.abc import MutableMapping

from shared.settings import BadSetting

ALLOWED_HEADERS = (
    "X-Tenant-Id, X-Api-Key, X-User, X-User-Token, X-Personalization, Idempotency-Key, Content-Type, "
    "Content-Encoding, If-None-Match"
)
EXPOSED_HEADERS = "ETag, Retry-After"
PREFLIGHT_SECONDS = 600
_ORIGIN = re.compile(r"https://[a-z0-9.-]+(:[0-9]{1,5})?|http://(localhost|127\.0\.0\.1)(:[0-9]{1,5})?")


class Cors:
    """The origins of `CORS_ORIGINS`, compared letter by letter: no wildcards, no `null`."""

    def __init__(self, setting: str) -> None:
        self._origins = frozenset(part.strip() for part in setting.split(",") if part.strip())
        for origin in self._origins:
            if not _ORIGIN.fullmatch(origin):
                raise BadSetting(
                    "CORS_ORIGINS must list origins such as https://app.example or http://localhost:3000, "
                    "separated by commas, without a slash at the end."
                )

    def mark(self, headers: MutableMapping[str, str], origin: str | None) -> None:
        """Let the page that asks read this answer, if it may."""
        if not self._origins:
            return
        headers["Vary"] = "Origin"
        if origin in self._origins and origin is not None:
            headers["Access-Control-Allow-Origin"] = origin
            headers["Access-Control-Expose-Headers"] = EXPOSED_HEADERS

    def preflight(self, origin: str | None) -> dict[str, str]:
        """What a preflight request is told; nothing for an origin that is not ours."""
        if origin not in self._origins:
            return {}
        return {
            "Access-Control-Allow-Methods": "GET, POST",
            "Access-Control-Allow-Headers": ALLOWED_HEADERS,
            "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
        }
