"""Evidence of how much better one ranking did than another. Days can be added up, and no user can be identified.

Each day stores two sums, and the same sums in `DRAWS` resamples of the users (Poisson bootstrap: each user counts 0, 1,
2, … times). A hash of the user and the resample's number determines how often a user counts, so it is the same every
day. Pooled over days, the interval is that of a bootstrap over whole users.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.ranking_metrics import Interval

DRAWS = 400
_POISSON = np.cumsum([np.exp(-1.0) / factorial for factorial in (1.0, 1.0, 2.0, 6.0, 24.0, 120.0, 720.0)])


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Evidence of one or several days. `requests`; the sums of ours and theirs; the same sums in every resample,
    (`DRAWS`, 2) float64."""

    requests: int
    ours: float
    theirs: float
    resampled: NDArray[np.float64]

    def lift(self) -> Interval:
        """Return ours / theirs − 1 with its 95 % interval over users; 0 with an infinite interval if theirs is 0."""
        if not self.theirs > 0:
            return Interval(0.0, -np.inf, np.inf)
        low, high = np.percentile(self._lifts(), [2.5, 97.5])
        return Interval(self.ours / self.theirs - 1.0, float(low), float(high))

    def least_lift(self) -> float:
        """Return the one-sided 95 % lower bound of the lift; −∞ if theirs is 0."""
        return float(np.percentile(self._lifts(), 5.0)) if self.theirs > 0 else -np.inf

    def _lifts(self) -> NDArray[np.float64]:
        above, below = self.resampled.T
        lifts: NDArray[np.float64] = np.divide(above, below, out=np.ones_like(above), where=below > 0) - 1.0
        return lifts

    def to_document(self) -> dict[str, Any]:
        """Return the JSON form for a report: sums and resamples."""
        return {
            "requests": self.requests,
            "ours": self.ours,
            "theirs": self.theirs,
            "resampled": np.round(self.resampled, 3).tolist(),
        }

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Evidence:
        """Read the form of `to_document`. Raises KeyError, TypeError or ValueError."""
        resampled = np.array(document["resampled"], np.float64).reshape(DRAWS, 2)
        return cls(int(document["requests"]), float(document["ours"]), float(document["theirs"]), resampled)


def evidence_of(ours: NDArray[np.float64], theirs: NDArray[np.float64], users: NDArray[np.int64]) -> Evidence:
    """Return the evidence of a day; the arrays have one entry per request. `users`: any code that a user has every
    day."""
    who, place = np.unique(users, return_inverse=True)
    sums = np.stack([np.bincount(place, values, len(who)) for values in (ours, theirs)], axis=1)
    return Evidence(len(users), float(ours.sum()), float(theirs.sum()), times_counted(who).T @ sums)


def pooled(days: Iterable[Evidence]) -> Evidence:
    """Return the evidence of several days together."""
    total = Evidence(0, 0.0, 0.0, np.zeros((DRAWS, 2)))
    for day in days:
        total = Evidence(
            total.requests + day.requests,
            total.ours + day.ours,
            total.theirs + day.theirs,
            total.resampled + day.resampled,
        )
    return total


def times_counted(users: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return how often each user counts in each resample, (users, `DRAWS`): Poisson with mean 1."""
    with np.errstate(over="ignore"):
        mixed = users.astype(np.uint64)[:, None] * np.uint64(0x9E3779B97F4A7C15)
        mixed = mixed + np.arange(1, DRAWS + 1, dtype=np.uint64)[None] * np.uint64(0xD1B54A32D192ED03)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):  # the finalizer of SplitMix64
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
        mixed ^= mixed >> np.uint64(31)
    chance = (mixed >> np.uint64(11)).astype(np.float64) / 2.0**53
    return np.searchsorted(_POISSON, chance).astype(np.float64)
