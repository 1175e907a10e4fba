"""Selects a slate from a catalog: filters → ranking or popularity → pins → serving policy. No I/O, records nothing.

The feed serves the result; the CMS preview shows it.
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
    """Return the videos to serve, and whether more can follow.

    `viewer` has the rules' exclusions, and the rows of the feed and of its filters. `first_rank` is the page's first
    position in the walk. `model` None selects the fallback: the order of the named `feed` or, if it has none, the
    tenant's `popularity` (None: the shipped model). The first of `episodes` (rows) that the filters kept is offered
    near the top. The serving policy is checked last, whatever put a video on the page.
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
        if model is not None or feed is None or feed.fallback == POPULAR:  # scores of other orders have another unit
            slate = _scored(slate, catalog, viewer, model or popularity or popularity_model(), context, steering)
    return keep_allowed(slate, enforce_serving_policy(columns, slate.rows, viewer)), more


def _scored(
    slate: Slate, catalog: Catalog, viewer: Viewer, model: LinearModel, context: RankingOptions, steering: Steering
) -> Slate:
    """Return the slate with own scores for pinned videos, also for those that the ranking had not selected."""
    places = sorted(slate.pinned)
    rows = slate.rows[places]
    own = score(catalog.columns, catalog.stats, viewer.signals, rows, model, context)
    if steering.adjustment is not None:
        own += steering.adjustment[rows]
    scores = slate.scores.copy()
    scores[places] = own
    return replace(slate, scores=scores)


def keep_allowed(slate: Slate, allowed: np.ndarray) -> Slate:
    """Return the slate without the videos that must not be served."""
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
