"""Counts how often each video was counted for one user today, which the daily caps limit: a sketch of 132 bytes. Pure.

A video's fingerprint selects one of 256 counters of 4 bits. Two videos can share a counter, so a video can reach its
cap too early, never too late. Only the newest day is kept; a late event of an earlier day counts on the newest.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

COUNTERS = 256
MOST = 15
"""Largest value of a counter: no cap can be higher."""

_DAY = struct.Struct("<I")
_NIBBLES = COUNTERS // 2
MAX_BYTES = _DAY.size + _NIBBLES
_NONE = bytes(_NIBBLES)


@dataclass(frozen=True, slots=True)
class DailyCounts:
    """The counters of one `day` (UTC, since the epoch), two a byte, the even one in the low bits."""

    day: int = 0
    packed: bytes = _NONE

    def of(self, day: int, video: int) -> int:
        """Return the count of a video (by fingerprint) and of those that share its counter, up to `MOST`."""
        if day > self.day:
            return 0
        index = video % COUNTERS
        return self.packed[index >> 1] >> 4 * (index & 1) & MOST

    def with_counted(self, day: int, video: int, amount: int = 1) -> DailyCounts:
        """Return a copy with an amount added for a video. A newer day starts at zero."""
        day = max(day, self.day)
        index = video % COUNTERS
        counts = bytearray(self.packed if day == self.day else _NONE)
        shift = 4 * (index & 1)
        counted = min(MOST, (counts[index >> 1] >> shift & MOST) + amount)
        counts[index >> 1] = counts[index >> 1] & ~(MOST << shift) | counted << shift
        return DailyCounts(day, bytes(counts))

    def with_all(self, day: int, amounts: Mapping[int, int]) -> DailyCounts:
        """Return a copy with an amount, which can be negative, added for each video."""
        day = max(day, self.day)
        counts = bytearray(self.packed if day == self.day else _NONE)
        for video, amount in amounts.items():
            index = video % COUNTERS
            shift = 4 * (index & 1)
            counted = max(0, min(MOST, (counts[index >> 1] >> shift & MOST) + amount))
            counts[index >> 1] = counts[index >> 1] & ~(MOST << shift) | counted << shift
        return DailyCounts(day, bytes(counts))

    def until(self, day: int) -> DailyCounts:
        """Return a copy in which a day after `day` is replaced by `day`."""
        return self if self.day <= day else DailyCounts(day, self.packed)

    def pack(self) -> bytes:
        """Encode as `MAX_BYTES` bytes; empty without counts."""
        return _DAY.pack(self.day) + self.packed if self.day else b""

    @classmethod
    def unpack(cls, raw: bytes) -> DailyCounts:
        """Decode the bytes of `pack`. Raises `ValueError` for others."""
        if not raw:
            return cls()
        if len(raw) != MAX_BYTES:
            raise ValueError("daily counts of another length")
        return cls(_DAY.unpack_from(raw)[0], raw[_DAY.size :])
