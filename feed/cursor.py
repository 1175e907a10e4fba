"""Pagination cursor: AES-GCM-encrypted list of the videos already served. Nothing is stored.

It carries the fingerprint of every video served, so nothing repeats although ranking, content and even the mode move
between two pages. It is bound to its tenant and user, lives 12 hours, and stays within 4 kB: when the next page would
not fit, the feed ends.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field

import numpy as np
from cryptography.exceptions import InvalidTag
from numpy.typing import NDArray

from shared.domain.base64url import from_text, to_text
from shared.domain.keys import SigningKeys
from shared.web.problems import bad_request

VALID_SECONDS = 12 * 3600
MAX_CHARS = 4_096
_VERSION = 1
_HEADER = struct.Struct("<BII")
_NONCE_BYTES, _TAG_BYTES = 12, 16
MAX_SERVED = (MAX_CHARS * 3 // 4 - 1 - _NONCE_BYTES - _TAG_BYTES - _HEADER.size) // 4


@dataclass(frozen=True, slots=True)
class Served:
    """What a walk through the feed has served. `started_at` in whole seconds; `seed` fixes what is drawn at random.

    `fingerprints` are in the order of serving.
    """

    started_at: int
    seed: int
    fingerprints: NDArray[np.uint32] = field(default_factory=lambda: np.zeros(0, np.uint32))

    def __len__(self) -> int:
        return len(self.fingerprints)


def encode(served: Served, keys: SigningKeys, tenant_id: str, user_key: str) -> str | None:
    """The cursor for the next page; None when it would grow past `MAX_CHARS`: the feed ends there."""
    if len(served) > MAX_SERVED:
        return None
    header = _HEADER.pack(_VERSION, served.started_at, served.seed)
    nonce = os.urandom(_NONCE_BYTES)
    sealed = keys.ciphers[keys.current_tag].encrypt(
        nonce, header + served.fingerprints.astype("<u4").tobytes(), _bound_to(tenant_id, user_key)
    )
    return to_text(bytes([keys.current_tag]) + nonce + sealed)


def decode(text: str, keys: SigningKeys, tenant_id: str, user_key: str, now: float) -> Served:
    """The inverse of `encode`. Raises a 400 `Problem`: `cursor_expired`, or `invalid_cursor` for anything odd."""
    try:
        raw = from_text(text)
        cipher = keys.ciphers[raw[0]]
        plain = cipher.decrypt(raw[1 : 1 + _NONCE_BYTES], raw[1 + _NONCE_BYTES :], _bound_to(tenant_id, user_key))
        version, started_at, seed = _HEADER.unpack_from(plain)
        if version != _VERSION:
            raise ValueError("version")
        fingerprints = np.frombuffer(plain, "<u4", offset=_HEADER.size)
    except (ValueError, KeyError, IndexError, InvalidTag, struct.error):
        raise bad_request("invalid_cursor", "The cursor is not valid. Start again without it.") from None
    if not -300 <= now - started_at <= VALID_SECONDS:
        raise bad_request("cursor_expired", "The cursor is older than 12 hours. Start again without it.")
    return Served(started_at, seed, fingerprints)


def _bound_to(tenant_id: str, user_key: str) -> bytes:
    return f"cursor\n{tenant_id}\n{user_key}".encode()
