"""From a catalog to a slate: filters → ranking or popularity → pins → maturity gate. No I/O, nothing is recorded.

The feed serves what this returns; the content room's preview shows it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from feed.catalog import Catalog
from feed.fallback import Fallback
from feed.filters import Viewer, apply_filters, gate
from feed.rules import Steering, chosen_pins, with_pins
from ranking.model import LinearModel, popularity_model
from ranking.rank import Slate, rank, score
from ranking.request import Context


def select(
    catalog: Catalog,
    viewer: Viewer,
    context: Context,
    steering: Steering,
    first_rank: int,
    model: LinearModel | None,
    fallback: Fallback,
) -> tuple[Slate, bool]:
    """The videos to serve, and whether there may be more after them.

    `viewer` carries what the rules take away (see `steered`). `first_rank` is the page's first place in the walk.
    `model` None asks for the popular feed. The gate has the last word, whoever put a video where it is.
    """
    columns, stats = catalog.columns, catalog.stats
    kept = apply_filters(columns, viewer).kept if model is not None or steering.pins else None
    pins = {} if kept is None else chosen_pins(steering, kept, len(columns), first_rank, context.limit)
    rest = replace(context, limit=context.limit - len(pins)) if pins else context
    if model is not None:
        assert kept is not None
        candidates = kept[~np.isin(kept, list(pins.values()))] if pins else kept
        slate = rank(columns, stats, viewer.signals, candidates, model, rest, steering.adjustment)
    else:
        slate = fallback.page(catalog, viewer, rest, steering, pins.values())
    if pins:
        rows = np.array(list(pins.values()), np.int64)
        scores = score(columns, stats, viewer.signals, rows, model or popularity_model(), context)
        if steering.adjustment is not None:
            scores += steering.adjustment[rows]
        slate = with_pins(slate, pins, dict(zip(rows.tolist(), scores.tolist(), strict=True)))
    allowed = gate(columns, slate.rows, viewer)
    return _only(slate, allowed), len(slate) == context.limit


def steered(viewer: Viewer, steering: Steering) -> Viewer:
    """The viewer, with what the rules take away."""
    return replace(viewer, excluded=steering.excluded, outside_limit=steering.outside_limit)


def _only(slate: Slate, allowed: np.ndarray) -> Slate:
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
    )
