"""Short stable fingerprints of ids: what signals, cursors and catalogs use to name a video in four bytes."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

SEEN_BITS = 24
SEEN_MASK = (1 << SEEN_BITS) - 1


def fingerprint(text: str) -> int:
    """32 bits of BLAKE2b: the same on every machine and in every version of the app."""
    return int.from_bytes(blake2b(text.encode(), digest_size=4).digest(), "little")


fingerprint_of_name = lru_cache(1 << 15)(fingerprint)
"""`fingerprint` for names that come again and again: videos, categories, tags, creators. About 6 MB when full."""
