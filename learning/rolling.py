"""The newest long views of each sampled user, updated every night. The nightly tables are built from them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from events.archive import KEEP_DAYS
from shared.domain.user_signals import MAX_WATCHED

MAX_VIEWS = 1_500_000
"""About 36 MB. Beyond it, the users are halved."""
KEEP_SECONDS = (KEEP_DAYS - 1) * 86_400.0
"""One day less than the retention time, since this runs once a night."""

Codes = NDArray[np.int64]


def user_code(name: str) -> int:
    """Return 63 bits of a hash of a user's pseudonym, which identifies the user in columns."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little") >> 1


def _no_codes() -> Codes:
    return np.zeros(0, np.int64)


@dataclass(frozen=True, eq=False)
class LongViews:
    """Long views as columns: user (`user_code`), 64-bit key of the video, and time in seconds since the epoch."""

    users: Codes = field(default_factory=_no_codes)
    keys: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))
    times: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    def __len__(self) -> int:
        return len(self.users)

    def only(self, kept: NDArray[np.bool_] | NDArray[np.int64]) -> LongViews:
        """Return those selected by a mask or by indexes."""
        return LongViews(self.users[kept], self.keys[kept], self.times[kept])

    def without(self, users: Iterable[int]) -> LongViews:
        """Return those of all other users."""
        gone = np.array(sorted(users), np.int64)
        return self.only(~np.isin(self.users, gone)) if len(gone) else self

    def with_more(self, more: LongViews, now: float) -> LongViews:
        """Return both together in the form of stored signals: each video of a user once, at its newest time, the newest
        60, none beyond the retention time. Adding the same views again changes nothing.

        Beyond `MAX_VIEWS` whole users are left out by their hash.
        """
        users, keys, times = (
            np.concatenate([getattr(self, name), getattr(more, name)]) for name in ("users", "keys", "times")
        )
        young = times > now - KEEP_SECONDS
        users, keys, times = users[young], keys[young], times[young]
        order = np.lexsort((-times, keys, users))
        users, keys, times = users[order], keys[order], times[order]
        first = np.r_[True, (users[1:] != users[:-1]) | (keys[1:] != keys[:-1])] if len(users) else np.zeros(0, bool)
        users, keys, times = users[first], keys[first], times[first]
        order = np.lexsort((keys, -times, users))
        users, keys, times = users[order], keys[order], times[order]
        newest = np.arange(len(users)) - np.searchsorted(users, users) < MAX_WATCHED
        return LongViews(users[newest], keys[newest], times[newest])._bounded()

    def _bounded(self) -> LongViews:
        mask, kept = 0, self
        while len(kept) > MAX_VIEWS:
            mask = mask << 1 | 1
            kept = kept.only((kept.users >> 8) & mask == 0)
        return kept
