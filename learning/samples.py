"""Training data: the features of videos watched long, and of the alternatives.

There are two kinds of choices: a request's long views against other videos of the catalog, and against the other videos
shown to the user on the same day. A long view of the exploration slot is a separate choice with weight 1 / propensity:
it estimates what showing any video would give (`learning/explored.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from learning.explored import effective_size, explored_weights
from learning.replay import DAY, Replay, Visit, features_of

NEGATIVES = 60
"""Videos drawn against each request's long views from the most demanded ones, and as many from all others."""
MOST_CHOICES = 6_000
"""Limit of requests per day: about 70 MB. Beyond it, a random part is kept."""


@dataclass(frozen=True)
class Samples:
    """Choices to learn from, as columns.

    Per row: `features` (rows, names) float32; `target`, its share of the choice's long views (0 for the alternatives);
    `stands_for`, the log of how many videos of the catalog it represents. Per choice: `sizes`, its number of rows;
    `weights`; `shown`, whether its alternatives are shown videos, not the catalog; `propensity`, the probability with
    which the exploration slot drew its long view, else 0.
    """

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
        """Return the same choices with some of the features."""
        at = [self.names.index(name) for name in names]
        return replace(self, features=self.features[:, at], names=tuple(names))

    def leaving_out(self, name: str) -> Samples:
        """Return the same choices without one of the features."""
        return self.only([known for known in self.names if known != name])

    def weighing_shown(self, weight: float) -> Samples:
        """Return the same choices with weights: this one for those among shown videos, by propensity for explored ones,
        else 1."""
        weights = np.where(self.shown, weight, 1.0)
        explored = self.propensity > 0
        weights[explored] = explored_weights(self.propensity[explored])
        return replace(self, weights=weights)

    def explored(self) -> dict[str, float]:
        """Return the number of long views of the exploration slot, and their effective number."""
        weights = explored_weights(self.propensity[self.propensity > 0])
        return {"longViews": len(weights), "effective": round(effective_size(weights), 1)}

    def having(self, name: str) -> Samples:
        """Return only the choices in which a feature is not 0."""
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
    """Collects samples during a replay. `shown` False: without the choices among shown videos."""

    def __init__(self, names: Sequence[str], seed: int = 0, shown: bool = True, most: int = MOST_CHOICES) -> None:
        self.names = tuple(names)
        self._draw = np.random.default_rng(seed)
        self._with_shown = shown
        self._most, self._kept_share = most, 1.0
        self._catalogs: list[tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64], float]] = []
        self._shown: dict[tuple[int, int], list[tuple[NDArray[np.float32], NDArray[np.bool_]]]] = {}

    def see(self, replay: Replay, visit: Visit) -> None:
        """Add a request: its long views against some other videos of the catalog, and its shown videos, to be compared
        with the others shown to the user that day."""
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
        """Keep a random half of the samples, and half of those to come."""
        self._kept_share /= 2
        self._catalogs = [each for each in self._catalogs if self._draw.random() < 0.5]
        self._shown = {key: parts for key, parts in self._shown.items() if self._draw.random() < 0.5}

    def _drawn(self, visit: Visit, wanted: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the wanted rows, some of the most demanded others, and some of the rest; with the log of how many each
        represents.

        Pages consist mostly of the most demanded videos, so these are drawn more often. Each of them represents fewer
        videos, so the fit is still one to the whole catalog.
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
        """Return everything collected so far. Raises ValueError if there is nothing."""
        found = self.samples_or_none()
        if found is None:
            raise ValueError("No request of the training days has a long view: nothing to learn from.")
        return found

    def samples_or_none(self) -> Samples | None:
        """Return everything collected so far; None if there is nothing."""
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
    """Return the choices of several days together; there must be at least one."""
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("features", "target", "stands_for", "sizes", "weights", "shown", "propensity")
    }
    return Samples(**columns, names=parts[0].names)
