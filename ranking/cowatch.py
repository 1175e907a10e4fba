"""Co-watch table: the nearest neighbours of each video by shared long views. Built offline; a lookup per request.

The similarity of videos i and j is Σ over users who watched both of 1 / log2(2 + the user's long views), divided by
(nᵢ·nⱼ)^`POPULARITY_POWER`. It is shrunk by n/(n + `SHRINK`) if few users watched both. This is item-kNN after Deshpande
& Karypis, TOIS 2004, with a user weight after Adamic & Adar, 2003: a user who watches everything tells little about any
pair.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ranking.array_types import CodesTable, Integers, Singles, SinglesTable
from ranking.columns import Rows, VideoColumns
from ranking.compiled import compiled
from ranking.dayparts import DAYPARTS, count_by_daypart, daypart_of, lift_by_daypart
from ranking.unreadable_table import UnreadableTable

NEIGHBOURS = 50
POPULARITY_POWER = 0.7
"""0.5 is cosine similarity; a higher power favors the less popular of two neighbours."""
SHRINK = 2.0
MAX_PER_USER = 100
"""How many of a user's newest long views count; limits the work for one user to 10,000 pairs."""
FADE = 0.9
"""Weight of a long view relative to the next newer one."""
_BLOCK = 512
_MAGIC = b"CWT2"
_WITHOUT_DAYPARTS = b"CWT1"
"""Magic bytes of files without parts of the day, which are still read."""
_HEADER = struct.Struct("<4sdIHI")


@dataclass(frozen=True, slots=True, eq=False)
class CoWatchTable:
    """Immutable co-watch table of n videos with k neighbours each.

    `keys` u64 (n,), ascending; `neighbours` int32 (n, k): positions in `keys`, -1 for none; `weights` float32 (n, k):
    descending along each row, 0 for none. `built_at`: seconds since the epoch. `dayparts` (n, `DAYPARTS`): each video's
    long views by part of the day, None if they were not counted.
    """

    keys: NDArray[np.uint64]
    neighbours: NDArray[np.int32]
    weights: NDArray[np.float32]
    built_at: float = 0.0
    dayparts: NDArray[np.uint32] | None = None

    def to_bytes(self) -> bytes:
        """Serialize to the column file: a header with a CRC of the columns, then the columns, little-endian."""
        columns = (self.keys.astype("<u8"), self.neighbours.astype("<i4"), self.weights.astype("<f4"))
        body = b"".join(column.tobytes() for column in columns)
        if self.dayparts is not None:
            body += self.dayparts.astype("<u4").tobytes()
        magic = _WITHOUT_DAYPARTS if self.dayparts is None else _MAGIC
        head = _HEADER.pack(magic, self.built_at, len(self.keys), self.neighbours.shape[1], zlib.crc32(body))
        return head + body

    @classmethod
    def from_bytes(cls, raw: bytes) -> CoWatchTable:
        """Parse the column file. Raises `UnreadableTable`, also for damaged bytes."""
        if len(raw) < _HEADER.size:
            raise UnreadableTable("The file is shorter than its header.")
        magic, built_at, count, width, crc = _HEADER.unpack_from(raw)
        body = raw[_HEADER.size :]
        if magic not in (_MAGIC, _WITHOUT_DAYPARTS):
            raise UnreadableTable("This is no co-watch table, or one of another version.")
        parts = DAYPARTS if magic == _MAGIC else 0
        if len(body) != count * (8 + 8 * width + 4 * parts) or zlib.crc32(body) != crc:
            raise UnreadableTable("The table is damaged: its length or checksum does not match.")
        keys = np.frombuffer(body, "<u8", count)
        neighbours = np.frombuffer(body, "<i4", count * width, 8 * count).reshape(count, width)
        weights = np.frombuffer(body, "<f4", count * width, (8 + 4 * width) * count).reshape(count, width)
        if count and width and not (neighbours.min() >= -1 and neighbours.max() < count and np.isfinite(weights).all()):
            raise UnreadableTable("The table points outside itself.")
        by_part = np.frombuffer(body, "<u4", count * parts, (8 + 8 * width) * count).reshape(count, parts)
        return cls(keys, neighbours, weights, built_at, by_part if parts else None)


