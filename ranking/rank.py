"""From candidates to a slate: features → model → order → diversity. The whole path reads top to bottom in `rank`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ranking.catalog_stats import CatalogStats
from ranking.columns import Rows, VideoColumns
from ranking.diversity import NONE, best_of, diversify
from ranking.exploration import explore
from ranking.features import FEATURES
from ranking.model import LinearModel, popularity_model
from ranking.user_features import RankingOptions, UserFeatures
from shared.domain.user_signals import Signals

_LOOK = 3
"""How many times the page's length variety is sought among; the rest is never sorted."""
EXPLORATION_PLACE = 5
"""Where the exploration slot is, 0-based: seen by most who open the feed, after what they came for."""

Scores = NDArray[np.float64]


@dataclass(slots=True, eq=False)  # not frozen, which is four times as dear to make
class Slate:
    """The chosen rows in order: `rank` is the place, 0-based; `scores` are the model's, before diversity.

    `propensities[i]` is the chance with which place i was filled: 1 except for the exploration slot.
    """

    rows: Rows
    scores: Scores
    propensities: Scores
    model_version: str
    explored: int | None = None
    """The place of the exploration slot, None if it was not used."""
    pinned: frozenset[int] = frozenset()
    """The places that `pins.with_pins` filled."""

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, slots=True, eq=False)
class Ordering:
    """Rows from best to worst with their scores: a tenant's fallback, computed once for many requests."""

    rows: Rows
    scores: Scores
    model_version: str


def rank(
    columns: VideoColumns,
    stats: CatalogStats,
    signals: Signals | None,
    candidates: Rows,
    model: LinearModel,
    context: RankingOptions,
    adjustment: Scores | None = None,
) -> Slate:
    """The page for one user: at most `context.limit` of the candidate rows, best first.

    `candidates` are the distinct rows the filters kept; no other row can appear. Equal inputs give equal slates,
    whatever the order of the rows. `adjustment`, over all rows, is what editorial rules add to the scores.
    """
    scores = score(columns, stats, signals, candidates, model, context)
    if adjustment is not None:
        scores += adjustment[candidates]
    best = best_of(columns, candidates, scores, context.limit * _LOOK)
    exploration = explore(columns, stats.static(context.now), candidates, context) if context.explore else None
    if exploration is None or exploration.position in best[: context.limit].tolist():
        explored = NONE  # a video that the scores bring onto the page needs no slot: it is served in its own place
    else:
        explored = exploration.position
    page = diversify(
        columns,
        candidates,
        scores,
        best,
        context,
        explored=explored,
        explored_place=min(EXPLORATION_PLACE, context.limit - 1),
    )
    propensities, place = np.ones(len(page)), None
    if exploration is not None and explored in (listed := page.tolist()):
        place = listed.index(explored)
        propensities[place] = exploration.propensity
    return Slate(candidates[page], scores[page], propensities, model.version, place)


def score(
    columns: VideoColumns,
    stats: CatalogStats,
    signals: Signals | None,
    candidates: Rows,
    model: LinearModel,
    context: RankingOptions,
) -> Scores:
    """The model's score of each candidate: the static part, then each user feature in the table's order."""
    static = stats.static(context.now)
    request = UserFeatures(columns, static, signals, context)
    model = model.suited(request.neighboured)
    total = static.score(model)[candidates]
    for name, weight in model.user_terms:
        compute = FEATURES[name].user
        assert compute is not None
        term = compute(request)
        if term is not None:
            term.add_to(total, candidates, weight)
    return total


def popularity_order(
    columns: VideoColumns,
    stats: CatalogStats,
    candidates: Rows,
    context: RankingOptions,
    model: LinearModel | None = None,
    adjustment: Scores | None = None,
) -> Ordering:
    """The candidates from most to least popular: the same for every user, so one per tenant and hints will do."""
    model = model or popularity_model()
    scores = score(columns, stats, None, candidates, model, context)
    if adjustment is not None:
        scores += adjustment[candidates]
    order = np.lexsort((columns.key[candidates], -scores))
    return Ordering(candidates[order], scores[order], model.version)


def page_of(
    columns: VideoColumns, ordering: Ordering, context: RankingOptions, keep: NDArray[np.bool_] | None = None
) -> Slate:
    """A page from a ready ordering, with the same diversity; `keep` (over all rows) leaves out what was served."""
    rows, scores = ordering.rows, ordering.scores
    if keep is not None:
        kept = keep[rows]
        rows, scores = rows[kept], scores[kept]
    best = best_of(columns, rows, scores, context.limit * _LOOK)
    page = diversify(columns, rows, scores, best, context)
    return Slate(rows[page], scores[page], np.ones(len(page)), ordering.model_version)
