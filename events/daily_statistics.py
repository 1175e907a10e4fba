"""Writes daily sums per video for charts: one document for each shard and UTC day, kept for 90 days.

The documents of the days that a write changes are written with the shard's document, in one atomic batch. So the
shard's sequence log covers them too: no event is lost, and none counts twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

import numpy as np

from events.batch import SHARD_MARK
from events.stats_shard import SHARD_MARK_IN_IDS
from ranking.daily_table import (
    COLUMNS,
    COMPLETIONS,
    DAYS_PREFIX,
    DAYS_VERSION,
    ERRORS,
    IMPRESSIONS,
    LIKES,
    STALLS,
    STARTS,
    VIEWS,
    WATCH,
    DayTable,
    key_of,
)
from ranking.stats import UNVIEW, StatEvent
from ranking.watching import counted_watch_ms
from shared.adapters.documents.port import DAY_SECONDS, Document, Json

KEEP_SECONDS = 90 * DAY_SECONDS
"""Counted from the document's last write, on the day itself or a few days later."""
DAYS_BYTES = 1_000_000
"""Limit for the day documents of one write. Cosmos DB takes 2 MB in one atomic batch, with the shard's document in
it."""
DAYS_BACK = 10
"""Events up to seven days old are accepted, and a message waits for up to three. Older events are added to no day."""
_COLUMN = {
    "impression": (IMPRESSIONS, 1),
    "video_view": (VIEWS, 1),
    UNVIEW: (VIEWS, -1),
    "complete": (COMPLETIONS, 1),
    "like": (LIKES, 1),
    "unlike": (LIKES, -1),
    "start": (STARTS, 1),
    "stall": (STALLS, 1),
    "playback_error": (ERRORS, 1),
}


class Additions:
    """Sums that one write adds, by day."""

    def __init__(self, now: float) -> None:
        self._first = int(now // DAY_SECONDS) - DAYS_BACK
        self._days: dict[int, DayTable] = {}

    def add(self, events: Iterable[StatEvent]) -> None:
        """Add events that count. Events of other types are ignored."""
        known = [
            (key_of(video), at // DAY_SECONDS, *_COLUMN[kind], watch, duration)
            for video, at, kind, watch, duration in events
            if kind in _COLUMN and at - at == 0 and at // DAY_SECONDS >= self._first
        ]
        if not known:
            return
        keys, days, columns, signs, watch_ms, durations = zip(*known, strict=True)
        which, back = np.unique(np.array(keys, np.uint64), return_inverse=True)
        of_day, column = np.array(days, np.int64), np.array(columns, np.int64)
        watched = counted_watch_ms(np.nan_to_num(np.array(watch_ms, np.float64)).clip(0.0), np.array(durations))
        amounts = np.array(signs, np.float64)
        watched = np.where(column == VIEWS, watched * amounts, 0.0)
        cells, size = back * len(COLUMNS) + column, len(which) * len(COLUMNS)
        for day in np.unique(of_day).tolist():
            here = of_day == day
            flat = np.bincount(cells[here], amounts[here], size)
            flat += np.bincount(back[here] * len(COLUMNS) + WATCH, watched[here], size)
            sums = np.rint(flat).astype(np.int64).reshape(len(which), len(COLUMNS))
            touched = sums.any(axis=1)
            self._days.setdefault(day, DayTable()).add(which[touched], sums[touched])

    @property
    def days(self) -> Mapping[str, DayTable]:
        """The sums by day, as `2026-11-29`."""
        return {_name(day): table for day, table in sorted(self._days.items())}


def day_id(day: str, session_id: str) -> str:
    """Return the id of a shard's document of one day. Ids sort by day."""
    return f"{DAYS_PREFIX}{day}:{session_id.replace(SHARD_MARK, SHARD_MARK_IN_IDS)}"


def table_of(document: Document | None) -> DayTable:
    """Return the sums in a document. Raises `UnreadableDay`."""
    return DayTable() if document is None else DayTable.from_body(document.body)


PackedDay = tuple[str, str]
"""Columns of `packed` and of `playback` of a table."""


def packed_within(tables: Mapping[str, DayTable], most_bytes: int) -> dict[str, PackedDay]:
    """Pack the tables, by day. While they take more than `most_bytes`, the largest table loses half of its rows."""
    packed = {day: _packed(table) for day, table in tables.items()}
    while sum(map(_size, packed.values())) > most_bytes:
        largest = max(packed, key=lambda day: _size(packed[day]))
        tables[largest].reduce(len(tables[largest]) // 2)
        packed[largest] = _packed(tables[largest])
    return packed


def _packed(table: DayTable) -> PackedDay:
    return table.pack(), table.pack_playback()


def _size(packed: PackedDay) -> int:
    return len(packed[0]) + len(packed[1])


def body_of(day: str, session_id: str, packed: PackedDay) -> Json:
    """Return the document of a shard and day."""
    columns, playback = packed
    return {
        "id": day_id(day, session_id),
        "kind": "daily",
        "v": DAYS_VERSION,
        "day": day,
        "packed": columns,
        **({"playback": playback} if playback else {}),
        "ttl": KEEP_SECONDS,
    }


def _name(day: int) -> str:
    return datetime.fromtimestamp(day * DAY_SECONDS, UTC).date().isoformat()
