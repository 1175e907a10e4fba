"""Baselines of the evaluation: simple rankings, and models without one feature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from learning.log import Log
from learning.replay import DAY, Replay, Visit, user_features_of
from learning.scoring import Contestant, Rows, Scores
from ranking.columns import key64
from ranking.cowatch import CoWatch, CoWatchTable, build
from ranking.features import FEATURES
from ranking.model import LinearModel


def _random(replay: Replay, visit: Visit, rows: Rows) -> Scores:
    draw = np.random.default_rng([visit.user, int(visit.now)])
    return draw.random(len(replay.columns))[rows]


def _newest(replay: Replay, visit: Visit, rows: Rows) -> Scores:
    return replay.columns.published_at[rows].astype(np.float64)


def _decayed(replay: Replay, visit: Visit, rows: Rows) -> Scores:
    return replay.stats.static(visit.now).values["demand_24h"][rows].astype(np.float64)


def _item_knn(replay: Replay, visit: Visit, rows: Rows) -> Scores:
    watched = user_features_of(replay, visit).watched
    similar = None if replay.stats.cowatch is None else replay.stats.cowatch.similar_to(watched)
    base = 1e-6 * _decayed(replay, visit, rows)
    return base if similar is None else similar[rows] + base


def _quality(replay: Replay, visit: Visit, rows: Rows) -> Scores:
    return replay.stats.static(visit.now).values["quality"][rows].astype(np.float64)


class CoExposure:
    """Scores by a table of videos *shown* to the same users. It uses no outcomes, so its gain comes from predicting the
    earlier app's choices.

    Built like co-watch, at each midnight, from all earlier exposures; scored for the user's last long views.
    """

    def __init__(self) -> None:
        self._day = -1
        self._replay: Replay | None = None
        self._table: CoWatch | None = None

    def __call__(self, replay: Replay, visit: Visit, rows: Rows) -> Scores:
        day = int(visit.now // DAY)
        if day != self._day or replay is not self._replay:
            self._day, self._replay = day, replay
            self._table = CoWatch(replay.columns, _shown_together(replay.log, day * DAY))
        similar = self._table.similar_to(user_features_of(replay, visit).watched) if self._table else None
        base = 1e-6 * _decayed(replay, visit, rows)
        return base if similar is None else similar[rows] + base


def _shown_together(log: Log, before: float) -> CoWatchTable:
    past, upto = log.history, int(np.searchsorted(log.exposures.time, before))
    key = np.array([key64(video.id) for video in log.videos], np.uint64)
    users = np.concatenate([past.user, log.exposures.user[:upto]])
    videos = np.concatenate([past.video, log.exposures.video[:upto]])
    times = np.concatenate([past.time, log.exposures.time[:upto]])
    return build(users, key[videos], times, built_at=before)


BASELINES = (
    Contestant("random", scores=_random),
    Contestant("newest", scores=_newest),
    Contestant("decayed popularity, 24 h", scores=_decayed),
    Contestant("quality alone", scores=_quality),
    Contestant("item-kNN alone", scores=_item_knn),
    Contestant("co-exposure alone", scores=CoExposure()),
)


def without(model: LinearModel, names: Sequence[str], version: str) -> LinearModel:
    """Return the model without some features; the other weights are unchanged."""

    def kept(weights: Mapping[str, float]) -> dict[str, float]:
        return {name: weight for name, weight in weights.items() if name not in names}

    return LinearModel.checked(version, kept(model.weights), {}, kept(model.suited(next_watch=False).weights))


def droppable(model: LinearModel, not_learned: Sequence[str]) -> list[str]:
    """Return the features to drop one at a time: those with a learned weight."""
    return [name for name in FEATURES if model.weights.get(name) and name not in not_learned]
