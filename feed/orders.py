"""Orders of a named feed that is not personalized, other than by popularity: newest first, or as editors arranged
it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ranking.columns import Rows, VideoColumns
from ranking.rank import Ordering, Slate
from shared.domain.feeds import EDITORIAL, NEWEST, NamedFeed


def order_of(feed: NamedFeed, columns: VideoColumns, candidates: Rows, sequence: Rows) -> Ordering:
    """Return the candidates in the feed's own order. `sequence`: the rows of its playlists in their order."""
    return newest_first(columns, candidates) if feed.fallback == NEWEST else as_edited(columns, candidates, sequence)


def newest_first(columns: VideoColumns, candidates: Rows) -> Ordering:
    """Return the candidates by publication, newest first. The score is the publication time in seconds since the
    epoch."""
    published = columns.published_at[candidates]
    order = np.lexsort((columns.key[candidates], -published))
    return Ordering(candidates[order], published[order], NEWEST)


def as_edited(columns: VideoColumns, candidates: Rows, sequence: Rows) -> Ordering:
    """Return the candidates in the order of `sequence`, then the rest by editorial boost, then newest first.

    The score counts down to 1.
    """
    place = np.full(len(columns), len(columns), np.int64)
    place[sequence] = np.arange(len(sequence))
    published, boost = columns.published_at[candidates], columns.boost[candidates]
    order = np.lexsort((columns.key[candidates], -published, -boost, place[candidates]))
    return Ordering(candidates[order], np.arange(len(order), 0, -1, dtype=np.float64), EDITORIAL)


def first_of(ordering: Ordering, limit: int, keep: NDArray[np.bool_] | None = None) -> Slate:
    """Return the first rows of an order. `keep` (over all rows) is False for rows to leave out."""
    rows, scores = ordering.rows, ordering.scores
    if keep is not None:
        kept = keep[rows]
        rows, scores = rows[kept], scores[kept]
    rows = rows[:limit]
    return Slate(rows, scores[:limit], np.ones(len(rows)), ordering.model_version)
