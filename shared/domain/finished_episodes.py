"""Stores the furthest episode that a user finished of each series; the feed offers the next one. Pure.

It is beside the packed signals of either version. A release that does not know it ignores it, and drops it when it
writes the signals. Then no episode is offered until the user finishes another one.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

from shared.domain.series_place import UNNUMBERED

MAX_SERIES = 8
_ROW = struct.Struct("<IIIH")
"""Fingerprint of the series, season, episode, day since the epoch."""
ROW_BYTES = _ROW.size


@dataclass(frozen=True, slots=True)
class Finished:
    """Furthest finished episode of a series. `series`: 32 bits of the series' name. `day`: the last on which an episode
    was finished. Season and episode: `UNNUMBERED` without a number."""

    series: int
    season: int
    episode: int
    day: int


@dataclass(frozen=True, slots=True)
class FinishedEpisodes:
    """Finished episodes of up to `MAX_SERIES` series, newest day first."""

    rows: tuple[Finished, ...] = ()

    def with_all(self, more: Iterable[Finished], oldest_day: int) -> FinishedEpisodes:
        """Return a copy with more episodes: the furthest of each series, and none before `oldest_day`. Below the cap,
        the order of adding makes no difference."""
        found: dict[int, Finished] = {}
        for row in (*self.rows, *more):
            known = found.get(row.series, row)
            season, episode = max((known.season, known.episode), (row.season, row.episode))
            found[row.series] = Finished(row.series, season, episode, max(known.day, row.day))
        kept = [row for row in found.values() if row.day >= oldest_day]
        return FinishedEpisodes(tuple(sorted(kept, key=lambda row: (-row.day, row.series))[:MAX_SERIES]))

    def pack(self) -> bytes:
        """Encode as `ROW_BYTES` for each series."""
        return b"".join([_ROW.pack(row.series, row.season, row.episode, row.day) for row in self.rows])

    @classmethod
    def unpack(cls, raw: bytes) -> FinishedEpisodes:
        """Decode the bytes of `pack`. Raises `ValueError` for others."""
        try:
            rows = [Finished(*row) for row in _ROW.iter_unpack(raw)]
        except struct.error as error:
            raise ValueError("rows") from error
        if len(rows) > MAX_SERIES or any(max(row.season, row.episode) > UNNUMBERED for row in rows):
            raise ValueError("rows")
        return cls(tuple(rows))


NONE_FINISHED = FinishedEpisodes()
