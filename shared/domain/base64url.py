"""Encodes bytes as base64url without padding (RFC 4648, section 5), one text per value."""

from __future__ import annotations

import base64
from binascii import b2a_base64

_URL_SAFE = bytes.maketrans(b"+/", b"-_")


def to_text(raw: bytes) -> str:
    """Encode bytes as base64url."""
    return b2a_base64(raw, newline=False).translate(_URL_SAFE, b"=").decode()


def from_text(text: str) -> bytes:
    """Decode a text of `to_text`. Raises `ValueError` for any other text.

    The standard library drops unknown characters and ignores left-over bits, so many texts give the same bytes. Here
    only the text of `to_text` does.
    """
    raw = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    if to_text(raw) != text:
        raise ValueError("not canonical base64url")
    return raw
