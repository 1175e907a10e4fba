"""Builds the signals of a synthetic viewer with given tastes, for previews. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ranking.columns import VideoColumns
from ranking.user_features import LAST_LONG_VIEWS
from shared.domain.fingerprint import fingerprint
from shared.domain.user_signals import (
    CATEGORY_FIELDS,
    INTEREST,
    SKIPS,
    TAG_FIELDS,
    VIEWS,
    WATCH_FRACTION,
    WATCH_MS,
    Counters,
    Signals,
    Timeline,
    long_view_time,
)

VIEWS_PER_TASTE = 20.0
"""Videos watched per liked category and tag, and skipped per disliked category."""
WATCHED_FRACTION = 0.9
"""Fraction of each video that is watched."""
WATCHED_MS = WATCHED_FRACTION * 30_000.0


def synthetic_signals(
    liked: Sequence[str],
    skipped: Sequence[str],
    liked_tags: Sequence[str],
    columns: VideoColumns,
    half_life_days: float,
    now: float,
) -> Signals | None:
    """Build signals of a viewer who watches `liked` and `liked_tags`, and skips `skipped`; None without tastes.

    The newest videos of the liked categories count as watched last, but not as seen, so the preview can show them.
    """
    if not liked and not skipped and not liked_tags:
        return None
    rows: dict[str, list[float]] = {}
    for name in liked:
        row = rows.setdefault(name, [0.0] * CATEGORY_FIELDS)
        row[VIEWS] += VIEWS_PER_TASTE
        row[WATCH_FRACTION] += VIEWS_PER_TASTE * WATCHED_FRACTION
        row[INTEREST] += VIEWS_PER_TASTE
        row[WATCH_MS] += VIEWS_PER_TASTE * WATCHED_MS
    for name in skipped:
        rows.setdefault(name, [0.0] * CATEGORY_FIELDS)[SKIPS] += VIEWS_PER_TASTE
    minute = int(now // 60)
    tag = [0.0] * TAG_FIELDS
    tag[VIEWS] = tag[INTEREST] = VIEWS_PER_TASTE
    tag[WATCH_FRACTION] = VIEWS_PER_TASTE * WATCHED_FRACTION
    tags = [tag] * len(liked_tags)
    return Signals(
        half_life_days=half_life_days,
        newest_minute=minute,
        events=int(VIEWS_PER_TASTE) * (len(rows) + len(tags)),
        categories=_counters(list(rows), list(rows.values()), CATEGORY_FIELDS, minute),
        watched=_watched(liked, columns, minute),
        tags=_counters(list(liked_tags), tags, TAG_FIELDS, minute),
        updated_at=now,
    )


def _watched(liked: Sequence[str], columns: VideoColumns, minute: int) -> Timeline:
    codes = np.array([columns.categories.code(name) for name in liked] or [-2])
    rows = np.flatnonzero(np.isin(columns.category, codes[codes >= 0]) & columns.active)
    rows = rows[np.argsort(-columns.published_at[rows], kind="stable")][:LAST_LONG_VIEWS]
    times = [long_view_time(minute * 60_000, minute * 60)] * len(rows)
    return Timeline(columns.fingerprint[rows], np.array(times, np.int64))


def _counters(names: list[str], rows: list[list[float]], fields: int, minute: int) -> Counters:
    if not names:
        return Counters.empty(fields)
    return Counters(
        values=np.array(rows, np.float32),
        keys=np.array([fingerprint(name) for name in names], np.uint32),
        days=np.full(len(names), minute // 1_440, np.int32),
    )
