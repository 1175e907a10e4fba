"""Encodes bytes as text for receipts, cursors and ids, which clients send back.

The alphabet is letters, digits, `.` and `_`: base64url with `.` in place of `-`. Web firewalls refuse some base64url
texts because `--` starts a comment in SQL. No padding; one text per value.
"""

from __future__ import annotations

from shared.domain import base64url


def to_text(raw: bytes) -> str:
    """Encode bytes as letters, digits, `.` and `_`."""
    return base64url.to_text(raw).replace("-", ".")


def from_text(text: str) -> bytes:
    """Decode a text of `to_text`, or base64url (with `-`), which earlier releases wrote.

    Raises `ValueError` for any other text, and for one that mixes both.
    """
    if "." in text:
        if "-" in text:
            raise ValueError("two alphabets in one text")
        text = text.replace(".", "-")
    return base64url.from_text(text)
