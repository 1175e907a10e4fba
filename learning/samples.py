"""Choices to learn from: the features of what was watched long, and of what else could have been.

Two kinds: each long view against other videos of the pool, and, a user's day at a time, against what was shown beside
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learning.replay import DAY, Replay, Visit, features_of

NEGATIVES = 120
"""Videos of the pool drawn against each request's long views."""
SHOWN_WEIGHT = 1.25
"""What a user's day of shown videos weighs against a request of the pool: enough for the order of what is shown not to
suffer, which a fit to the pool alone would sacrifice."""
SHOWN_WEIGHT_COWATCH = 2.0
"""The same where co-watch says something: it predicts the pool so well that more weight on the shown costs little."""


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
