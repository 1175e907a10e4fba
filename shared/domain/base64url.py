"""Bytes as text that a URL carries unchanged: base64url without padding (RFC 4648, section 5), one text per value."""

from __future__ import annotations

import base64


def to_text(raw: bytes) -> str:
    """The text of some bytes."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def from_text(text: str) -> bytes:
    """The inverse of `to_text`. Raises `ValueError` for any other text.

    The standard library drops characters it does not know and ignores left-over bits, so that many texts would mean
    the same bytes; here only the one that `to_text` makes does.
    """
    raw = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    if to_text(raw) != text:
        raise ValueError("not canonical base64url")
    return raw
