"""Stable fingerprints of ids: signals, cursors and catalogs name a video by four bytes."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

SEEN_BITS = 24
SEEN_MASK = (1 << SEEN_BITS) - 1


def fingerprint(text: str) -> int:
    """Return 32 bits of BLAKE2b: the same on every machine and in every release."""
    return int.from_bytes(blake2b(text.encode(), digest_size=4).digest(), "little")


fingerprint_of_name = lru_cache(1 << 15)(fingerprint)
"""`fingerprint` with a cache for frequent names: videos, categories, tags, creators. About 6 MB when full."""
