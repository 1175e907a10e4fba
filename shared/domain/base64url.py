"""Bytes as text that a URL carries unchanged: base64url without padding (RFC 4648, section 5), one text per value."""

from __future__ import annotations

import base64
from binascii import b2a_base64

_URL_SAFE = bytes.maketrans(b"+/", b"-_")


def to_text(raw: bytes) -> str:
    """The text of some bytes."""
    return b2a_base64(raw, newline=False).translate(_URL_SAFE, b"=").decode()


def from_text(text: str) -> bytes:
    """The inverse of `to_text`. Raises `ValueError` for any other text.

    The standard library drops characters it does not know and ignores left-over bits, so that many texts would mean
    the same bytes; here only the one that `to_text` makes does.
    """
    raw = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    if to_text(raw) != text:
        raise ValueError("not canonical base64url")
    return raw
