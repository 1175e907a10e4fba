"""The videos of a series in order, and the next one after the episodes that a user finished. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from feed.filters import Viewer, apply_filters, enforce_serving_policy
from ranking.columns import NO_CODE, Rows, VideoColumns
from shared.domain.fingerprint import SEEN_BITS
from shared.domain.finished_episodes import FinishedEpisodes
from shared.domain.user_signals import Signals

Place = tuple[int, int, str]
"""Season, episode, id: the sort key of a series."""
OFFERED_PLACE = 1
"""0-based position on a page where the next episode is offered: after the top-ranked video."""


def place_of(columns: VideoColumns, row: int) -> Place:
    """Return a row's position in its series."""
    return int(columns.season[row]), int(columns.episode[row]), columns.ids[row]


def in_order(columns: VideoColumns, viewer: Viewer, series_id: str) -> list[int]:
    """Return the rows of a series that a viewer can see, in order. `viewer` has no signals, so seen videos are listed
    too."""
    code = columns.series_names.code(series_id)
    if code == NO_CODE:
        return []
    kept = apply_filters(columns, viewer).kept
    rows = kept[columns.series[kept] == code]
    rows = rows[enforce_serving_policy(columns, rows, viewer)]
    return sorted(rows.tolist(), key=lambda row: place_of(columns, row))


def was_seen(columns: VideoColumns, signals: Signals, rows: Sequence[int]) -> list[bool]:
    """Tell for each row whether it was shown to the user."""
    seen: NDArray[np.bool_] = ~columns.without(signals.seen.keys, bits=SEEN_BITS)
    return [bool(seen[row]) for row in rows]


def next_episodes(columns: VideoColumns, finished: FinishedEpisodes, viewer: Viewer) -> list[int]:
    """Return the row after the furthest finished episode of each series; the series watched last comes first.

    Episodes that must not be served are skipped. Seen ones are not: an episode that was offered and left does not mean
    that the next one should be offered.
    """
    if not finished.rows or not len(columns.series_names):
        return []
    series = np.array([row.series for row in finished.rows], np.uint32)
    found = []
    for row, code in zip(finished.rows, columns.series_names.codes(series).tolist(), strict=True):
        if code == len(columns.series_names):
            continue
        rows: Rows = np.flatnonzero(columns.series == code)
        rows = rows[enforce_serving_policy(columns, rows, viewer)]
        later = [each for each in rows.tolist() if place_of(columns, each)[:2] > (row.season, row.episode)]
        if later:
            found.append(min(later, key=lambda each: place_of(columns, each)))
    return found


def offered(pins: dict[int, int], episodes: Sequence[int], kept: Rows, limit: int) -> dict[int, int]:
    """Return the page's pins with the first episode that the filters kept, at the first free position near the top."""
    candidates = set(kept.tolist()) - set(pins.values()) if episodes else set()
    row = next((each for each in episodes if each in candidates), None)
    place = next((each for each in range(OFFERED_PLACE, limit) if each not in pins), None)
    return pins if row is None or place is None else {**pins, place: row}
