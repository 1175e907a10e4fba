"""Choices to learn from: the features of what was watched long, and of what else could have been.

Two kinds: each request's long views against other videos of the catalog, and, a user's day at a time, against what was
shown beside it. A long view of the exploration slot is a choice of its own, which weighs 1 / propensity: it stands for
what would have come of showing any video (`learning/explored.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from learning.explored import effective_size, explored_weights
from learning.replay import DAY, Replay, Visit, features_of

NEGATIVES = 60
"""Videos drawn against each request's long views among the most demanded ones, and as many among all others."""
MOST_CHOICES = 6_000
"""Requests of a day that are kept: some 70 MB. Of more, a random part."""


@dataclass(frozen=True)
class Samples:
    """Choices to learn from: features (rows, names) float32; the share of the choice's long views each row has (0 for
    the others); log(how many videos of the catalog each row stands for); how many rows each choice has, what it weighs,
    and whether it is among shown videos, not in the catalog; `propensity`: of a long view that the exploration slot
    drew, the chance of that, 0 for all other choices."""

    features: NDArray[np.float32]
    target: NDArray[np.float64]
    stands_for: NDArray[np.float64]
    sizes: NDArray[np.int64]
    weights: NDArray[np.float64]
    shown: NDArray[np.bool_]
    names: tuple[str, ...]
    propensity: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        if len(self.propensity) != len(self.sizes):
            object.__setattr__(self, "propensity", np.zeros(len(self.sizes)))

    def only(self, names: Sequence[str]) -> Samples:
        """The same choices with some of the features."""
        at = [self.names.index(name) for name in names]
        return replace(self, features=self.features[:, at], names=tuple(names))

    def leaving_out(self, name: str) -> Samples:
        """The same choices without one of the features."""
        return self.only([known for known in self.names if known != name])

    def weighing_shown(self, weight: float) -> Samples:
        """The same choices: those among shown videos weigh this, what chance showed by its propensity, others 1."""
        weights = np.where(self.shown, weight, 1.0)
        explored = self.propensity > 0
        weights[explored] = explored_weights(self.propensity[explored])
        return replace(self, weights=weights)

    def explored(self) -> dict[str, float]:
        """How many long views of the exploration slot there are, and how many equally weighted ones they are worth."""
        weights = explored_weights(self.propensity[self.propensity > 0])
        return {"longViews": len(weights), "effective": round(effective_size(weights), 1)}

    def having(self, name: str) -> Samples:
        """Only the choices in which a feature says something."""
        choice_of = np.repeat(np.arange(len(self.sizes)), self.sizes)
        says = np.bincount(choice_of, self.features[:, self.names.index(name)] != 0, len(self.sizes)) > 0
        rows = says[choice_of]
        return Samples(
            self.features[rows],
            self.target[rows],
            self.stands_for[rows],
            self.sizes[says],
            self.weights[says],
            self.shown[says],
            self.names,
            self.propensity[says],
        )


class Collector:
    """Gathers samples while a replay walks. `shown` False leaves the shown-only choices out."""

    def __init__(self, names: Sequence[str], seed: int = 0, shown: bool = True, most: int = MOST_CHOICES) -> None:
        self.names = tuple(names)
        self._draw = np.random.default_rng(seed)
        self._with_shown = shown
        self._most, self._kept_share = most, 1.0
        self._catalogs: list[tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64], float]] = []
        self._shown: dict[tuple[int, int], list[tuple[NDArray[np.float32], NDArray[np.bool_]]]] = {}

    def see(self, replay: Replay, visit: Visit) -> None:
        """Take the long views of a request, with some of what else the catalog held; and what was shown, to be compared
        with what else the user was shown that day."""
        if self._draw.random() >= self._kept_share:
            return
        if self._with_shown and visit.unseen.any():
            rows = visit.shown[visit.unseen]
            day = self._shown.setdefault((visit.user, int(visit.now // DAY)), [])
            day.append((features_of(replay, visit, rows, self.names), visit.long[visit.unseen]))
        watched = visit.long & visit.unseen
        by_chance = visit.propensity > 0
        self._choose(replay, visit, np.unique(visit.shown[watched & ~by_chance]), 0.0)
        for place in np.flatnonzero(watched & by_chance).tolist():
            self._choose(replay, visit, visit.shown[place : place + 1], float(visit.propensity[place]))
        if len(self._catalogs) > self._most:
            self._halve()

    def _choose(self, replay: Replay, visit: Visit, wanted: NDArray[np.int64], propensity: float) -> None:
        if not len(wanted) or len(wanted) == len(visit.kept):
            return
        rows, stands_for = self._drawn(visit, wanted)
        target = np.r_[np.full(len(wanted), 1.0 / len(wanted)), np.zeros(len(rows) - len(wanted))]
        self._catalogs.append((features_of(replay, visit, rows, self.names), target, stands_for, propensity))

    def _halve(self) -> None:
        """Keep a random half, and half of what comes."""
        self._kept_share /= 2
        self._catalogs = [each for each in self._catalogs if self._draw.random() < 0.5]
        self._shown = {key: parts for key, parts in self._shown.items() if self._draw.random() < 0.5}

    def _drawn(self, visit: Visit, wanted: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The wanted rows, some of the most demanded others and some of the rest; what each stands for, as logarithm.

        The most demanded are what a page is made of, so they are drawn more often; as each stands for fewer, the fit is
        still one to the whole catalog.
        """
        demanded = np.setdiff1d(visit.pool, wanted, assume_unique=True)
        others = np.setdiff1d(visit.kept, np.concatenate([wanted, demanded]), assume_unique=True)
        rows, stands_for = [wanted], [np.zeros(len(wanted))]
        for group in (demanded, others):
            if not len(group):
                continue
            drawn = self._draw.choice(group, min(NEGATIVES, len(group)), replace=False)
            rows.append(drawn)
            stands_for.append(np.full(len(drawn), np.log(len(group) / len(drawn))))
        return np.concatenate(rows), np.concatenate(stands_for)

    def samples(self) -> Samples:
        """Everything seen so far. Raises ValueError when that is nothing."""
        found = self.samples_or_none()
        if found is None:
            raise ValueError("No request of the training days has a long view: nothing to learn from.")
        return found

    def samples_or_none(self) -> Samples | None:
        """Everything seen so far; None when that is nothing."""
        if not self._catalogs:
            return None
        choices = list(self._catalogs)
        for parts in self._shown.values():
            long = np.concatenate([part[1] for part in parts])
            if 0 < long.sum() < len(long):
                features = np.concatenate([part[0] for part in parts])
                choices.append((features, long / long.sum(), np.zeros(len(long)), 0.0))
        sizes = np.array([len(target) for _, target, _, _ in choices], np.int64)
        shown = np.arange(len(choices)) >= len(self._catalogs)
        weights = np.ones(len(choices))
        *columns, propensity = zip(*choices, strict=True)
        features, targets, stands_for = (np.concatenate(column) for column in columns)
        return Samples(features, targets, stands_for, sizes, weights, shown, self.names, np.array(propensity))


def joined(parts: Sequence[Samples]) -> Samples:
    """The choices of several days, of which there is at least one, together."""
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("features", "target", "stands_for", "sizes", "weights", "shown", "propensity")
    }
    return Samples(**columns, names=parts[0].names)
