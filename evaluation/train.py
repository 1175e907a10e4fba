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

from evaluation.replay import Replay, Visit, features_of
from ranking.model import LinearModel

NEGATIVES = 120
"""Videos of the pool drawn against each request's long views."""
SHRINK = 1e-3
NOT_LEARNED = ("bias", "is_mature", "editorial_boost", "recency", "language_match", "country_match")
"""Features that are the editors' business, or that this kind of log cannot teach; their weights are set by hand."""
POPULARITY = ("demand_1h", "demand_6h", "demand_24h", "demand_7d", "quality")


@dataclass(frozen=True)
class Samples:
    """Requests to learn from: features (rows, names) float32, the share of the request's long views each row has (0 for
    the others), and how many rows each request has."""

    features: NDArray[np.float32]
    target: NDArray[np.float64]
    sizes: NDArray[np.int64]
    names: tuple[str, ...]

    def leaving_out(self, name: str) -> Samples:
        """The same requests without one of the features."""
        at = [place for place, known in enumerate(self.names) if known != name]
        return Samples(self.features[:, at], self.target, self.sizes, tuple(self.names[place] for place in at))

    def having(self, name: str) -> Samples:
        """Only the requests in which a feature says something."""
        request_of = np.repeat(np.arange(len(self.sizes)), self.sizes)
        says = np.bincount(request_of, self.features[:, self.names.index(name)] != 0, len(self.sizes)) > 0
        return Samples(self.features[says[request_of]], self.target[says[request_of]], self.sizes[says], self.names)


class Collector:
    """Gathers samples while a replay walks."""

    def __init__(self, names: Sequence[str], seed: int = 0) -> None:
        self.names = tuple(names)
        self._draw = np.random.default_rng(seed)
        self._features: list[NDArray[np.float32]] = []
        self._target: list[NDArray[np.float64]] = []

    def see(self, replay: Replay, visit: Visit) -> None:
        """Take the long views of a request that its pool holds, and some of what the pool also held."""
        wanted = np.isin(visit.pool, visit.shown[visit.long])
        if not wanted.any() or wanted.all():
            return
        others = np.flatnonzero(~wanted)
        others = self._draw.choice(others, min(NEGATIVES, len(others)), replace=False)
        rows = np.concatenate([visit.pool[wanted], visit.pool[others]])
        count = int(wanted.sum())
        self._features.append(features_of(replay, visit, rows, self.names))
        self._target.append(np.r_[np.full(count, 1.0 / count), np.zeros(len(others))])

    def samples(self) -> Samples:
        """Everything seen so far. Raises ValueError when that is nothing."""
        if not self._features:
            raise ValueError("No request of the training days has a long view inside its pool: nothing to learn from.")
        sizes = np.array([len(target) for target in self._target], np.int64)
        return Samples(np.concatenate(self._features), np.concatenate(self._target), sizes, self.names)


def fit(samples: Samples, prior: Mapping[str, float] | None = None, shrink: float = SHRINK) -> dict[str, float]:
    """Weights by name that make the logged long views likeliest, shrunk towards `prior`."""
    from scipy.optimize import minimize

    features = samples.features.astype(np.float64)
    spread = features.std(axis=0)
    spread[spread < 1e-9] = 1.0
    features /= spread
    start = np.array([(prior or {}).get(name, 0.0) for name in samples.names]) * spread
    requests = len(samples.sizes)
    first = np.concatenate([[0], np.cumsum(samples.sizes)[:-1]])
    request_of = np.repeat(np.arange(requests), samples.sizes)

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        scores = features @ weights
        scores -= np.maximum.reduceat(scores, first)[request_of]
        exponents = np.exp(scores)
        totals = np.add.reduceat(exponents, first)
        gap = exponents / totals[request_of] - samples.target
        away = weights - start
        value = (np.log(totals).sum() - (samples.target * scores).sum()) / requests + shrink * float(away @ away)
        return float(value), features.T @ gap / requests + 2.0 * shrink * away

    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 300})
    return {name: round(float(weight), 4) for name, weight in zip(samples.names, found.x / spread, strict=True)}


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
