"""Closeness of a viewer to authors: their views and reactions of each, decayed with a half-life of 14 days. Pure.

Packed into the document of what they have seen, which a row reads anyway. Authors are 64 bits of their public id, so
that who is erased leaves no id with others.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.domain.alphabet import to_text
from stories.circle import Keys

HALF_LIFE_SECONDS = 14 * 86_400.0
KEEP_SECONDS = 90 * 86_400
MAX_AUTHORS = 256
ID_CHARACTERS = 10
"""Of a public id, that 64 bits of it tell."""
_ENTRY = np.dtype([("key", "<u8"), ("amount", "<f4"), ("minute", "<u4")])


@dataclass(frozen=True, slots=True, eq=False)
class Closeness:
    """For each author: Σ 2^(−age ÷ half-life) over what was seen and reacted to, as of `minute` (since the epoch)."""

    entries: NDArray[np.void]

    @property
    def keys(self) -> Keys:
        return self.entries["key"]

    def amounts(self, now: float) -> NDArray[np.float64]:
        """The sums as of `now`, in seconds since the epoch."""
        age: NDArray[np.float64] = np.maximum(now - self.entries["minute"] * 60.0, 0.0)
        return self.entries["amount"] * np.exp2(-age / HALF_LIFE_SECONDS)

    def values(self, now: float) -> NDArray[np.float64]:
        """The feature: log(1 + the sum)."""
        return np.log1p(self.amounts(now))

    def adding(self, key: int, facts: int, now: float) -> Closeness:
        """With something more of an author. The least of too many is dropped, and what nobody touched for 90 days."""
        minute = int(now // 60)
        same = self.entries["key"] == np.uint64(key)
        amount = facts + float(self.amounts(now)[same].sum())
        kept = self.entries[~same & (self.entries["minute"] > minute - KEEP_SECONDS // 60)]
        if len(kept) >= MAX_AUTHORS:
            least_first = Closeness(kept).amounts(now).argsort(kind="stable")
            kept = np.delete(kept, least_first[: len(kept) - MAX_AUTHORS + 1])
        return Closeness(np.concatenate((kept, np.array([(key, amount, minute)], _ENTRY))))

    def entries_by_id(self) -> list[tuple[str, float, float]]:
        """For an export: how each author's public id begins, the sum, and as of when, in seconds since the epoch."""
        return [
            (to_text(key.to_bytes(8, "little"))[:ID_CHARACTERS], amount, minute * 60.0)
            for key, amount, minute in self.entries.tolist()
        ]

    def to_text(self) -> str:
        """The stored shape: 16 bytes an author in base64."""
        return b64encode(self.entries.tobytes()).decode()

    @classmethod
    def from_text(cls, text: Any) -> Closeness:
        """The inverse; of nobody for what cannot be read: it only changes an order."""
        try:
            entries = np.frombuffer(b64decode(text, validate=True), _ENTRY)
        except (TypeError, ValueError):
            return NOBODY_CLOSE
        return cls(entries) if np.isfinite(entries["amount"]).all() else NOBODY_CLOSE


NOBODY_CLOSE = Closeness(np.zeros(0, _ENTRY))
