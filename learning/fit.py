"""Fits the weights of a linear model to logged long views, and writes a model version the service loads.

Two terms, both multinomial logits over the candidates of one request (listwise softmax; Cao et al., ICML 2007):
each long view against the other videos of the catalog, and, less heavily, against what was shown beside it. The weights
are shrunk towards a prior model (zero for the global one, the global one for a tenant's) with a ridge penalty in units
of each feature's spread.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from learning.samples import Samples
from learning.stopping import check
from ranking.model import LinearModel

Doubles = NDArray[np.float64]

SHOWN_WEIGHT = 5.0
"""What a user's day of shown videos weighs against a request: enough for the order of what is shown not to
suffer, which a fit to the catalog alone would sacrifice."""
SHOWN_WEIGHT_NEXT_WATCH = 10.0
"""The same where next watch says something: it predicts so well that more weight on the shown costs little."""
SHRINK = 1e-3
ROWS_AT_ONCE = 100_000
"""Rows of samples that are worked on together; the rest stays in the four bytes a value that it has."""
MOST_STEPS, MOST_SWEEPS = 60, 2_000
NOT_LEARNED = (
    "bias",
    "is_mature",
    "editorial_boost",
    "recency",
    "follows_creator",
    "follows_category",
    "language_match",
    "country_match",
    "age_band_match",
    "platform_match",
)
"""Features that are the editors' business, or that this kind of log cannot teach; their weights are set by hand."""
LESS_IS_BETTER = ("skip_rate", "category_skips", "recent_skips")
EITHER_WAY = ("duration", "popularity_taste")
LEAST = {"recent_category": 0.3, "category_skips": 0.1, "recent_skips": 0.3}
"""What a weight must be at least, in its direction, whatever the log says: a skip has to count, and so has
what was watched last, of which a log with two exposures a session says nothing.

Every other feature must not harm (or, for `LESS_IS_BETTER`, not help). A log shows only what its own policy chose to
show, so in it whatever marks that choice looks good: a free fit rewards categories a user just skipped, because that
policy kept showing them. Serving such a model would feed people what they swipe away.
"""
MOST = {"recent_creator": 2.0}
"""What a weight must be at most: where creators have one or two videos each, a log says to repeat them at any price,
and elsewhere one long view would fill the page with its creator."""
LARGEST = 20.0
"""What a learned weight must be at most, either way: features are of the order of one, and so are weights."""
LEAST_SPREAD = 1e-3
LIMITS_NEXT_WATCH: Mapping[str, tuple[float, float]] = {
    "demand_1h": (0.3, LARGEST),
    "quality": (1.2, LARGEST),
    "creator_affinity": (0.0, 0.15),
}
"""Lowest and highest weights where next watch says something.

So much weight on what was shown makes a fit forget the catalog: everything shown was in demand, so demand tells nothing
there, and without its weight the pages fill with videos that nobody watches. Quality, long views per impression, tells
what was watched from what was only shown, so the more of it, the less a ranking imitates the old policy. A creator
of one or two videos is repeated at any price, as with `recent_creator`. Chosen on the sample's training days.
"""
POPULARITY = ("demand_1h", "demand_6h", "demand_24h", "demand_7d", "quality")


def fit(
    samples: Samples,
    prior: Mapping[str, float] | None = None,
    shrink: float = SHRINK,
    limits: Mapping[str, tuple[float, float]] | None = None,
) -> dict[str, float]:
    """Weights by name that make the logged long views likeliest, shrunk towards `prior`.

    `limits`: the lowest and the highest weight of some features, instead of what holds for all fits.
    """
    spread = _spread(samples.features)
    start = np.array([(prior or {}).get(name, 0.0) for name in samples.names]) * spread
    edges = np.array([_bounds(name, limits or {}) for name in samples.names]).reshape(-1, 2) * spread[:, None]
    likelihood = _Likelihood(samples, spread)

    def objective(weights: Doubles) -> tuple[float, Doubles, Doubles]:
        value, gradient, curvature = likelihood.at(weights)
        away = weights - start
        value += shrink * float(away @ away)
        return value, gradient + 2.0 * shrink * away, curvature + 2.0 * shrink * np.eye(len(weights))

    found = minimize_in_box(objective, start, edges[:, 0], edges[:, 1])
    return {name: round(float(weight), 4) for name, weight in zip(samples.names, found / spread, strict=True)}


def _spread(features: NDArray[np.float32]) -> Doubles:
    """The standard deviation of each feature; 1 where it is constant but for rounding or a handful of rows: nothing to
    learn, and a weight that made something of it would be out of all proportion."""
    count = max(1, len(features))
    mean = features.sum(axis=0, dtype=np.float64) / count
    squares = sum(
        (np.square(features[i : i + ROWS_AT_ONCE] - mean).sum(axis=0) for i in range(0, len(features), ROWS_AT_ONCE)),
        np.zeros(features.shape[1]),
    )
    spread: Doubles = np.sqrt(squares / count)
    spread[spread < LEAST_SPREAD] = 1.0
    return spread


