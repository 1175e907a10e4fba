"""Fits the weights of a linear model to logged long views, and writes a model version the service loads.

Two terms, both multinomial logits over the candidates of one request (listwise softmax; Cao et al., ICML 2007):
each long view against the other videos of the pool, and, less heavily, against what was shown beside it. The weights
are shrunk towards a prior model (zero for the global one, the global one for a tenant's) with a ridge penalty in units
of each feature's spread.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.replay import DAY, Replay, Visit, features_of
from ranking.model import LinearModel

NEGATIVES = 120
"""Videos of the pool drawn against each request's long views."""
SHOWN_WEIGHT = 1.25
"""What a user's day of shown videos weighs against a request of the pool: enough for the order of what is shown not to
suffer, which a fit to the pool alone would sacrifice."""
SHOWN_WEIGHT_COWATCH = 2.0
"""The same where co-watch says something: it predicts the pool so well that more weight on the shown costs little."""
SHRINK = 1e-3
NOT_LEARNED = (
    "bias",
    "is_mature",
    "editorial_boost",
    "recency",
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
POPULARITY = ("demand_1h", "demand_6h", "demand_24h", "demand_7d", "quality")


@dataclass(frozen=True)
class Samples:
    """Choices to learn from: features (rows, names) float32; the share of the choice's long views each row has (0 for
    the others); how many rows each choice has, what it weighs, and whether it is among shown videos, not in a pool."""

    features: NDArray[np.float32]
    target: NDArray[np.float64]
    sizes: NDArray[np.int64]
    weights: NDArray[np.float64]
    shown: NDArray[np.bool_]
    names: tuple[str, ...]

    def leaving_out(self, name: str) -> Samples:
        """The same choices without one of the features."""
        at = [place for place, known in enumerate(self.names) if known != name]
        names = tuple(self.names[place] for place in at)
        return Samples(self.features[:, at], self.target, self.sizes, self.weights, self.shown, names)

    def weighing_shown(self, weight: float) -> Samples:
        """The same choices with another weight of those among shown videos."""
        weights = np.where(self.shown, weight, 1.0)
        return Samples(self.features, self.target, self.sizes, weights, self.shown, self.names)

    def having(self, name: str) -> Samples:
        """Only the choices in which a feature says something."""
        choice_of = np.repeat(np.arange(len(self.sizes)), self.sizes)
        says = np.bincount(choice_of, self.features[:, self.names.index(name)] != 0, len(self.sizes)) > 0
        rows = says[choice_of]
        return Samples(
            self.features[rows],
            self.target[rows],
            self.sizes[says],
            self.weights[says],
            self.shown[says],
            self.names,
        )


class Collector:
    """Gathers samples while a replay walks. `shown_weight` 0 leaves the shown-only choices out."""

    def __init__(self, names: Sequence[str], seed: int = 0, shown_weight: float = SHOWN_WEIGHT) -> None:
        self.names = tuple(names)
        self._draw = np.random.default_rng(seed)
        self._shown_weight = shown_weight
        self._pools: list[tuple[NDArray[np.float32], NDArray[np.float64]]] = []
        self._shown: dict[tuple[int, int], list[tuple[NDArray[np.float32], NDArray[np.bool_]]]] = {}

    def see(self, replay: Replay, visit: Visit) -> None:
        """Take the long views of a request that its pool holds, with some of what the pool also held; and what was
        shown, to be compared with what else the user was shown that day."""
        if self._shown_weight and visit.unseen.any():
            rows = visit.shown[visit.unseen]
            day = self._shown.setdefault((visit.user, int(visit.now // DAY)), [])
            day.append((features_of(replay, visit, rows, self.names), visit.long[visit.unseen]))
        wanted = np.isin(visit.pool, visit.shown[visit.long])
        if not wanted.any() or wanted.all():
            return
        others = np.flatnonzero(~wanted)
        others = self._draw.choice(others, min(NEGATIVES, len(others)), replace=False)
        rows = np.concatenate([visit.pool[wanted], visit.pool[others]])
        count = int(wanted.sum())
        target = np.r_[np.full(count, 1.0 / count), np.zeros(len(others))]
        self._pools.append((features_of(replay, visit, rows, self.names), target))

    def samples(self) -> Samples:
        """Everything seen so far. Raises ValueError when that is nothing."""
        if not self._pools:
            raise ValueError("No request of the training days has a long view inside its pool: nothing to learn from.")
        choices = list(self._pools)
        for parts in self._shown.values():
            long = np.concatenate([part[1] for part in parts])
            if 0 < long.sum() < len(long):
                choices.append((np.concatenate([part[0] for part in parts]), long / long.sum()))
        sizes = np.array([len(target) for _, target in choices], np.int64)
        shown = np.arange(len(choices)) >= len(self._pools)
        weights = np.where(shown, self._shown_weight, 1.0)
        features, targets = (np.concatenate(column) for column in zip(*choices, strict=True))
        return Samples(features, targets, sizes, weights, shown, self.names)


def fit(samples: Samples, prior: Mapping[str, float] | None = None, shrink: float = SHRINK) -> dict[str, float]:
    """Weights by name that make the logged long views likeliest, shrunk towards `prior`."""
    from scipy.optimize import minimize

    features = samples.features.astype(np.float64)
    spread = features.std(axis=0)
    spread[spread < 1e-5] = 1.0  # constant but for rounding: nothing to learn
    features /= spread
    start = np.array([(prior or {}).get(name, 0.0) for name in samples.names]) * spread
    first = np.concatenate([[0], np.cumsum(samples.sizes)[:-1]])
    choice_of = np.repeat(np.arange(len(samples.sizes)), samples.sizes)
    share = samples.weights / samples.weights.sum()
    row_share = share[choice_of]

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        scores = features @ weights
        scores -= np.maximum.reduceat(scores, first)[choice_of]
        exponents = np.exp(scores)
        totals = np.add.reduceat(exponents, first)
        gap = (exponents / totals[choice_of] - samples.target) * row_share
        away = weights - start
        value = share @ np.log(totals) - (row_share * samples.target) @ scores + shrink * float(away @ away)
        return float(value), features.T @ gap + 2.0 * shrink * away

    bounds = [_bounds(name, float(scale)) for name, scale in zip(samples.names, spread, strict=True)]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 300})
    return {name: round(float(weight), 4) for name, weight in zip(samples.names, found.x / spread, strict=True)}


def _bounds(name: str, spread: float) -> tuple[float | None, float | None]:
    """The lowest and the highest weight a feature may get, in units of its spread."""
    if name in EITHER_WAY:
        return None, None
    least = LEAST.get(name, 0.0) * spread
    most = MOST[name] * spread if name in MOST else None
    return (None, -least) if name in LESS_IS_BETTER else (least, most)


def model_of(
    weights: Mapping[str, float],
    by_hand: Mapping[str, float],
    trained: Mapping[str, object],
    name: str,
    without_cowatch: Mapping[str, float] | None = None,
) -> LinearModel:
    """An immutable model whose version names its content: equal weights, equal version."""
    other = None if without_cowatch is None else {**without_cowatch, **by_hand}
    merged = {**weights, **by_hand}
    digest = hashlib.blake2b(json.dumps([merged, other], sort_keys=True).encode(), digest_size=4).hexdigest()
    return LinearModel.checked(f"{name}-{digest}", merged, trained, other)
