"""Offline metrics over plain arrays, and paired bootstrap intervals over clusters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
PLACES = 20
_DISCOUNT = 1.0 / np.log2(np.arange(2, PLACES + 2))


def ndcg(hits: NDArray[np.bool_], relevant: int) -> float:
    """Return NDCG@20 of binary relevance: `hits` by position, `relevant` in the whole pool (Järvelin & Kekäläinen,
    2002)."""
    hits = hits[:PLACES]
    best = float(_DISCOUNT[: min(PLACES, relevant)].sum())
    return float(_DISCOUNT[: len(hits)][hits].sum()) / best if best else 0.0


def ndcg_of_places(places: Floats, deepest: int) -> float:
    """Return NDCG from the relevant videos' 0-based positions; those from `deepest` on gain nothing."""
    best = float((1.0 / np.log2(np.arange(2, min(deepest, len(places)) + 2))).sum())
    return float((1.0 / np.log2(places[places < deepest] + 2.0)).sum()) / best if best else 0.0


def hit_rate(hits: NDArray[np.bool_]) -> float:
    """Return 1 if a relevant video is among the first 20, else 0."""
    return float(hits[:PLACES].any())


def average_precision(hits: NDArray[np.bool_], relevant: int) -> float:
    """Return AP@20; its mean over requests is MAP."""
    places = np.flatnonzero(hits[:PLACES])
    if not len(places):
        return 0.0
    return float((np.arange(1, len(places) + 1) / (places + 1)).sum()) / min(PLACES, relevant)


def auc(scores: Floats, positive: NDArray[np.bool_]) -> float:
    """Return the probability that a positive scores above a negative, ties counted half. Needs one of each."""
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2.0)[place]
    wins, losses = int(positive.sum()), int((~positive).sum())
    return float((ranks[positive].sum() - wins * (wins + 1) / 2) / (wins * losses))


def gini(counts: Floats) -> float:
    """Return the inequality of exposure: 0 if equal, near 1 if one video has everything."""
    ordered = np.sort(counts)
    total = float(ordered.sum())
    if not total:
        return 0.0
    places = np.arange(1, len(ordered) + 1)
    return float(2.0 * (places * ordered).sum() / (len(ordered) * total) - (len(ordered) + 1) / len(ordered))


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval."""

    value: float
    low: float
    high: float


def lift_interval(
    ours: Floats, theirs: Floats, clusters: NDArray[np.int64], *, weights: Floats | None = None, seed: int = 0
) -> Interval:
    """Return mean(ours) / mean(theirs) − 1 with a paired percentile bootstrap over whole clusters (users, days; 2,000
    draws).

    `weights`: of each entry in the means, such as a group's exposures.
    """
    a, b = _sums(ours, clusters, weights), _sums(theirs, clusters, weights)
    counts = _draws(len(a), seed)
    above, below = counts @ a, counts @ b
    lifts = np.divide(above, below, out=np.ones_like(above), where=below > 0) - 1.0
    value = float(a.sum() / b.sum() - 1.0) if b.sum() else 0.0
    return Interval(value, *(float(edge) for edge in np.percentile(lifts, [2.5, 97.5])))


def difference_interval(
    ours: Floats, theirs: Floats, clusters: NDArray[np.int64], *, weights: Floats | None = None, seed: int = 0
) -> Interval:
    """Return mean(ours) − mean(theirs), with the same bootstrap."""
    gap = _sums(ours - theirs, clusters, weights)
    size = _sums(np.ones(len(ours)), clusters, weights)
    counts = _draws(len(gap), seed)
    means = (counts @ gap) / np.maximum(counts @ size, 1e-12)
    value = float(gap.sum() / size.sum()) if size.sum() else 0.0
    return Interval(value, *(float(edge) for edge in np.percentile(means, [2.5, 97.5])))


def _sums(values: Floats, clusters: NDArray[np.int64], weights: Floats | None) -> Floats:
    _, place = np.unique(clusters, return_inverse=True)
    return np.bincount(place, values if weights is None else values * weights).astype(np.float64)


def _draws(clusters: int, seed: int, draws: int = 2_000) -> NDArray[np.float64]:
    """Return how often each cluster is drawn in each resample, (draws, clusters)."""
    draw = np.random.default_rng(seed)
    return draw.multinomial(clusters, np.full(clusters, 1.0 / clusters), draws).astype(np.float64)
