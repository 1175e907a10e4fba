"""Weights the outcomes of exploration slots by 1 / propensity, so that they represent the whole catalog.

A ranking chose all other positions of a page, so their outcomes also reflect that ranking's preferences. The
exploration slot draws its video with a known probability p. An outcome with weight 1 / p estimates what showing any
video would give (inverse propensity weighting; Horvitz & Thompson, 1952). Weights are capped, which adds a little bias
and saves much variance. They are scaled to add up to the number of outcomes (Swaminathan & Joachims, NIPS 2015).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.evidence import times_counted
from learning.ranking_metrics import Interval

Floats = NDArray[np.float64]
MOST_TIMES_MEDIAN = 10.0
"""Cap of a weight, in medians, so that a single rare draw cannot dominate."""
ENOUGH_EFFECTIVE = 100.0
"""With fewer effective outcomes a report gives no figure."""


def explored_weights(propensity: Floats) -> Floats:
    """Return weights of outcomes drawn with these probabilities, all above 0. Their mean is 1."""
    if not len(propensity):
        return np.zeros(0)
    weights = 1.0 / propensity
    weights = np.minimum(weights, MOST_TIMES_MEDIAN * np.median(weights))
    return np.asarray(weights / weights.mean())


def effective_size(weights: Floats) -> float:
    """Return how many equally weighted outcomes hold as much information: (Σw)² / Σw² (Kish, 1965)."""
    squares = float(weights @ weights)
    return float(weights.sum()) ** 2 / squares if squares else 0.0


def weighted_auc(scores: Floats, positive: NDArray[np.bool_], weights: Floats) -> Floats:
    """Return the probability that a positive scores above a negative, ties counted half; one value for each column of
    `weights`, which is (outcomes,) or (outcomes, draws). 0.5 if positives or negatives are missing."""
    _, place = np.unique(scores, return_inverse=True)
    columns = weights.reshape(len(scores), -1)
    won, lost = (np.zeros((int(place.max()) + 1 if len(place) else 1, columns.shape[1])) for _ in range(2))
    np.add.at(won, place[positive], columns[positive])
    np.add.at(lost, place[~positive], columns[~positive])
    below = np.cumsum(lost, axis=0) - lost / 2.0
    pairs = won.sum(axis=0) * lost.sum(axis=0)
    found = np.divide((won * below).sum(axis=0), pairs, out=np.full(len(pairs), 0.5), where=pairs > 0)
    return np.asarray(found)


@dataclass
class ExploredOutcomes:
    """Outcomes of a day's exploration slots, and where each ranking would have placed them.

    `places`: by ranking, the share of the catalog that it ranks below the video, in [0, 1].
    """

    places: dict[str, list[float]]
    long: list[bool] = field(default_factory=list)
    propensity: list[float] = field(default_factory=list)
    user: list[int] = field(default_factory=list)

    def report(self, ours: str, theirs: str) -> dict[str, Any]:
        """Return the number of outcomes, their effective number, how well each ranking predicts long views (AUC; 0.5 is
        chance), and the difference. The AUCs and the difference are None if there are too few outcomes."""
        weights = explored_weights(np.array(self.propensity))
        about = {"shown": len(weights), "longViews": sum(self.long), "effective": round(effective_size(weights), 1)}
        long = np.array(self.long, np.bool_)
        if about["effective"] < ENOUGH_EFFECTIVE or long.all() or not long.any():
            return {**about, "auc": None, "difference": None}
        values = {name: weighted_auc(np.array(self.places[name]), long, weights) for name in (ours, theirs)}
        gap = self.difference(ours, theirs)
        return {
            **about,
            "auc": {name: round(float(value[0]), 4) for name, value in values.items()},
            "difference": [round(edge, 4) for edge in (gap.value, gap.low, gap.high)],
        }

    def difference(self, ours: str, theirs: str) -> Interval:
        """Return AUC of ours less theirs, with its 95 % interval over users."""
        weights, long = explored_weights(np.array(self.propensity)), np.array(self.long, np.bool_)
        drawn = np.column_stack([weights, weights[:, None] * times_counted(np.array(self.user, np.int64))])
        one, other = (weighted_auc(np.array(self.places[name]), long, drawn) for name in (ours, theirs))
        gaps = one - other
        low, high = np.percentile(gaps[1:], [2.5, 97.5])
        return Interval(float(gaps[0]), float(low), float(high))
