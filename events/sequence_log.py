"""Records which sequence numbers of a session the statistics hold. Pure.

The numbers of a session have gaps, since all sessions of a subscription share one counter. So the last number does not
tell about lower ones: a message can arrive after messages with higher numbers. The shard's document therefore keeps the
numbers of the ranges written last. Of older ranges it keeps only the highest number.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

KEEP_NUMBERS = 8_000
"""Twice as many as one write takes: the range written last is always complete."""
KEEP_RANGES = 64


@dataclass(frozen=True, slots=True)
class Range:
    """The messages of one write, ascending, and the blob they are archived in (empty for none)."""

    numbers: NDArray[np.int64]
    blob: str

    def __contains__(self, number: int) -> bool:
        at = int(np.searchsorted(self.numbers, number))
        return at < len(self.numbers) and int(self.numbers[at]) == number

    def is_of(self, numbers: Iterable[int]) -> bool:
        """Tell whether the range has exactly these numbers, which are ascending."""
        return list(numbers) == [int(number) for number in self.numbers]


@dataclass(frozen=True, slots=True)
class SequenceLog:
    """Ranges in the order they were written. Nothing is known about numbers up to `floor` that no range holds."""

    ranges: tuple[Range, ...] = ()
    floor: int = 0

    def holds(self, numbers: Sequence[int]) -> list[bool]:
        """Tell for each number whether a range holds it. A number up to `floor` that no range holds can have been added
        long ago."""
        if not self.ranges:
            return [False] * len(numbers)
        known = np.concatenate([each.numbers for each in self.ranges])
        found: list[bool] = np.isin(np.array(numbers, np.int64), known).tolist()
        return found

    def with_range(self, numbers: Sequence[int], blob: str) -> SequenceLog:
        """Return the log with one more range, without the oldest ones beyond the limits."""
        ranges = [*self.ranges, Range(np.array(sorted(numbers), np.int64), blob)]
        floor = self.floor
        while len(ranges) > KEEP_RANGES or (len(ranges) > 1 and sum(len(r.numbers) for r in ranges) > KEEP_NUMBERS):
            floor = max(floor, int(ranges.pop(0).numbers[-1]))
        return SequenceLog(tuple(ranges), floor)

    def to_json(self) -> list[Any]:
        """Return the stored form for the shard's document."""
        return [self.floor, [[_packed(each.numbers), each.blob] for each in self.ranges]]

    @classmethod
    def from_json(cls, stored: Any) -> SequenceLog | None:
        """Read the stored form: the inverse of `to_json`. None if there is none or it cannot be read."""
        try:
            floor, ranges = stored
            return cls(tuple(Range(_unpacked(packed), str(blob)) for packed, blob in ranges), int(floor))
        except (TypeError, ValueError, zlib.error):
            return None


def _packed(numbers: NDArray[np.int64]) -> list[Any]:
    """Return the first number, the bytes per difference, and the compressed differences."""
    steps = np.diff(numbers)
    width = next(width for width in (1, 2, 4, 8) if not len(steps) or int(steps.max()) < 2 ** (8 * width - 1))
    packed = zlib.compress(steps.astype(f"<i{width}").tobytes(), 9) if len(steps) else b""
    return [int(numbers[0]), width, base64.b64encode(packed).decode()]


def _unpacked(stored: list[Any]) -> NDArray[np.int64]:
    first, width, text = stored
    packed = base64.b64decode(text, validate=True)
    steps = np.frombuffer(zlib.decompress(packed), f"<i{int(width)}") if packed else np.zeros(0, np.int64)
    return np.concatenate([[int(first)], int(first) + np.cumsum(steps, dtype=np.int64)])
