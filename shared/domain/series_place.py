"""Position of a video in a series: series, season and episode. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.domain.formats import SERIES_ID

MAX_SEASON, MAX_EPISODE = 10_000, 100_000
UNNUMBERED = 2**31 - 1
"""For a season or an episode without a number; it sorts after every number."""


@dataclass(frozen=True, slots=True)
class SeriesPlace:
    """Position in a series. `series_id` empty: in no series. A number is None if the content team gave none."""

    series_id: str = ""
    season: int | None = None
    episode: int | None = None

    @classmethod
    def from_document(cls, body: Mapping[str, Any]) -> SeriesPlace:
        """Read the position of a stored video. An unreadable series means no series; an unreadable number is left
        out."""
        series_id = body.get("seriesId")
        if not isinstance(series_id, str) or not SERIES_ID.matches(series_id):
            return NO_SERIES
        return cls(series_id, _number(body.get("season"), MAX_SEASON), _number(body.get("episode"), MAX_EPISODE))

    @property
    def order(self) -> tuple[int, int]:
        """Sort key of the videos of a series, before their id."""
        season, episode = self.season, self.episode
        return UNNUMBERED if season is None else season, UNNUMBERED if episode is None else episode

    def shown(self) -> dict[str, Any]:
        """Return the set fields, as they are stored and answered."""
        every = {"seriesId": self.series_id or None, "season": self.season, "episode": self.episode}
        return {name: value for name, value in every.items() if value is not None}


NO_SERIES = SeriesPlace()


def _number(value: object, most: int) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most else None