class _Likelihood:
    """Mean negative log-likelihood of the choices, its gradient and its second derivatives.

    Works through the samples some rows at a time, so memory stays at that of the samples.
    """

    def __init__(self, samples: Samples, spread: Doubles) -> None:
        self._samples, self._spread = samples, spread
        self._share = samples.weights / samples.weights.sum()
        ends = np.cumsum(samples.sizes)
        cuts = np.searchsorted(ends, np.arange(ROWS_AT_ONCE, ends[-1] + ROWS_AT_ONCE, ROWS_AT_ONCE), side="right")
        edges = np.unique(np.r_[0, np.minimum(cuts, len(ends)), len(ends)])
        self._parts = [(int(low), int(high)) for low, high in pairwise(edges)]
        self._starts = np.r_[0, ends]

    def at(self, weights: Doubles) -> tuple[float, Doubles, Doubles]:
        value, size = 0.0, len(weights)
        gradient, curvature = np.zeros(size), np.zeros((size, size))
        for low, high in self._parts:
            rows = slice(self._starts[low], self._starts[high])
            features = self._samples.features[rows] / self._spread
            target, share = self._samples.target[rows], self._share[low:high]
            first = self._starts[low:high] - self._starts[low]
            choice_of = np.repeat(np.arange(high - low), self._samples.sizes[low:high])
            scores = features @ weights + self._samples.stands_for[rows]
            scores -= np.maximum.reduceat(scores, first)[choice_of]
            exponents = np.exp(scores)
            totals = np.add.reduceat(exponents, first)
            chances = exponents / totals[choice_of]
            row_share = share[choice_of]
            value += float(share @ np.log(totals) - (row_share * target) @ scores)
            gradient += features.T @ ((chances - target) * row_share)
            means = np.add.reduceat(features * chances[:, None], first)
            curvature += features.T @ (features * (chances * row_share)[:, None]) - means.T @ (means * share[:, None])
        return value, gradient, curvature


def minimize_in_box(
    objective: Callable[[Doubles], tuple[float, Doubles, Doubles]], start: Doubles, least: Doubles, most: Doubles
) -> Doubles:
    """The minimum of a convex function between bounds, by Newton steps of which each ends inside them.

    `objective` gives value, gradient and second derivatives.
    """
    at = np.clip(start, least, most)
    value, gradient, curvature = objective(at)
    for _ in range(MOST_STEPS):
        check()
        step = _newton_step(gradient, curvature, least - at, most - at)
        slope = float(gradient @ step)
        if slope > -1e-12 * max(1.0, abs(value)):
            break
        length = 1.0
        while (found := objective(at + length * step))[0] > value + 1e-4 * length * slope and length > 1e-6:
            length /= 2.0
        if found[0] >= value:
            break
        at = np.clip(at + length * step, least, most)
        value, gradient, curvature = found
    return at


def _newton_step(gradient: Doubles, curvature: Doubles, least: Doubles, most: Doubles) -> Doubles:
    """The step that minimizes the quadratic model between bounds, one weight after another until none moves."""
    step, slope = np.zeros(len(gradient)), gradient.copy()
    scale = np.maximum(np.diag(curvature), 1e-12)
    for _ in range(MOST_SWEEPS):
        farthest = 0.0
        for place in range(len(step)):
            new = min(max(step[place] - slope[place] / scale[place], least[place]), most[place])
            moved = new - step[place]
            if moved:
                step[place] = new
                slope += curvature[place] * moved
                farthest = max(farthest, abs(moved))
        if farthest < 1e-10:
            break
    return step


def _bounds(name: str, limits: Mapping[str, tuple[float, float]]) -> tuple[float, float]:
    """The lowest and the highest weight a feature may get."""
    if name in limits:
        return limits[name]
    least, most = LEAST.get(name, 0.0), MOST.get(name, LARGEST)
    if name in EITHER_WAY:
        return -most, most
    return (-most, -least) if name in LESS_IS_BETTER else (least, most)


def model_of(
    weights: Mapping[str, float],
    by_hand: Mapping[str, float],
    trained: Mapping[str, object],
    name: str,
    without_next_watch: Mapping[str, float] | None = None,
) -> LinearModel:
    """An immutable model whose version names its content: equal weights, equal version."""
    other = None if without_next_watch is None else {**without_next_watch, **by_hand}
    merged = {**weights, **by_hand}
    digest = hashlib.blake2b(json.dumps([merged, other], sort_keys=True).encode(), digest_size=4).hexdigest()
    return LinearModel.checked(f"{name}-{digest}", merged, trained, other)
