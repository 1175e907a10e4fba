"""Sums per video of one UTC day, as columns, for charts and playback alerts. Pure.

A day's document has the previous release's columns in `packed`. Newer columns are in `playback`, and are lost if the
previous release writes the document.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranking.columns import key64

DAYS_PREFIX = "daily:"
"""Prefix of the ids of day documents, followed by the day and the shard."""
DAYS_VERSION = 1
COLUMNS = ("impressions", "views", "watchMs", "completions", "likes", "playbackErrors", "starts", "stalls")
"""Likes are likes − unlikes of the day. The last three count plays: failed, started, and stalled."""
PACKED = 6
"""Number of columns in `packed`."""
IMPRESSIONS, VIEWS, WATCH, COMPLETIONS, LIKES, ERRORS, STARTS, STALLS = range(len(COLUMNS))
MAX_VIDEOS = 5_000
"""Limit per shard and day; other videos are summed under `OTHERS`. This keeps a document below 300 kB."""
OTHERS = 0
key_of = lru_cache(maxsize=65_536)(key64)


class UnreadableDay(ValueError):
    """This version cannot read the document. `newer`: a later release can."""

    def __init__(self, message: str, *, newer: bool = False) -> None:
        self.newer = newer
        super().__init__(message)


class DayTable:
    """Sums of one day by video: `keys` u64 (n,), `sums` int64 (n, 8) in the order of `COLUMNS`."""

    def __init__(self) -> None:
        self._row_of: dict[int, int] = {}
        self._sums = np.zeros((64, len(COLUMNS)), np.int64)

    def __len__(self) -> int:
        return len(self._row_of)

    def add(self, keys: NDArray[np.uint64], sums: NDArray[np.int64]) -> None:
        """Add rows, each video once."""
        self._add(keys.tolist(), sums, bounded=True)

    def merge(self, other: DayTable, *, bounded: bool = True) -> None:
        """Add another table of the same day. Without `bounded` (for reading only) the table can exceed `MAX_VIDEOS`."""
        self._add(list(other._row_of), other._sums[: len(other)], bounded=bounded)

    def of(self, video_id: str) -> dict[str, int]:
        """Return a video's sums by name, none below zero; zeros for an unknown video."""
        row = self._row_of.get(key_of(video_id))
        sums = [0] * len(COLUMNS) if row is None else self._sums[row].tolist()
        return {name: max(0, value) for name, value in zip(COLUMNS, sums, strict=True)}

    def total(self) -> dict[str, int]:
        """Return the sums of all videos, including those under `OTHERS`."""
        sums = self._sums[: len(self)].sum(axis=0).tolist()
        return {name: max(0, value) for name, value in zip(COLUMNS, sums, strict=True)}

    def total_of(self, keys: AbstractSet[int]) -> dict[str, int]:
        """Return the sums of the videos with these keys."""
        rows = [row for key, row in self._row_of.items() if key in keys]
        sums = self._sums[rows].sum(axis=0).tolist()
        return {name: max(0, value) for name, value in zip(COLUMNS, sums, strict=True)}

    def reduce(self, most: int) -> None:
        """Keep the `most` videos with the most views and impressions; sum the others under `OTHERS`."""
        keys, sums = np.array(list(self._row_of), np.uint64), self._sums[: len(self)]
        weight = np.where(keys == OTHERS, np.int64(-1), sums[:, IMPRESSIONS] + sums[:, VIEWS])
        order = np.argsort(-weight, kind="stable")
        kept, rest = order[:most], order[most:]
        self._row_of, self._sums = {}, np.zeros((most + 1, len(COLUMNS)), np.int64)
        self._add(keys[kept].tolist(), sums[kept], bounded=False)
        self._add([OTHERS], sums[rest].sum(axis=0)[None, :], bounded=False)

    def pack(self) -> str:
        """Return the keys and the columns of `packed`. Equal tables give equal texts."""
        return _packed(np.array(list(self._row_of), np.uint64), self._sums[: len(self), :PACKED])

    def pack_playback(self) -> str:
        """Return the keys and the other columns, of videos with a value in them; empty if there is none."""
        rest = self._sums[: len(self), PACKED:]
        some = rest.any(axis=1)
        return _packed(np.array(list(self._row_of), np.uint64)[some], rest[some]) if some.any() else ""

    @classmethod
    def unpack(cls, packed: str, playback: str = "") -> DayTable:
        """Parse the texts of `pack` and `pack_playback`. Raises `UnreadableDay`."""
        table = cls()
        table._add_columns(packed, 0, PACKED)
        if playback:
            table._add_columns(playback, PACKED, len(COLUMNS))
        return table

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> DayTable:
        """Return the sums in a document. Raises `UnreadableDay`."""
        version = body.get("v")
        if isinstance(version, int) and version > DAYS_VERSION:
            raise UnreadableDay(f"version {version}, this reads {DAYS_VERSION}", newer=True)
        return cls.unpack(str(body.get("packed", "")), str(body.get("playback", "")))

    def _add_columns(self, text: str, first: int, end: int) -> None:
        keys, columns = _unpacked(text, end - first)
        sums = np.zeros((len(keys), len(COLUMNS)), np.int64)
        if len(keys):
            sums[:, first:end] = columns
        self._add(keys.tolist(), sums, bounded=False)

    def _add(self, keys: list[int], sums: NDArray[np.int64], *, bounded: bool) -> None:
        rows = [self._row(key, bounded=bounded) for key in keys]
        np.add.at(self._sums, rows, sums)  # several rows can be `OTHERS`

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


def _packed(keys: NDArray[np.uint64], sums: NDArray[np.int64]) -> str:
    """Return keys and columns ordered by key, in byte planes, compressed, in base64."""
    order = np.argsort(keys)
    columns: Sequence[NDArray[Any]] = (keys[order].astype("<u8"), *sums[order].astype("<i8").T)
    return base64.b64encode(zlib.compress(b"".join(map(_planes, columns)), 6)).decode()


def _unpacked(text: str, columns: int) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Parse the text of `_packed`: keys (n,) and sums (n, `columns`). Raises `UnreadableDay`."""
    try:
        raw = zlib.decompress(base64.b64decode(text, validate=True))
    except (ValueError, zlib.error) as error:
        raise UnreadableDay(str(error)) from error
    width = 8 * (1 + columns)
    if len(raw) % width:
        raise UnreadableDay("The columns have the wrong length.")
    count = len(raw) // width
    if not count:
        return np.zeros(0, np.uint64), np.zeros((0, columns), np.int64)
    found = [_from_planes(raw[at : at + 8 * count]) for at in range(0, len(raw), 8 * count)]
    return found[0].view(np.uint64), np.stack(found[1:], axis=1)


def _planes(column: NDArray[Any]) -> bytes:
    """Return a column's bytes, all first bytes first: small numbers then compress to almost nothing."""
    return np.ascontiguousarray(column).view(np.uint8).reshape(-1, 8).T.tobytes()


def _from_planes(raw: bytes) -> NDArray[np.int64]:
    return np.ascontiguousarray(np.frombuffer(raw, np.uint8).reshape(8, -1).T).view("<i8").reshape(-1).astype(np.int64)
