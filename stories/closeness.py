"""Closeness of a viewer to authors: counts their views and reactions per author with a half-life of 14 days. Pure.

Stored in the document of seen stories, which a row reads anyway. Authors are kept as 64 bits of their public id, so an
erased author leaves no public id with others.
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
"""Leading characters of a public id that its 64-bit key determines."""
_ENTRY = np.dtype([("key", "<u8"), ("amount", "<f4"), ("minute", "<u4")])


@dataclass(frozen=True, slots=True, eq=False)
class Closeness:
    """Per author: Σ 2^(−age ÷ half-life) over views and reactions, as of `minute` (minutes since the epoch)."""

    entries: NDArray[np.void]

    @property
    def keys(self) -> Keys:
        return self.entries["key"]

    def amounts(self, now: float) -> NDArray[np.float64]:
        """Return the sums decayed to `now`, in seconds since the epoch."""
        age: NDArray[np.float64] = np.maximum(now - self.entries["minute"] * 60.0, 0.0)
        return self.entries["amount"] * np.exp2(-age / HALF_LIFE_SECONDS)

    def values(self, now: float) -> NDArray[np.float64]:
        """Return the ranking feature: ln(1 + the sum)."""
        return np.log1p(self.amounts(now))

    def adding(self, key: int, facts: int, now: float) -> Closeness:
        """Return a copy with `facts` more views or reactions of an author.

        Drops authors unchanged for 90 days, and the smallest sums above `MAX_AUTHORS`.
        """
        minute = int(now // 60)
        same = self.entries["key"] == np.uint64(key)
        amount = facts + float(self.amounts(now)[same].sum())
        kept = self.entries[~same & (self.entries["minute"] > minute - KEEP_SECONDS // 60)]
        if len(kept) >= MAX_AUTHORS:
            least_first = Closeness(kept).amounts(now).argsort(kind="stable")
            kept = np.delete(kept, least_first[: len(kept) - MAX_AUTHORS + 1])
        return Closeness(np.concatenate((kept, np.array([(key, amount, minute)], _ENTRY))))

    def entries_by_id(self) -> list[tuple[str, float, float]]:
        """Return, for an export, the start of each author's public id, the sum, and its time (seconds since 1970)."""
        return [
            (to_text(key.to_bytes(8, "little"))[:ID_CHARACTERS], amount, minute * 60.0)
            for key, amount, minute in self.entries.tolist()
        ]

    def to_text(self) -> str:
        """Return the stored shape: 16 bytes per author, in base64."""
        return b64encode(self.entries.tobytes()).decode()

    @classmethod
    def from_text(cls, text: Any) -> Closeness:
        """Parse the stored text. Unreadable text gives an empty closeness, because it only affects the order."""
        try:
            entries = np.frombuffer(b64decode(text, validate=True), _ENTRY)
        except (TypeError, ValueError):
            return NOBODY_CLOSE
        return cls(entries) if np.isfinite(entries["amount"]).all() else NOBODY_CLOSE


NOBODY_CLOSE = Closeness(np.zeros(0, _ENTRY))
