"""Age bands such as `13-17` and `65+`: read into whole years, compared by overlap."""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_CHARS = 16
"""Longer texts are no age bands."""
LAST_YEAR = 999

_BAND = re.compile(r"([0-9]{1,3}) ?(?:[-–—_] ?([0-9]{1,3})|(\+)|( ))? ?")


class AgeBand(NamedTuple):
    """Ages from `low` to `high`, both included; a band without an end goes on to `LAST_YEAR`."""

    low: int
    high: int

    def overlaps(self, other: AgeBand) -> bool:
        """Whether somebody can be in both."""
        return self.low <= other.high and other.low <= self.high

    def __str__(self) -> str:
        return f"{self.low}+" if self.high == LAST_YEAR else f"{self.low}-{self.high}"


EVERY_AGE = AgeBand(0, LAST_YEAR)
"""Stands for a band that cannot be read: whatever is meant for some age is meant for it too."""
NO_AGE = AgeBand(-1, -1)
"""Overlaps no band."""


def read_age_band(text: str) -> AgeBand | None:
    """Read `13-17`, `65+` or a single age, with any dash; None when that cannot be done.

    `65 ` is `65+` whose plus nobody escaped: in a query it means a space.
    """
    found = _BAND.fullmatch(text.replace("%2B", "+").replace("%2b", "+").lstrip()) if len(text) <= MAX_CHARS else None
    if found is None:
        return None
    first, last, plus, space = found.groups()
    low = int(first)
    high = int(last) if last else LAST_YEAR if plus or space or text.endswith(" ") else low
    return AgeBand(low, high) if low <= high else None


def bands_named(texts: tuple[str, ...]) -> frozenset[AgeBand]:
    """Stored age bands; one that cannot be read overlaps none, so that a list never becomes empty by it."""
    return frozenset(read_age_band(text) or NO_AGE for text in texts)
