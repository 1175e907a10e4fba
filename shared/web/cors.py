"""CORS: which origins can call the service from a browser. None unless configured.

Cookies are not used: headers alone identify a caller.
"""

from __future__ import annotations

import re
from collections.abc import MutableMapping

from shared.settings import BadSetting

TRACING_HEADERS = (
    "traceparent, tracestate, baggage, sentry-trace, X-Request-Id, X-Correlation-Id, Request-Id, Request-Context, "
    "b3, X-B3-TraceId, X-B3-SpanId, X-B3-ParentSpanId, X-B3-Sampled, X-B3-Flags, X-Datadog-Trace-Id, "
    "X-Datadog-Parent-Id, X-Datadog-Origin, X-Datadog-Sampling-Priority, X-Datadog-Tags, newrelic, "
    "elastic-apm-traceparent, uber-trace-id, X-Cloud-Trace-Context, X-Amzn-Trace-Id"
)
"""Headers that monitoring scripts add to every call of a page. The browser blocks a call with a header that is not
allowed."""
ALLOWED_HEADERS = (
    "X-Tenant-Id, X-Api-Key, X-User, X-User-Token, X-Personalization, Idempotency-Key, Content-Type, "
    f"Content-Encoding, If-None-Match, {TRACING_HEADERS}"
)
EXPOSED_HEADERS = "ETag, Retry-After, Accept-Encoding, Date"
PREFLIGHT_SECONDS = 600
_ORIGIN = re.compile(
    r"https?://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?"
    r"|(?!https?:|file:)[a-z][a-z0-9+.-]*://[A-Za-z0-9._~%\[\]:-]+"
)
"""An origin as browsers send it. With an app's own scheme, the host keeps its upper and lower case. An origin without a
host, or with `file:`, is not allowed: all such pages would share it."""


class Cors:
    """The origins of `CORS_ORIGINS`, compared letter by letter: no wildcards, no `null`, no `file://`."""

    def __init__(self, setting: str) -> None:
        self._origins = frozenset(part.strip() for part in setting.split(",") if part.strip())
        for origin in self._origins:
            if not _ORIGIN.fullmatch(origin):
                raise BadSetting(
                    "CORS_ORIGINS must list origins such as https://app.example or capacitor://localhost, "
                    "separated by commas, without a slash at the end."
                )

    def vary(self, deciding: str) -> str:
        """Return `Vary` for a response that depends on the `deciding` headers, and on the origin if any is allowed."""
        if not self._origins:
            return deciding
        return f"{deciding}, Origin" if deciding else "Origin"

    def mark(self, headers: MutableMapping[str, str], origin: str | None) -> None:
        """Add headers that let the calling page read the response, if its origin is allowed."""
        if origin is not None and origin in self._origins:
            headers["Access-Control-Allow-Origin"] = origin
            headers["Access-Control-Expose-Headers"] = EXPOSED_HEADERS

    def preflight(self, origin: str | None) -> dict[str, str]:
        """Return the headers for a preflight request; none for an origin that is not allowed."""
        if origin not in self._origins:
            return {}
        return {
            "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE",
            "Access-Control-Allow-Headers": ALLOWED_HEADERS,
            "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
        }
