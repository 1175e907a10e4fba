"""How many events a minute statistics count of a tenant: four times its usual peak minute. Pure: no I/O, no clock.

Whoever has an app's key can invent users, each with pages of their own. What such a key can move is bounded here, where
statistics are written. The usual peak is learned from what counted: it grows once a day, by at most `GROWTH_A_DAY`
(double in a week of peaks every day), and halves in four weeks without one. Minutes are those of acceptance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

TIMES_USUAL = 4.0
GROWTH_A_DAY = 2.0 ** (1 / 7)
FADE_A_DAY = 2.0 ** (-1 / 28)
MINUTES_KEPT = 30
"""Of minutes that are still added to. What comes later still goes to the oldest of them."""
DAY_MINUTES = 1_440
_PEAK_OVER_MEAN = 3.0
"""How much busier the busiest minute of a day is than its mean, for a tenant whose peaks nobody has watched yet."""


@dataclass(slots=True)
class UsualPeak:
    """The usual peak of a shard, in events a minute, and the minutes that are still added to.

    `highest` is the busiest minute of `day` (UTC, since the epoch) so far. `floor`: what every shard may have as its
    usual peak.
    """

    floor: float
    usual: float = 0.0
    day: int = 0
    highest: int = 0
    minutes: dict[int, int] = field(default_factory=dict)
    """What has counted so far, by minute since the epoch."""

    def admit(self, accepted_at: float, events: int) -> int:
        """How many of so many events, accepted at a time (seconds since the epoch), count."""
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
        """Events that count in one minute."""
        return TIMES_USUAL * max(self.floor, self.usual)

    def _begin(self, day: int) -> None:
        """Learn from the day that is over."""
        if day <= self.day:
            return
        if self.day:
            usual = max(self.usual, self.floor)
            learned = min(float(self.highest), usual * GROWTH_A_DAY)
            self.usual = max(learned, self.usual * FADE_A_DAY ** min(day - self.day, 10_000))
        self.day, self.highest = day, 0

    def to_json(self) -> dict[str, Any]:
        """The stored shape."""
        return {
            "usual": self.usual,
            "day": self.day,
            "highest": self.highest,
            "minutes": {str(minute): counted for minute, counted in self.minutes.items()},
        }

    @classmethod
    def from_json(cls, stored: Any, floor: float, busiest_day: float) -> UsualPeak:
        """The inverse of `to_json`.

        Where nothing is stored (a tenant from before, or a damaged field), a usual peak is taken from its busiest day:
        `busiest_day` events.
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
