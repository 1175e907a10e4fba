"""A viewer in words, for previews: what the signals of somebody with these tastes would look like. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ranking.columns import VideoColumns
from shared.domain.fingerprint import fingerprint
from shared.domain.user_signals import (
    CATEGORY_FIELDS,
    MAX_WATCHED,
    SKIPS,
    TAG_FIELDS,
    VIEWS,
    WATCH_FRACTION,
    WATCH_MS,
    Counters,
    Signals,
    Timeline,
)

VIEWS_OF_A_TASTE = 20.0
"""As if they had watched twenty videos of each category they like, or skipped twenty of each they do not."""
WATCHED = 0.9


def described_signals(
    liked: Sequence[str],
    skipped: Sequence[str],
    liked_tags: Sequence[str],
    columns: VideoColumns,
    half_life_days: float,
    now: float,
) -> Signals | None:
    """Signals of a viewer who watches `liked` categories and tags and skips `skipped`; None for a newcomer.

    What they watched last stands for itself: the newest videos of what they like, which are not taken as seen.
    """
    if not liked and not skipped and not liked_tags:
        return None
    rows: dict[str, list[float]] = {}
    for name in liked:
        row = rows.setdefault(name, [0.0] * CATEGORY_FIELDS)
        row[VIEWS] += VIEWS_OF_A_TASTE
        row[WATCH_FRACTION] += VIEWS_OF_A_TASTE * WATCHED
        row[WATCH_MS] += VIEWS_OF_A_TASTE * WATCHED * 30_000.0
    for name in skipped:
        rows.setdefault(name, [0.0] * CATEGORY_FIELDS)[SKIPS] += VIEWS_OF_A_TASTE
    minute = int(now // 60)
    tags = [[VIEWS_OF_A_TASTE, VIEWS_OF_A_TASTE * WATCHED] + [0.0] * (TAG_FIELDS - 2) for _ in liked_tags]
    return Signals(
        half_life_days=half_life_days,
        newest_minute=minute,
        events=int(VIEWS_OF_A_TASTE) * (len(rows) + len(tags)),
        categories=_counters(list(rows), list(rows.values()), CATEGORY_FIELDS, minute),
        watched=_watched(liked, columns, minute),
        tags=_counters(list(liked_tags), tags, TAG_FIELDS, minute),
        updated_at=now,
    )


def _watched(liked: Sequence[str], columns: VideoColumns, minute: int) -> Timeline:
    codes = np.array([columns.categories.code(name) for name in liked] or [-2])
    rows = np.flatnonzero(np.isin(columns.category, codes[codes >= 0]) & columns.active)
    rows = rows[np.argsort(-columns.published_at[rows], kind="stable")][:MAX_WATCHED]
    return Timeline(columns.fingerprint[rows], np.full(len(rows), minute, np.int32))


def _counters(names: list[str], rows: list[list[float]], fields: int, minute: int) -> Counters:
    if not names:
        return Counters.empty(fields)
    return Counters(
        values=np.array(rows, np.float32),
        keys=np.array([fingerprint(name) for name in names], np.uint32),
        days=np.full(len(names), minute // 1_440, np.int32),
    )
