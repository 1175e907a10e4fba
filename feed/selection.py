"""Selects a slate from a catalog: filters → ranking or popularity → pins → serving policy. No I/O, nothing is recorded.

The feed serves what this returns; the CMS preview shows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from feed.catalog import Catalog
from feed.editorial import Steering, chosen_pins
from feed.fallback import Fallback
from feed.filters import Viewer, apply_filters, enforce_serving_policy
from feed.series import offered
from ranking.model import LinearModel, popularity_model
from ranking.pins import with_pins
from ranking.rank import Slate, rank, score
from ranking.user_features import RankingOptions
from shared.domain.feeds import POPULAR, NamedFeed


def select(
    catalog: Catalog,
    viewer: Viewer,
    context: RankingOptions,
    steering: Steering,
    first_rank: int,
    model: LinearModel | None,
    fallback: Fallback,
    popularity: LinearModel | None = None,
    feed: NamedFeed | None = None,
    episodes: Sequence[int] = (),
) -> tuple[Slate, bool]:
    """The videos to serve, and whether there may be more after them.

    `viewer` carries the rules' exclusions, and which rows the feed and its filters mean. `first_rank` is the page's
    first place in the walk. `model` None asks for the fallback: in the order of the named `feed`; where that has none,
    by the tenant's `popularity` (None: the shipped one). The first of `episodes` (rows) that the filters kept is
    offered near the top. The gate has the last word, whoever put a video where it is.
    """
    columns, stats = catalog.columns, catalog.stats
    kept = apply_filters(columns, viewer).kept if model is not None or steering.pins else None
    if model is not None:
        assert kept is not None
        slate = rank(columns, stats, viewer.signals, kept, model, context, steering.adjustment)
    else:
        slate = fallback.page(catalog, viewer, context, steering, popularity, feed)
    more = len(slate) == context.limit
    pins: dict[int, int] = {}
    if kept is not None:
        pins = chosen_pins(steering, kept, len(columns), first_rank, context.limit) if steering.pins else {}
        pins = offered(pins, episodes, kept, context.limit) if episodes else pins
    if kept is not None and pins:
        slate = with_pins(slate, pins, kept, context.limit)
        if model is not None or feed is None or feed.fallback == POPULAR:  # other orders have scores of another kind
            slate = _scored(slate, catalog, viewer, model or popularity or popularity_model(), context, steering)
    return keep_allowed(slate, enforce_serving_policy(columns, slate.rows, viewer)), more


def _scored(
    slate: Slate, catalog: Catalog, viewer: Viewer, model: LinearModel, context: RankingOptions, steering: Steering
) -> Slate:
    """The slate with the pinned videos' own scores, also of those that the ranking had not brought onto the page."""
    places = sorted(slate.pinned)
    rows = slate.rows[places]
    own = score(catalog.columns, catalog.stats, viewer.signals, rows, model, context)
    if steering.adjustment is not None:
        own += steering.adjustment[rows]
    scores = slate.scores.copy()
    scores[places] = own
    return replace(slate, scores=scores)


def keep_allowed(slate: Slate, allowed: np.ndarray) -> Slate:
    """The slate without the videos that may not be served."""
    if allowed.all():
        return slate
    explored = slate.explored
    if explored is not None:
        explored = int(allowed[:explored].sum()) if allowed[explored] else None
    return replace(
        slate,
        rows=slate.rows[allowed],
        scores=slate.scores[allowed],
        propensities=slate.propensities[allowed],
        explored=explored,
        pinned=frozenset(int(allowed[:place].sum()) for place in slate.pinned if allowed[place]),
    )
