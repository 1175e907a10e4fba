"""Ranks the requests of a replay with any model, as the feed would serve it or by scores alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from learning.replay import Replay, Visit, features_of, has_next_watch
from ranking.features import FEATURES
from ranking.model import LinearModel
from ranking.rank import rank, score
from ranking.user_features import COLD_START_EVENTS, RankingOptions
from shared.domain.user_signals import Signals

HINTS = ("language_match", "country_match", "age_band_match", "platform_match")
Rows = NDArray[np.int64]
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Contestant:
    """A ranking to compare: a linear `model`, used like the feed does (`fallback` below `COLD_START_EVENTS`), or
    `scores`.

    `as_served`: through `rank` with all its rules, not by scores alone.
    """

    name: str
    model: LinearModel | None = None
    fallback: LinearModel | None = None
    scores: Callable[[Replay, Visit, Rows], Scores] | None = None
    as_served: bool = False

    def model_for(self, visit: Visit) -> LinearModel:
        """Return the model that serves this visit."""
        assert self.model is not None
        return self.fallback if self.fallback and visit.history < COLD_START_EVENTS else self.model


class Scorer:
    """Scores rows at one visit for any contestant. The production features are computed once for all of them."""

    names = tuple(FEATURES)

    def __init__(self, replay: Replay, visit: Visit, rows: Rows) -> None:
        self._replay, self._visit, self._rows = replay, visit, rows
        self._features = features_of(replay, visit, rows, self.names).astype(np.float64)
        self._has_next_watch = has_next_watch(replay, visit)

    def of(self, contestant: Contestant) -> Scores:
        """Return the scores of the rows. With `as_served` they equal those of `ranking.rank.score` bit for bit (a test
        checks that). Others are summed faster, which can change the last bit."""
        if contestant.scores is not None:
            return contestant.scores(self._replay, self._visit, self._rows)
        model = contestant.model_for(self._visit).suited(self._has_next_watch)
        if not contestant.as_served:
            return np.asarray(self._features @ _weights(model))
        total = np.zeros(len(self._rows))
        for name, weight in (*model.static_terms, *model.user_terms):
            total += self._features[:, self.names.index(name)] * weight
        return total

    def order(self, contestant: Contestant) -> Rows:
        """Return the first 20 rows: as served, or by score with ties by the video's key."""
        if contestant.as_served:
            return served_page(self._replay, self._visit, contestant, self._rows)
        scores = self.of(contestant)
        best = np.lexsort((self._replay.columns.key[self._rows], -scores))[:20]
        return self._rows[best]


@lru_cache(maxsize=256)
def _weights(model: LinearModel) -> Scores:
    return np.array([model.weights.get(name, 0.0) for name in FEATURES])


def served_page(replay: Replay, visit: Visit, contestant: Contestant, rows: Rows, explore: bool = False) -> Rows:
    """Return the page of 20 that the feed would serve from some rows with the contestant's model.

    Below `COLD_START_EVENTS` the fallback is served, which uses nothing about the user.
    """
    model, signals = _served_with(visit, contestant)
    return rank(replay.columns, replay.stats, signals, rows, model, options_of(visit, explore)).rows


def served_scores(replay: Replay, visit: Visit, contestant: Contestant, rows: Rows) -> Scores:
    """Return the scores by which that page is ranked, before its rules."""
    model, signals = _served_with(visit, contestant)
    return np.asarray(score(replay.columns, replay.stats, signals, rows, model, options_of(visit)))


def _served_with(visit: Visit, contestant: Contestant) -> tuple[LinearModel, Signals | None]:
    model = contestant.model_for(visit)
    return model, None if model is contestant.fallback or not _reads_signals(model) else visit.signals


@lru_cache(maxsize=256)
def _reads_signals(model: LinearModel) -> bool:
    """Tell whether a user's signals can change a score. Those of a popularity model cannot: at most it uses hints."""
    both = (*model.user_terms, *(model.without_next_watch.user_terms if model.without_next_watch else ()))
    return any(name not in HINTS for name, _ in both)


def options_of(visit: Visit, explore: bool = False) -> RankingOptions:
    """Return the ranking options of the visit's feed request. The exploration slot, which adds noise, is left out
    unless it is asked for."""
    return RankingOptions(now=visit.now, limit=20, explore=explore, seed=visit.user * 1_000_003 + int(visit.now))
