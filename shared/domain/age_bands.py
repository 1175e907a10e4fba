"""Reads age bands such as `13-17` and `65+` into whole years, and compares them by overlap."""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_CHARS = 16
"""A longer text is not an age band."""
LAST_YEAR = 999

_BAND = re.compile(r"([0-9]{1,3}) ?(?:[-–—_] ?([0-9]{1,3})|(\+)|( ))? ?")


class AgeBand(NamedTuple):
    """Ages from `low` to `high`, both included. An open band ends at `LAST_YEAR`."""

    low: int
    high: int

    def overlaps(self, other: AgeBand) -> bool:
        """Whether the bands have an age in common."""
        return self.low <= other.high and other.low <= self.high

    def __str__(self) -> str:
        return f"{self.low}+" if self.high == LAST_YEAR else f"{self.low}-{self.high}"


EVERY_AGE = AgeBand(0, LAST_YEAR)
"""For an unreadable band: it overlaps every band, so every rule about an age applies."""
NO_AGE = AgeBand(-1, -1)
"""Overlaps no band."""


def read_age_band(text: str) -> AgeBand | None:
    """Read `13-17`, `65+` or a single age, with any dash; None for other text.

    `65 ` is read as `65+`: an unescaped plus in a query means a space.
    """
    found = _BAND.fullmatch(text.replace("%2B", "+").replace("%2b", "+").lstrip()) if len(text) <= MAX_CHARS else None
    if found is None:
        return None
    first, last, plus, space = found.groups()
    low = int(first)
    high = int(last) if last else LAST_YEAR if plus or space or text.endswith(" ") else low
    return AgeBand(low, high) if low <= high else None


def bands_named(texts: tuple[str, ...]) -> frozenset[AgeBand]:
    """Read stored age bands. An unreadable one becomes `NO_AGE`, so that the list does not become empty."""
    return frozenset(read_age_band(text) or NO_AGE for text in texts)
