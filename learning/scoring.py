"""Ranks the requests of a replay with any model: as the feed would serve it, or by scores alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from learning.replay import Replay, Visit, features_of, has_cowatch
from ranking.features import FEATURES
from ranking.model import LinearModel
from ranking.rank import rank
from ranking.user_features import COLD_START_EVENTS, RankingOptions

Rows = NDArray[np.int64]
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Contestant:
    """Either a linear `model`, used as the feed uses it (the `fallback` below `COLD_START_EVENTS`), or `scores`.

    `as_served`: through `rank` with all its rules, not by scores alone.
    """

    name: str
    model: LinearModel | None = None
    fallback: LinearModel | None = None
    scores: Callable[[Replay, Visit, Rows], Scores] | None = None
    as_served: bool = False

    def model_for(self, visit: Visit) -> LinearModel:
        """The model that serves this visit."""
        assert self.model is not None
        return self.fallback if self.fallback and visit.history < COLD_START_EVENTS else self.model


class Scorer:
    """Scores rows at one visit for any contestant; the production features are computed once for all of them."""

    names = tuple(FEATURES)

    def __init__(self, replay: Replay, visit: Visit, rows: Rows) -> None:
        self._replay, self._visit, self._rows = replay, visit, rows
        self._features = features_of(replay, visit, rows, self.names).astype(np.float64)
        self._has_cowatch = has_cowatch(replay, visit)

    def of(self, contestant: Contestant) -> Scores:
        """Scores of the rows. For what is served, the same bits as `ranking.rank.score` gives (a test says so); what is
        only compared is added up faster, which may differ in the last one."""
        if contestant.scores is not None:
            return contestant.scores(self._replay, self._visit, self._rows)
        model = contestant.model_for(self._visit).suited(self._has_cowatch)
        if not contestant.as_served:
            return np.asarray(self._features @ _weights(model))
        total = np.zeros(len(self._rows))
        for name, weight in (*model.static_terms, *model.user_terms):
            total += self._features[:, self.names.index(name)] * weight
        return total

    def order(self, contestant: Contestant) -> Rows:
        """The first 20 rows: as served, or by score with ties by the video's key."""
        if contestant.as_served:
            model = contestant.model_for(self._visit)
            replay, visit = self._replay, self._visit
            cold = model is contestant.fallback
            signals = None if cold else visit.signals
            return rank(replay.columns, replay.stats, signals, self._rows, model, options_of(visit)).rows
        scores = self.of(contestant)
        best = np.lexsort((self._replay.columns.key[self._rows], -scores))[:20]
        return self._rows[best]


@lru_cache(maxsize=256)
def _weights(model: LinearModel) -> Scores:
    return np.array([model.weights.get(name, 0.0) for name in FEATURES])


def options_of(visit: Visit) -> RankingOptions:
    """Return the ranking options of the visit's feed request, without the exploration slot, which adds noise."""
    return RankingOptions(now=visit.now, limit=20, explore=False)
