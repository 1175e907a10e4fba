"""What a tenant's videos had on each day: one document for each shard and day (UTC), kept for 90 days, for charts.

The documents of the days that a write touches are written with the shard's document, in one atomic batch. So what the
shard knows of its messages holds for them too: nothing is lost, and nothing counts twice.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from events.batch import SHARD_MARK
from events.stats_shard import SHARD_MARK_IN_IDS
from ranking.columns import key64
from ranking.stats import StatEvent
from ranking.watching import counted_watch_ms
from shared.adapters.documents.port import DAY_SECONDS, VIDEO_STATS, Document, DocumentStore, Json

PREFIX = "daily:"
KEEP_SECONDS = 90 * DAY_SECONDS
"""From its last write, which is of the day itself or of a few days later."""
COLUMNS = ("impressions", "views", "watchMs", "completions", "likes", "playbackErrors")
"""Likes are likes − unlikes of the day."""
MAX_VIDEOS = 5_000
"""Of a shard and day; what others have is added up under `OTHERS`. So a document has less than 250 kB."""
OTHERS = 0
DAYS_BYTES = 1_000_000
"""What the days of one write may take together: Cosmos DB takes 2 MB in one atomic batch, the shard's document too."""
DAYS_BACK = 10
"""Events of up to seven days are accepted, and a message waits for up to three; what is older is in no day."""
_VERSION = 1
_key = lru_cache(maxsize=65_536)(key64)
_IMPRESSIONS, _VIEWS, _WATCH, _COMPLETIONS, _LIKES, _ERRORS = range(len(COLUMNS))
_COLUMN = {
    "impression": (_IMPRESSIONS, 1),
    "video_view": (_VIEWS, 1),
    "complete": (_COMPLETIONS, 1),
    "like": (_LIKES, 1),
    "unlike": (_LIKES, -1),
    "playback_error": (_ERRORS, 1),
}


class UnreadableDay(ValueError):
    """A document that this version cannot read. `newer`: one of a later release can."""

    def __init__(self, message: str, *, newer: bool = False) -> None:
        self.newer = newer
        super().__init__(message)


class DayTable:
    """Sums of one day by video: `keys` u64 (n,), `sums` int64 (n, 6) in the order of `COLUMNS`."""

    def __init__(self) -> None:
        self._row_of: dict[int, int] = {}
        self._sums = np.zeros((64, len(COLUMNS)), np.int64)

    def __len__(self) -> int:
        return len(self._row_of)

    def add(self, keys: NDArray[np.uint64], sums: NDArray[np.int64]) -> None:
        """Add rows, each video once."""
        self._add(keys.tolist(), sums, bounded=True)

    def merge(self, other: DayTable, *, bounded: bool = True) -> None:
        """Add another table of the same day. Not `bounded`: what is only read may have more than `MAX_VIDEOS`."""
        self._add(list(other._row_of), other._sums[: len(other)], bounded=bounded)

    def of(self, video_id: str) -> dict[str, int]:
        """A video's sums by name, none below zero; zeros for one that had nothing."""
        row = self._row_of.get(_key(video_id))
        sums = [0] * len(COLUMNS) if row is None else self._sums[row].tolist()
        return {name: max(0, value) for name, value in zip(COLUMNS, sums, strict=True)}

    def total(self) -> dict[str, int]:
        """The sums of all videos, those under `OTHERS` too."""
        sums = self._sums[: len(self)].sum(axis=0).tolist()
        return {name: max(0, value) for name, value in zip(COLUMNS, sums, strict=True)}

    def reduce(self, most: int) -> None:
        """Keep the rows of the `most` videos with the most views and impressions; add up the others."""
        keys, sums = np.array(list(self._row_of), np.uint64), self._sums[: len(self)]
        weight = np.where(keys == OTHERS, np.int64(-1), sums[:, _IMPRESSIONS] + sums[:, _VIEWS])
        order = np.argsort(-weight, kind="stable")
        kept, rest = order[:most], order[most:]
        self._row_of, self._sums = {}, np.zeros((most + 1, len(COLUMNS)), np.int64)
        self._add(keys[kept].tolist(), sums[kept], bounded=False)
        self._add([OTHERS], sums[rest].sum(axis=0)[None, :], bounded=False)

    def pack(self) -> str:
        """Keys and columns, each by its bytes' places, compressed, in base64. Equal tables give equal texts."""
        keys = np.array(list(self._row_of), "<u8")
        order = np.argsort(keys)
        sums = self._sums[: len(self)][order].astype("<i8")
        body = b"".join(_planes(column) for column in (keys[order], *sums.T))
        return base64.b64encode(zlib.compress(body, 6)).decode()

    @classmethod
    def unpack(cls, text: str) -> DayTable:
        """The inverse. Raises `UnreadableDay`."""
        try:
            raw = zlib.decompress(base64.b64decode(text, validate=True))
        except (ValueError, zlib.error) as error:
            raise UnreadableDay(str(error)) from error
        width = 8 * (1 + len(COLUMNS))
        if len(raw) % width:
            raise UnreadableDay("The columns have the wrong length.")
        count = len(raw) // width
        columns = [_from_planes(raw[at : at + 8 * count]) for at in range(0, len(raw), 8 * count)] if count else []
        table = cls()
        if count:
            table._row_of = {key: row for row, key in enumerate(columns[0].view(np.uint64).tolist())}
            table._sums = np.stack(columns[1:], axis=1)
        return table

    def _add(self, keys: list[int], sums: NDArray[np.int64], *, bounded: bool) -> None:
        rows = [self._row(key, bounded=bounded) for key in keys]
        np.add.at(self._sums, rows, sums)  # several may be of `OTHERS`

    def _row(self, key: int, *, bounded: bool = True) -> int:
        row = self._row_of.get(key)
        if row is not None:
            return row
        if bounded and key != OTHERS and len(self) >= MAX_VIDEOS:
            return self._row(OTHERS)
        if len(self) >= len(self._sums):
            self._sums = np.concatenate([self._sums, np.zeros((max(64, len(self)), len(COLUMNS)), np.int64)])
        self._row_of[key] = row = len(self)
        return row


