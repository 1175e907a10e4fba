"""Limits how many events per minute count for a tenant: four times its usual peak minute. Pure: no I/O, no clock.

Anyone with an app's key can invent users, each with pages of their own. This limit bounds what such a key can add to
statistics. The usual peak is learned from events that counted. It grows once a day, by at most `GROWTH_A_DAY` (double
in a week of daily peaks), and halves in four weeks without peaks. Minutes are those of acceptance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

TIMES_USUAL = 4.0
GROWTH_A_DAY = 2.0 ** (1 / 7)
FADE_A_DAY = 2.0 ** (-1 / 28)
MINUTES_KEPT = 30
"""Minutes that can still be added to. Later arrivals for older minutes go to the oldest of these."""
DAY_MINUTES = 1_440
_PEAK_OVER_MEAN = 3.0
"""Ratio of a day's busiest minute to its mean, assumed for a tenant without recorded peaks."""


@dataclass(slots=True)
class UsualPeak:
    """The usual peak of a shard, in events per minute, and the minutes that can still be added to.

    `highest` is the busiest minute of `day` (UTC, since the epoch) so far. `floor`: minimum of the usual peak of any
    shard.
    """

    floor: float
    usual: float = 0.0
    day: int = 0
    highest: int = 0
    minutes: dict[int, int] = field(default_factory=dict)
    """Events counted so far, by minute since the epoch."""

    def admit(self, accepted_at: float, events: int) -> int:
        """Return how many of these events, accepted at a time (seconds since the epoch), count."""
        minute = int(accepted_at // 60)
        if self.minutes:
            minute = max(minute, max(self.minutes) - MINUTES_KEPT + 1)
        self._begin(minute // DAY_MINUTES)
        so_far = self.minutes.get(minute, 0)
        admitted = max(0, min(events, int(self.most) - so_far))
        self.minutes[minute] = so_far + admitted
        if len(self.minutes) > MINUTES_KEPT:
            oldest = max(self.minutes) - MINUTES_KEPT
            self.minutes = {each: counted for each, counted in self.minutes.items() if each > oldest}
        self.highest = max(self.highest, self.minutes.get(minute, 0))
        return admitted

    @property
    def most(self) -> float:
        """Limit of events that count in one minute."""
        return TIMES_USUAL * max(self.floor, self.usual)

    def _begin(self, day: int) -> None:
        """Learn from the finished day when a new one begins."""
        if day <= self.day:
            return
        if self.day:
            usual = max(self.usual, self.floor)
            learned = min(float(self.highest), usual * GROWTH_A_DAY)
            self.usual = max(learned, self.usual * FADE_A_DAY ** min(day - self.day, 10_000))
        self.day, self.highest = day, 0

    def to_json(self) -> dict[str, Any]:
        """Return the stored form."""
        return {
            "usual": self.usual,
            "day": self.day,
            "highest": self.highest,
            "minutes": {str(minute): counted for minute, counted in self.minutes.items()},
        }

    @classmethod
    def from_json(cls, stored: Any, floor: float, busiest_day: float) -> UsualPeak:
        """Read the stored form: the inverse of `to_json`.

        If nothing readable is stored, the usual peak is estimated from the tenant's busiest day of `busiest_day`
        events.
        """
        try:
            minutes = {int(minute): int(counted) for minute, counted in _mapping(stored["minutes"]).items()}
            return cls(floor, float(stored["usual"]), int(stored["day"]), int(stored["highest"]), minutes)
        except (TypeError, KeyError, ValueError):
            return cls(floor, busiest_day / DAY_MINUTES * _PEAK_OVER_MEAN)


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise TypeError
    return value
