"""Pagination cursor: AES-GCM-encrypted list of the videos already served. The server stores nothing.

It has the fingerprint of every served video. So no video repeats, although ranking, content and even the mode can
change between two pages. It is bound to its tenant and user, is valid for 12 hours, and stays within 4 kB: when the
next page would not fit, the feed ends. Version 2 also has 4 bytes for the feed and its filters, and its text has only
letters, digits, `.` and `_`.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field

import numpy as np
from cryptography.exceptions import InvalidTag
from numpy.typing import NDArray

from shared.domain import alphabet, base64url
from shared.domain.keys import SigningKeys
from shared.web.problems import bad_request

VALID_SECONDS = 12 * 3600
MAX_CHARS = 4_096
_HEADERS = {1: struct.Struct("<BII"), 2: struct.Struct("<BIII")}
"""Version, start, seed; version 2 also has the feed."""
_OTHER_DASH = {1: ".", 2: "-"}
"""A character that a version's text never contains, so each cursor has one valid text."""
_NONCE_BYTES, _TAG_BYTES = 12, 16
MAX_SERVED = (MAX_CHARS * 3 // 4 - 1 - _NONCE_BYTES - _TAG_BYTES - _HEADERS[2].size) // 4


_NOTHING = np.zeros(0, np.uint32)
_NOTHING.setflags(write=False)


@dataclass(slots=True)  # not frozen: a frozen one takes four times as long to create
class Served:
    """Videos that a walk through the feed has served so far.

    `started_at` is in whole seconds since the epoch; `seed` fixes all random draws. `fingerprints` are in the order of
    serving. `feed` identifies the named feed and the filters of the walk; 0 for neither.
    """

    started_at: int
    seed: int
    fingerprints: NDArray[np.uint32] = field(default_factory=lambda: _NOTHING)
    feed: int = 0

    def __len__(self) -> int:
        return len(self.fingerprints)


def encode(served: Served, keys: SigningKeys, tenant_id: str, user_key: str, version: int = 1) -> str | None:
    """Return the cursor for the next page; None when it would exceed `MAX_CHARS`, where the feed ends. Only version 2
    can store a feed, so a walk with a feed always uses it."""
    version = 2 if served.feed else version
    if len(served) > MAX_SERVED:
        return None
    more = () if version == 1 else (served.feed,)
    header = _HEADERS[version].pack(version, served.started_at, served.seed, *more)
    nonce, tag = os.urandom(_NONCE_BYTES), keys.current_tag
    sealed = keys.ciphers[tag].encrypt(
        nonce, header + served.fingerprints.astype("<u4", copy=False).tobytes(), _bound_to(tenant_id, user_key)
    )
    raw = b"%c%b%b" % (tag, nonce, sealed)
    return base64url.to_text(raw) if version == 1 else alphabet.to_text(raw)


def decode(text: str, keys: SigningKeys, tenant_id: str, user_key: str, now: float, feed: int = 0) -> Served:
    """Decode a cursor of either version: the inverse of `encode`.

    Raises a 400 `Problem`: `cursor_expired`, `cursor_of_another_feed` when the walk is not of `feed`, or
    `invalid_cursor`.
    """
    try:
        raw = alphabet.from_text(text)
        cipher = keys.ciphers[raw[0]]
        plain = cipher.decrypt(raw[1 : 1 + _NONCE_BYTES], raw[1 + _NONCE_BYTES :], _bound_to(tenant_id, user_key))
        header = _HEADERS[plain[0]]
        version, started_at, seed, *walked = header.unpack_from(plain)
        if _OTHER_DASH[version] in text:
            raise ValueError("alphabet")
        fingerprints = np.frombuffer(plain, "<u4", offset=header.size)
    except (ValueError, KeyError, IndexError, InvalidTag, struct.error):
        raise bad_request("invalid_cursor", "The cursor is not valid. Start again without it.") from None
    if not -300 <= now - started_at <= VALID_SECONDS:
        raise bad_request("cursor_expired", "The cursor is older than 12 hours. Start again without it.")
    if (walked[0] if walked else 0) != feed:
        raise bad_request(
            "cursor_of_another_feed", "The cursor belongs to another feed or other filters. Start again without it."
        )
    return Served(started_at, seed, fingerprints, feed)


def _bound_to(tenant_id: str, user_key: str) -> bytes:
    return f"cursor\n{tenant_id}\n{user_key}".encode()
