"""Fits the weights of a linear model to logged long views, and returns a model version that the service can load.

The loss has two terms. Both are multinomial logits over the candidates of one request (listwise softmax; Cao et al.,
ICML 2007): each long view against other videos of the catalog and, with another weight, against the videos shown beside
it. The weights are shrunk towards a prior model (zero for the global one, the global one for a tenant's) with a ridge
penalty in units of each feature's spread.
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
"""Weight of a user's day of shown videos relative to a request. Enough to keep the order of shown videos right, which a
fit to the catalog alone would sacrifice."""
SHOWN_WEIGHT_NEXT_WATCH = 10.0
"""The same if next watch has a value. It predicts so well that more weight on shown videos costs little."""
SHRINK = 1e-3
ROWS_AT_ONCE = 100_000
"""Rows of samples that are processed together in float64; the others stay in float32."""
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
"""Features that editors control, or that this kind of log cannot teach. Their weights are set by hand."""
LESS_IS_BETTER = ("skip_rate", "category_skips", "recent_skips")
EITHER_WAY = ("duration", "popularity_taste")
LEAST = {"recent_category": 0.3, "category_skips": 0.1, "recent_skips": 0.3}
"""Lower bounds of some weights, in their direction, whatever the log says. A skip must count. So must the last watched
category, which a log with two exposures per session cannot show.

Every other feature must not harm (or, for `LESS_IS_BETTER`, not help). A log only shows what its own policy chose to
show, so features of that choice look good. A free fit rewards categories that a user just skipped, because that policy
kept showing them. Such a model would show users what they skip.
"""
MOST = {"recent_creator": 2.0}
"""Upper bounds of some weights. If creators have one or two videos each, a log seems to say that they must be repeated.
With more videos per creator, one long view would then fill the page with its creator."""
LARGEST = 20.0
"""Largest absolute value of a learned weight. Features are of the order of one, and so are weights."""
LEAST_SPREAD = 1e-3
LIMITS_NEXT_WATCH: Mapping[str, tuple[float, float]] = {
    "demand_1h": (0.3, LARGEST),
    "quality": (1.2, LARGEST),
    "creator_affinity": (0.0, 0.15),
}
"""Bounds of some weights if next watch has a value.

With so much weight on shown videos a fit neglects the catalog: all shown videos were in demand, so demand has no effect
among them. Without its weight, pages would fill with videos that nobody watches. Quality (long views per impression)
separates watched from merely shown videos, so a higher weight makes a ranking imitate the old policy less. Creators
with one or two videos would be repeated too often, as with `recent_creator`. Chosen on the sample's training days.
"""
POPULARITY = ("demand_1h", "demand_6h", "demand_24h", "demand_7d", "quality")


def fit(
    samples: Samples,
    prior: Mapping[str, float] | None = None,
    shrink: float = SHRINK,
    limits: Mapping[str, tuple[float, float]] | None = None,
) -> dict[str, float]:
    """Return weights by name that maximize the likelihood of the logged long views, shrunk towards `prior`.

    `limits`: lower and upper bounds of some features' weights, in place of the bounds for all fits.
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
    """Return the standard deviation of each feature; 1 if it is constant except for rounding or a few rows. Such a
    feature cannot be learned, and its weight would become far too large."""
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

    Processes the samples some rows at a time, to need little memory beside the samples.
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
    """Return the minimum of a convex function between bounds, by Newton steps that stay inside them.

    `objective` returns value, gradient and second derivatives.
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
    """Return the step that minimizes the quadratic model between bounds, by coordinate descent."""
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
    """Return the lower and upper bound of a feature's weight."""
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
    """Return an immutable model whose version contains a hash of its weights: equal weights have equal versions."""
    other = None if without_next_watch is None else {**without_next_watch, **by_hand}
    merged = {**weights, **by_hand}
    digest = hashlib.blake2b(json.dumps([merged, other], sort_keys=True).encode(), digest_size=4).hexdigest()
    return LinearModel.checked(f"{name}-{digest}", merged, trained, other)
