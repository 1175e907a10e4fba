"""Counts how often each video was counted for one user today, which the daily caps limit: a sketch of 132 bytes. Pure.

256 counters of 4 bits, each video at the one that its fingerprint names. Two videos can share a counter, so a video may
reach its cap too early, never too late. Only one day is kept, the newest: what belongs to an earlier day, such as an
event that came late, is counted on the newest.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

COUNTERS = 256
MOST = 15
"""What one counter holds at most: no cap can be higher."""

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
        """Count of a video (by fingerprint) and of those that share its counter; at most `MOST`."""
        if day > self.day:
            return 0
        index = video % COUNTERS
        return self.packed[index >> 1] >> 4 * (index & 1) & MOST

    def with_counted(self, day: int, video: int, amount: int = 1) -> DailyCounts:
        """These with an amount added for a video. A newer day starts at zero."""
        day = max(day, self.day)
        index = video % COUNTERS
        counts = bytearray(self.packed if day == self.day else _NONE)
        shift = 4 * (index & 1)
        counted = min(MOST, (counts[index >> 1] >> shift & MOST) + amount)
        counts[index >> 1] = counts[index >> 1] & ~(MOST << shift) | counted << shift
        return DailyCounts(day, bytes(counts))

    def with_all(self, day: int, amounts: Mapping[int, int]) -> DailyCounts:
        """These with an amount, which may be negative, added for each of some videos."""
        day = max(day, self.day)
        counts = bytearray(self.packed if day == self.day else _NONE)
        for video, amount in amounts.items():
            index = video % COUNTERS
            shift = 4 * (index & 1)
            counted = max(0, min(MOST, (counts[index >> 1] >> shift & MOST) + amount))
            counts[index >> 1] = counts[index >> 1] & ~(MOST << shift) | counted << shift
        return DailyCounts(day, bytes(counts))

    def until(self, day: int) -> DailyCounts:
        """These with a day that is still to come taken for `day`."""
        return self if self.day <= day else DailyCounts(day, self.packed)

    def pack(self) -> bytes:
        """`MAX_BYTES`; empty while nothing was counted."""
        return _DAY.pack(self.day) + self.packed if self.day else b""

    @classmethod
    def unpack(cls, raw: bytes) -> DailyCounts:
        """The inverse of `pack`. Raises `ValueError` for anything else."""
        if not raw:
            return cls()
        if len(raw) != MAX_BYTES:
            raise ValueError("daily counts of another length")
        return cls(_DAY.unpack_from(raw)[0], raw[_DAY.size :])
