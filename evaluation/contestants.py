"""What the shipped ranking is compared with: simple baselines, and models that lack one feature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from learning.replay import Replay, Visit, user_features_of
from learning.scoring import Contestant, Rows, Scores
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


BASELINES = (
    Contestant("random", scores=_random),
    Contestant("newest", scores=_newest),
    Contestant("decayed popularity, 24 h", scores=_decayed),
    Contestant("quality alone", scores=_quality),
    Contestant("item-kNN alone", scores=_item_knn),
)


def without(model: LinearModel, names: Sequence[str], version: str) -> LinearModel:
    """The model with some features taken out, the other weights as they are."""

    def kept(weights: Mapping[str, float]) -> dict[str, float]:
        return {name: weight for name, weight in weights.items() if name not in names}

    return LinearModel.checked(version, kept(model.weights), {}, kept(model.suited(next_watch=False).weights))


def droppable(model: LinearModel, not_learned: Sequence[str]) -> list[str]:
    """Features worth dropping one at a time: those whose weight was learned."""
    return [name for name in FEATURES if model.weights.get(name) and name not in not_learned]