def build(
    users: NDArray[np.int64],
    keys: NDArray[np.uint64],
    times: NDArray[np.float64],
    *,
    built_at: float = 0.0,
    neighbours: int = NEIGHBOURS,
    dated: NDArray[np.bool_] | None = None,
) -> CoWatchTable:
    """Build the table from long views: one entry each of user (any integer code), video key and time, in any order.

    `dated`: which times are known to the hour (None: all); only these count for the time of day. For a large log, pass
    all long views of a hashed sample of users.
    """
    clocked = slice(None) if dated is None else dated
    clocked_keys, clocked_times = keys[clocked], times[clocked]
    users, items, known = _distinct(users, keys, times)
    by_part = count_by_daypart(known, clocked_keys, clocked_times)
    count = len(known)
    if not count:
        return CoWatchTable(known, np.zeros((0, 0), np.int32), np.zeros((0, 0), np.float32), built_at, by_part)
    starts = np.flatnonzero(np.r_[True, users[1:] != users[:-1]])
    lengths = np.diff(np.r_[starts, len(users)])
    weight = 1.0 / np.log2(2.0 + lengths)
    watchers = np.bincount(items, minlength=count).astype(np.float64)
    by_item = np.argsort(items, kind="stable")
    first = np.searchsorted(items[by_item], np.arange(count + 1))
    of_user = np.repeat(np.arange(len(starts)), lengths)
    width = min(neighbours, count)
    best = np.full((count, width), -1, np.int32)
    values = np.zeros((count, width), np.float32)
    for low in range(0, count, _BLOCK):
        high = min(count, low + _BLOCK)
        entries = by_item[first[low] : first[high]]
        watched_by = of_user[entries]
        sizes = lengths[watched_by]
        # Every pair of an item in this block with every item of the same user.
        other = np.arange(int(sizes.sum())) + np.repeat(starts[watched_by] - (np.cumsum(sizes) - sizes), sizes)
        pair = np.repeat(items[entries] - low, sizes) * count + items[other]
        shape = (high - low, count)
        together = np.bincount(pair, minlength=shape[0] * count).reshape(shape)
        weighted = np.bincount(pair, np.repeat(weight[watched_by], sizes), shape[0] * count).reshape(shape)
        trust = together / (together + SHRINK)
        similar = weighted * trust / np.outer(watchers[low:high], watchers) ** POPULARITY_POWER
        similar[np.arange(high - low), np.arange(low, high)] = 0.0
        # A stable sort keeps equal neighbours in the order of their keys, so equal logs give equal bytes.
        order = np.argsort(-similar, axis=1, kind="stable")[:, :width]
        top = np.take_along_axis(similar, order, axis=1)
        best[low:high] = np.where(top > 0, order, -1)
        values[low:high] = top
    return CoWatchTable(known, best, values, built_at, by_part)


def _distinct(
    users: NDArray[np.int64], keys: NDArray[np.uint64], times: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint64]]:
    """Return each user's newest distinct videos, sorted by user, and the ascending distinct keys the items index."""
    order = np.lexsort((keys, -times, users))
    users, keys = users[order], keys[order]
    known, items = np.unique(keys, return_inverse=True)
    _, first = np.unique(users * max(1, len(known)) + items, return_index=True)
    kept = np.sort(first)
    users, items = users[kept], items[kept]
    starts = np.searchsorted(users, users)
    newest = np.arange(len(users)) - starts < MAX_PER_USER
    users, items = users[newest], items[newest]
    still, items = np.unique(items, return_inverse=True)
    return users, items, known[still]


@dataclass(eq=False)
class CoWatch:
    """Co-watch table aligned to the rows of one catalog. Videos missing from either side have no similarity."""

    columns: VideoColumns
    table: CoWatchTable
    _version: int = -1
    _place: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    _row: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    _daypart_lift: NDArray[np.float32] | None = None

    def daypart_lift(self, now: float) -> NDArray[np.float32] | None:
        """Return the lift of every row for the part of the day of `now`; None if the table has no parts of the day."""
        self._bind()
        if self.table.dayparts is None:
            return None
        if self._daypart_lift is None:
            counts = np.zeros((len(self.columns), DAYPARTS))
            known = self._place >= 0
            counts[known] = self.table.dayparts[self._place[known]]
            self._daypart_lift = np.asfortranarray(lift_by_daypart(self.columns, counts))
        return self._daypart_lift[:, daypart_of(now)]

    def similar_to(self, watched: Rows) -> NDArray[np.float32] | None:
        """Return every catalog row's similarity to the watched rows; None if the table has no neighbours for these.

        Σ of the similarities to the watched rows (newest first, each weighs 0.9 of the one before), divided by the mean
        similarity of a neighbour.
        """
        self._bind()
        if not len(watched):
            return None
        table = self.table
        found, total = _similar_to(watched, self._place, self._row, table.neighbours, table.weights, len(self.columns))
        return total if found else None

    def _bind(self) -> None:
        """Match the table's keys with the catalog's rows, again after every change of the catalog."""
        if self._version == self.columns.version:
            return
        size, known = len(self.columns), self.table.keys
        self._daypart_lift = None
        self._place = np.full(size, -1, np.int64)
        # One more element than keys: position -1 (no neighbour) points to an extra element that is dropped.
        self._row = np.full(len(known) + 1, size, np.int64)
        if len(known) and size:
            rows = self.columns.rows()
            at = np.minimum(np.searchsorted(known, self.columns.key[rows]), len(known) - 1)
            hit = known[at] == self.columns.key[rows]
            self._place[rows[hit]] = at[hit]
            self._row[at[hit]] = rows[hit]
        self._version = self.columns.version


@compiled
def _similar_to(
    watched: Integers, place: Integers, row_of: Integers, neighbours: CodesTable, weights: SinglesTable, size: int
) -> tuple[int, Singles]:
    """Return the neighbour count of the watched rows, and `similar_to`. `row_of[-1]` is `size`, which is dropped."""
    found, sum_of_weights, total, faded = 0, 0.0, np.zeros(size + 1), 1.0
    for row in watched:
        at = place[row]
        if at >= 0:
            for i in range(neighbours.shape[1]):
                weight = weights[at, i]
                if weight > 0.0:
                    found += 1
                    sum_of_weights += weight
                    total[row_of[neighbours[at, i]]] += weight * faded
        faded *= FADE
    if found:
        total *= found / sum_of_weights
    return found, total[:-1].astype(np.float32)
