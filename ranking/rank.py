"""Ranks candidates into a slate: features → model → order → diversity. `rank` reads top to bottom as the pipeline."""

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
"""Diversity considers this many times the page's length; candidates beyond are not sorted."""
EXPLORATION_PLACE = 5
"""Place of the exploration slot, 0-based: below the best videos, yet high enough for most users to see it."""

Scores = NDArray[np.float64]


@dataclass(slots=True, eq=False)  # not frozen: a frozen dataclass takes four times as long to construct
class Slate:
    """One page: the chosen rows in order, with the model's `scores` before diversity. A row's index is its position.

    `propensities[i]` is the probability with which position i was filled: 1 except for the exploration slot.
    """

    rows: Rows
    scores: Scores
    propensities: Scores
    model_version: str
    explored: int | None = None
    """Place of the exploration slot, None if it was not used."""
    pinned: frozenset[int] = frozenset()
    """Places that `pins.with_pins` filled."""

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, slots=True, eq=False)
class Ordering:
    """Rows from best to worst with their scores: a tenant's fallback order, computed once for many requests."""

    rows: Rows
    scores: Scores
    model_version: str


def rank(
    columns: VideoColumns,
    stats: CatalogStats,
    signals: Signals | None,
    candidates: Rows,
    model: LinearModel,
    options: RankingOptions,
    adjustment: Scores | None = None,
) -> Slate:
    """Rank the page for one user: at most `options.limit` of the candidate rows, best first.

    `candidates` are the distinct rows the filters kept; no other row can appear. Equal inputs give equal slates,
    whatever the order of the rows. `adjustment`, over all rows, holds what editorial rules add to the scores.
    """
    scores = score(columns, stats, signals, candidates, model, options)
    if adjustment is not None:
        scores += adjustment[candidates]
    best = best_of(columns, candidates, scores, options.limit * _LOOK)
    exploration = explore(columns, stats.static(options.now), candidates, options) if options.explore else None
    if exploration is None or exploration.position in best[: options.limit].tolist():
        explored = NONE  # its score alone puts it on the page: it keeps that position, and the slot is not used
    else:
        explored = exploration.position
    page = diversify(
        columns,
        candidates,
        scores,
        best,
        options,
        explored=explored,
        explored_place=min(EXPLORATION_PLACE, options.limit - 1),
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
    options: RankingOptions,
) -> Scores:
    """Compute the model's score of each candidate: the static part, then each user feature in the table's order."""
    user = UserFeatures(columns, stats.static(options.now), signals, options)
    model = model.suited(user.has_next_watch)
    total = stats.static_score(model, options.now)[candidates]
    for name, weight in model.user_terms:
        compute = FEATURES[name].user
        assert compute is not None
        term = compute(user)
        if term is not None:
            term.add_to(total, candidates, weight)
    return total


def popularity_order(
    columns: VideoColumns,
    stats: CatalogStats,
    candidates: Rows,
    options: RankingOptions,
    model: LinearModel | None = None,
    adjustment: Scores | None = None,
) -> Ordering:
    """Order the candidates by popularity. The same for every user, so one per tenant and set of hints is enough."""
    model = model or popularity_model()
    scores = score(columns, stats, None, candidates, model, options)
    if adjustment is not None:
        scores += adjustment[candidates]
    order = np.lexsort((columns.key[candidates], -scores))
    return Ordering(candidates[order], scores[order], model.version)


def page_of(
    columns: VideoColumns, ordering: Ordering, options: RankingOptions, keep: NDArray[np.bool_] | None = None
) -> Slate:
    """Cut a page from an ordering, with the same diversity; `keep` (over all rows) is False for rows to leave out."""
    rows, scores = ordering.rows, ordering.scores
    if keep is not None:
        kept = keep[rows]
        rows, scores = rows[kept], scores[kept]
    best = best_of(columns, rows, scores, options.limit * _LOOK)
    page = diversify(columns, rows, scores, best, options)
    return Slate(rows[page], scores[page], np.ones(len(page)), ordering.model_version)
