"""The furthest episode that a user finished of each series: after it the next one is offered. Pure.

It stands beside the packed signals of either version. A release that does not know it passes it over, and drops it when
it writes the signals: then no episode is offered until the next one is finished.
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
    """`series`: 32 bits of the series' name. `day`: the newest on which one of its episodes was finished. Season and
    episode as they are sorted: `UNNUMBERED` without a number."""

    series: int
    season: int
    episode: int
    day: int


@dataclass(frozen=True, slots=True)
class FinishedEpisodes:
    """At most `MAX_SERIES` series, those with the newest day first."""

    rows: tuple[Finished, ...] = ()

    def with_all(self, more: Iterable[Finished], oldest_day: int) -> FinishedEpisodes:
        """With more episodes: of each series the furthest, and nothing from before a day. Below the cap any order of
        adding gives the same."""
        found: dict[int, Finished] = {}
        for row in (*self.rows, *more):
            known = found.get(row.series, row)
            season, episode = max((known.season, known.episode), (row.season, row.episode))
            found[row.series] = Finished(row.series, season, episode, max(known.day, row.day))
        kept = [row for row in found.values() if row.day >= oldest_day]
        return FinishedEpisodes(tuple(sorted(kept, key=lambda row: (-row.day, row.series))[:MAX_SERIES]))

    def pack(self) -> bytes:
        """`ROW_BYTES` for each series."""
        return b"".join([_ROW.pack(row.series, row.season, row.episode, row.day) for row in self.rows])

    @classmethod
    def unpack(cls, raw: bytes) -> FinishedEpisodes:
        """The inverse. Raises `ValueError`."""
        try:
            rows = [Finished(*row) for row in _ROW.iter_unpack(raw)]
        except struct.error as error:
            raise ValueError("rows") from error
        if len(rows) > MAX_SERIES or any(max(row.season, row.episode) > UNNUMBERED for row in rows):
            raise ValueError("rows")
        return cls(tuple(rows))


NONE_FINISHED = FinishedEpisodes()