class Additions:
    """What one write adds, by day."""

    def __init__(self, now: float) -> None:
        self._first = int(now // DAY_SECONDS) - DAYS_BACK
        self._days: dict[int, DayTable] = {}

    def add(self, events: Iterable[StatEvent]) -> None:
        """Add events that count; those of other types are passed over."""
        known = [
            (_key(video), at // DAY_SECONDS, *_COLUMN[kind], watch, duration)
            for video, at, kind, watch, duration in events
            if kind in _COLUMN and at - at == 0 and at // DAY_SECONDS >= self._first
        ]
        if not known:
            return
        keys, days, columns, signs, watch_ms, durations = zip(*known, strict=True)
        which, back = np.unique(np.array(keys, np.uint64), return_inverse=True)
        of_day, column = np.array(days, np.int64), np.array(columns, np.int64)
        watched = counted_watch_ms(np.nan_to_num(np.array(watch_ms, np.float64)).clip(0.0), np.array(durations))
        watched = np.where(column == _VIEWS, watched, 0.0)
        cells, amounts, size = back * len(COLUMNS) + column, np.array(signs, np.float64), len(which) * len(COLUMNS)
        for day in np.unique(of_day).tolist():
            here = of_day == day
            flat = np.bincount(cells[here], amounts[here], size)
            flat += np.bincount(back[here] * len(COLUMNS) + _WATCH, watched[here], size)
            sums = np.rint(flat).astype(np.int64).reshape(len(which), len(COLUMNS))
            touched = sums.any(axis=1)
            self._days.setdefault(day, DayTable()).add(which[touched], sums[touched])

    @property
    def days(self) -> Mapping[str, DayTable]:
        """What is added, by day as `2026-11-29`."""
        return {_name(day): table for day, table in sorted(self._days.items())}


def day_id(day: str, session_id: str) -> str:
    """The id of a shard's document of one day; ids sort by day."""
    return f"{PREFIX}{day}:{session_id.replace(SHARD_MARK, SHARD_MARK_IN_IDS)}"


def table_of(document: Document | None) -> DayTable:
    """The sums that a document holds. Raises `UnreadableDay`."""
    if document is None:
        return DayTable()
    version = document.body.get("v")
    if isinstance(version, int) and version > _VERSION:
        raise UnreadableDay(f"version {version}, this reads {_VERSION}", newer=True)
    return DayTable.unpack(str(document.body.get("packed", "")))


def packed_within(tables: Mapping[str, DayTable], most_bytes: int) -> dict[str, str]:
    """The tables packed, by day. Where they take more than `most_bytes`, the largest ones lose half of their rows, and
    again, until they do not."""
    packed = {day: table.pack() for day, table in tables.items()}
    while sum(map(len, packed.values())) > most_bytes:
        largest = max(packed, key=lambda day: len(packed[day]))
        tables[largest].reduce(len(tables[largest]) // 2)
        packed[largest] = tables[largest].pack()
    return packed


def body_of(day: str, session_id: str, packed: str) -> Json:
    """The document of a shard and day."""
    return {
        "id": day_id(day, session_id),
        "kind": "daily",
        "v": _VERSION,
        "day": day,
        "packed": packed,
        "ttl": KEEP_SECONDS,
    }


async def read_days(documents: DocumentStore, tenant_id: str, first: date, last: date) -> dict[date, DayTable]:
    """A tenant's days from `first` to `last`, all shards added up; days without anything are left out.

    A document that cannot be read is passed over. Raises `StoreUnavailable`.
    """
    found: dict[date, DayTable] = {}
    after: str | None = f"{PREFIX}{first.isoformat()}"
    while after is not None:
        page = await documents.query(VIDEO_STATS, tenant_id, id_prefix=PREFIX, after=after)
        after = page.next
        for document in page.documents:
            try:
                day = date.fromisoformat(str(document.body.get("day")))
                table = table_of(document)
            except ValueError:
                continue
            if day > last:
                return found
            found.setdefault(day, DayTable()).merge(table, bounded=False)
    return found


def _name(day: int) -> str:
    return datetime.fromtimestamp(day * DAY_SECONDS, UTC).date().isoformat()


def _planes(column: NDArray[Any]) -> bytes:
    """A column's bytes, all first bytes first: small numbers then compress to almost nothing."""
    return np.ascontiguousarray(column).view(np.uint8).reshape(-1, 8).T.tobytes()


def _from_planes(raw: bytes) -> NDArray[np.int64]:
    return np.ascontiguousarray(np.frombuffer(raw, np.uint8).reshape(8, -1).T).view("<i8").reshape(-1).astype(np.int64)
