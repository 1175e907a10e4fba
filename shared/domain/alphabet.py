"""Bytes as text for what we make up and clients send back: receipts, cursors and ids.

Letters, digits, `.` and `_` alone: base64url with `.` for its `-`. Firewalls that look for SQL refuse some base64url
texts because of `--`, which starts a comment there. No padding, and one text per value.
"""

from __future__ import annotations

from shared.domain import base64url


def to_text(raw: bytes) -> str:
    """The text of some bytes: letters, digits, `.` and `_`."""
    return base64url.to_text(raw).replace("-", ".")


def from_text(text: str) -> bytes:
    """The inverse of `to_text`, which reads base64url as well: what was made before says `-`.

    Raises `ValueError` for any other text, and for one that mixes both.
    """
    if "." in text:
        if "-" in text:
            raise ValueError("two alphabets in one text")
        text = text.replace(".", "-")
    return base64url.from_text(text)
