"""Reads the hosts that a tenant declares for its pictures and clips. Pure."""

from __future__ import annotations

import re

MAX_HOSTS = 20
MAX_CHARS = 1_000
"""Most characters of all hosts together, so that a ticket for them fits into a URL."""

_LABEL = "(?!-)[a-z0-9-]{1,63}(?<!-)"
_HOST = re.compile(rf"(?:{_LABEL}\.)+(?:[a-z]{{2,63}}|xn--[a-z0-9-]{{1,58}}(?<!-))")


def is_media_host(text: str) -> bool:
    """Whether a text is a full host name in lower case: no IP address, wildcard, port or path."""
    return len(text) <= 253 and _HOST.fullmatch(text) is not None


def read_media_host(text: str) -> str | None:
    """Return the host of a text such as `https://CDN.example.org/` or `cdn.example.org:443`; None without one."""
    host = text.strip().lower().removeprefix("https://").removesuffix("/").removesuffix(":443")
    return host if is_media_host(host) else None


def media_hosts(stored: object) -> tuple[str, ...]:
    """Return the valid hosts of a stored list."""
    return tuple(h for h in stored if isinstance(h, str) and is_media_host(h)) if isinstance(stored, list) else ()
