"""Statistics of a tenant's videos: decayed counters and seven exact daily buckets per video, as columns.

`events/stats_consumer.py` adds events in bulk; addition commutes, so order and sharding do not matter. The store keeps
one packed text per shard. The feed merges the shards; `ranking/catalog_stats.py` aligns them to the catalog's rows.

Counters are forward-decayed (Cormode et al., ICDE 2009): an event at time t adds 2^((t − reference) / half-life), and
`reference` moves with the newest event, so nothing overflows and nothing depends on the order of arrival.
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranking.columns import key64
from ranking.watching import counted_watch_ms, long_views

STATS_PREFIX = "stats:"
"""Prefix of the ids of the shards' documents."""
HOUR = 3_600.0
DAY = 86_400
HALF_LIVES = (1 * HOUR, 6 * HOUR, 24 * HOUR, 168 * HOUR)
"""Demand windows, in seconds."""
DEMAND_1H, DEMAND_6H, DEMAND_24H, DEMAND_7D = range(4)
"""Columns 0 to 3 of `decayed`: long views, decayed with each of `HALF_LIVES`. Other columns decay with the last one."""
IMPRESSIONS, VIEWS, WATCH_FRACTION, APPROVALS, SKIPS = range(4, 9)
"""Impressions; views; Σ watched fraction (0 to 1 per view); likes − unlikes + shares + saves − unsaves; skips +
dismissals."""
DECAYED = 9
DAY_IMPRESSIONS, DAY_VIEWS, DAY_WATCH_MS, DAY_LIKES = range(4)
DAILY = 4
DAILY_DAYS = 7

StatEvent = tuple[str, float, str, float, float]
"""(video id, time in seconds since the epoch, event type, watch in ms, duration in seconds); 0 where unknown."""
UNVIEW = "unview"
"""Not sent by apps: takes back a `video_view` with the same watch time. A play that continues then counts as one longer
view."""

_TYPES = {
    name: code
    for code, name in enumerate(
        (
            *("impression", "video_view", "complete", "skip", "like", "unlike", "share", "save", "not_interested"),
            *(UNVIEW, "unsave"),
        )
    )
}
_VIEW = np.array([0, 1, 0, 0, 0, 0, 0, 0, 0, -1, 0], np.float64)
_APPROVAL = np.array([0, 0, 0, 0, 1, -1, 1, 1, 0, 0, -1], np.float64)
_SKIP = np.array([0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0], np.float64)
_LIKE = np.array([0, 0, 0, 0, 1, -1, 0, 0, 0, 0, 0], np.float64)

_DECAY = np.array([*HALF_LIVES, *([HALF_LIVES[-1]] * (DECAYED - len(HALF_LIVES)))])
_NEGLIGIBLE = 1e-4
"""`pack` drops a video whose counters are all below this and whose daily buckets are empty."""
_VERSION = 1
_HEADER = struct.Struct("<BdI")

_key = lru_cache(maxsize=65_536)(key64)


class UnreadableStats(ValueError):
    """This version cannot read the packed text."""


class StatsTable:
    """Counters of n videos. `version` counts the changes; caches compare it.

    `keys` u64 (n,), `decayed` float64 (n, 9) as of `reference`, `daily` float64 (n, 7, 4): day 0 is the UTC day of
    `reference`, day 1 the day before, and so on.
    """

    def __init__(self) -> None:
        self.version = 0
        self.reference = 0.0
        self._row_of: dict[int, int] = {}
        self._count = 0
        self._keys = np.zeros(64, np.uint64)
        self._decayed = np.zeros((64, DECAYED))
        self._daily = np.zeros((64, DAILY_DAYS, DAILY))

    @classmethod
    def of(cls, keys: NDArray[np.uint64], decayed: NDArray[np.float64], reference: float) -> StatsTable:
        """Return a table of counters that were summed elsewhere, (n, 9) as of `reference`, each key once; without daily
        buckets."""
        table = cls()
        table.reference, table._count = reference, len(keys)
        table._keys, table._decayed = keys, decayed
        table._row_of = {key: row for row, key in enumerate(keys.tolist())}
        table._daily = np.zeros((len(keys), DAILY_DAYS, DAILY))
        return table

    def __len__(self) -> int:
        return self._count

    @property
    def keys(self) -> NDArray[np.uint64]:
        return self._keys[: self._count]

    @property
    def decayed(self) -> NDArray[np.float64]:
        return self._decayed[: self._count]

    @property
    def daily(self) -> NDArray[np.float64]:
        return self._daily[: self._count]

    def add(self, events: Iterable[StatEvent]) -> int:
        """Add events in bulk; return how many counted. Unknown types and times that are not finite are ignored."""
        types = _TYPES
        known = [
            (_key(video), at, types[kind], watch, duration)
            for video, at, kind, watch, duration in events
            if kind in types and at - at == 0
        ]
        if not known:
            return 0
        keys, *rest = zip(*known, strict=True)
        times, kinds, watch_ms, durations = (np.array(column, np.float64) for column in rest)
        self._add(np.array([self._row(key) for key in keys]), times, kinds.astype(np.int64), watch_ms, durations)
        return len(known)

    def _add(
        self,
        rows: NDArray[np.int64],
        times: NDArray[np.float64],
        kinds: NDArray[np.int64],
        watch_ms: NDArray[np.float64],
        durations: NDArray[np.float64],
    ) -> None:
        self._advance(float(times.max()))
        view = _VIEW[kinds]
        watch_ms = np.where(view != 0, np.nan_to_num(watch_ms, nan=0.0, posinf=0.0, neginf=0.0).clip(0.0), 0.0)
        watch_ms = counted_watch_ms(watch_ms, durations)
        long = view * long_views(watch_ms, durations)
        share = np.zeros(len(rows))
        np.divide(watch_ms, durations * 1000.0, out=share, where=durations > 0)
        amounts = [long] * len(HALF_LIVES)
        amounts += [kinds == 0, view, view * np.minimum(share, 1.0), _APPROVAL[kinds], _SKIP[kinds]]
        touched, back = np.unique(rows, return_inverse=True)
        age = times - self.reference
        weights = [np.exp2(age / half_life) for half_life in HALF_LIVES]
        for column, amount in enumerate(amounts):
            added = np.bincount(back, weights[min(column, len(HALF_LIVES) - 1)] * amount, len(touched))
            self._decayed[touched, column] += added
        days = _day(self.reference) - (times // DAY).astype(np.int64)
        kept = (days >= 0) & (days < DAILY_DAYS)
        buckets = back * DAILY_DAYS + np.clip(days, 0, DAILY_DAYS - 1)
        for column, amount in enumerate((kinds == 0, view, view * watch_ms, _LIKE[kinds])):
            added = np.bincount(buckets, amount * kept, len(touched) * DAILY_DAYS)
            self._daily[touched, :, column] += added.reshape(len(touched), DAILY_DAYS)
        self.version += 1

    def merge(self, other: StatsTable) -> None:
        """Add another table's counters (another shard) to this one's."""
        if not len(other):
            return
        self._advance(other.reference)
        rows = np.array([self._row(key) for key in other.keys.tolist()])
        self._decayed[rows] += other.decayed * np.exp2((other.reference - self.reference) / _DECAY)
        shift = _day(self.reference) - _day(other.reference)
        if shift < DAILY_DAYS:
            self._daily[rows, shift:] += other.daily[:, : DAILY_DAYS - shift]
        self.version += 1

    def week(self, video_id: str, now: float) -> dict[str, int]:
        """Return the totals of the last seven UTC days, including the day of `now`; zeros for an unknown video.

        `views`, `likes`, `impressions`, `watchMs`, and `avgWatchMs` per view; none below zero.
        """
        row = self._row_of.get(_key(video_id))
        shift = _day(now) - _day(self.reference)
        kept = DAILY_DAYS - max(0, shift)
        sums = self._daily[row, : max(0, kept)].sum(axis=0) if row is not None else np.zeros(DAILY)
        impressions, views, watch_ms, likes = (max(0, round(float(value))) for value in sums)
        return {
            "impressions": impressions,
            "views": views,
            "watchMs": watch_ms,
            "likes": likes,
            "avgWatchMs": round(watch_ms / views) if views > 0 else 0,
        }

    def views_of_week(self, video_ids: Sequence[str], now: float) -> list[int]:
        """Return the views of the last seven UTC days of each video, like `week`."""
        kept = max(0, DAILY_DAYS - max(0, _day(now) - _day(self.reference)))
        views = np.append(self.daily[:, :kept, DAY_VIEWS].sum(axis=1), 0.0)  # the last one: for videos without a row
        rows = [self._row_of.get(_key(id), -1) for id in video_ids]
        found: list[int] = np.maximum(0, np.rint(views[rows])).astype(np.int64).tolist()
        return found

    def busiest_day(self) -> float:
        """Return the impressions and views of the busiest of the seven days."""
        shown = self.daily[:, :, [DAY_IMPRESSIONS, DAY_VIEWS]].sum(axis=(0, 2))
        return float(shown.max(initial=0.0))

    def copy(self) -> StatsTable:
        """Return an independent copy."""
        twin = StatsTable()
        twin.merge(self)
        twin.reference = self.reference
        return twin

    def pack(self) -> str:
        """Serialize to base64 text: a header, then zlib-compressed columns (float32 counters, whole-number days).

        Rows are ordered by key, so equal tables give equal texts. A busy video takes about 60–90 characters.
        """
        alive = (np.abs(self.decayed) > _NEGLIGIBLE).any(axis=1) | self.daily.any(axis=(1, 2))
        rows = np.flatnonzero(alive)
        rows = rows[np.argsort(self.keys[rows])]
        with np.errstate(under="ignore"):
            decayed = self.decayed[rows].astype("<f4")
        decayed[np.abs(decayed) < 1e-30] = 0.0
        daily = np.rint(self.daily[rows])
        watch = daily[:, :, DAY_WATCH_MS].astype("<u8")
        counts = daily[:, :, [DAY_IMPRESSIONS, DAY_VIEWS, DAY_LIKES]].astype("<i4")
        columns = (self.keys[rows].astype("<u8"), decayed.T, counts.transpose(2, 1, 0), watch.T)
        body = zlib.compress(b"".join(_planes(column) for column in columns), 6)
        return base64.b64encode(_HEADER.pack(_VERSION, self.reference, len(rows)) + body).decode()

    @classmethod
    def unpack(cls, text: str) -> StatsTable:
        """Parse the text that `pack` made. Raises `UnreadableStats`."""
        try:
            raw = base64.b64decode(text, validate=True)
            version, reference, count = _HEADER.unpack_from(raw)
            if version != _VERSION:
                raise UnreadableStats(f"Stats of version {version} cannot be read by this one ({_VERSION}).")
            body = zlib.decompress(raw[_HEADER.size :])
        except (ValueError, struct.error, zlib.error) as error:
            raise UnreadableStats(str(error)) from error
        sizes = (8 * count, 4 * count * DECAYED, 4 * count * DAILY_DAYS * 3, 8 * count * DAILY_DAYS)
        if len(body) != sum(sizes):
            raise UnreadableStats("The columns have the wrong length.")
        ends = np.cumsum((0, *sizes))
        part = [body[ends[i] : ends[i + 1]] for i in range(4)]
        table = cls()
        table.reference = reference
        table._count = count
        table._keys = _from_planes(part[0], "<u8").astype(np.uint64)
        table._decayed = _from_planes(part[1], "<f4").reshape(DECAYED, count).T.astype(np.float64)
        counts = _from_planes(part[2], "<i4").reshape(3, DAILY_DAYS, count)
        table._daily = np.zeros((count, DAILY_DAYS, DAILY))
        table._daily[:, :, [DAY_IMPRESSIONS, DAY_VIEWS, DAY_LIKES]] = counts.transpose(2, 1, 0)
        table._daily[:, :, DAY_WATCH_MS] = _from_planes(part[3], "<u8").reshape(DAILY_DAYS, count).T
        table._row_of = {key: row for row, key in enumerate(table._keys.tolist())}
        return table

    def hold_back(self, now: float) -> None:
        """Move `reference` back to `now` (seconds since the epoch) after an event from the future has moved it forward.

        A video without events from the future regains what it lost by decaying towards them; the short demand windows
        can have lost it for good. Counters of videos with such events stay as they are, so that no event is multiplied.
        Totals of future days are added to today's.
        """
        ahead = self.reference - now
        if ahead <= 0:
            return
        daily = self._daily[: self._count]
        shift = min(DAILY_DAYS, _day(self.reference) - _day(now))
        from_future = daily[:, : max(1, shift)].any(axis=(1, 2))
        self._decayed[: self._count][~from_future] *= np.exp2(np.minimum(ahead / _DECAY, 100.0))
        if shift:
            moved = np.zeros_like(daily)
            moved[:, : DAILY_DAYS - shift] = daily[:, shift:]
            moved[:, 0] += daily[:, :shift].sum(axis=1)
            self._daily[: self._count] = moved
        self.reference = now
        self.version += 1

    def _row(self, key: int) -> int:
        row = self._row_of.get(key)
        if row is None:
            row = self._row_of[key] = self._count
            if row >= len(self._keys):
                self._keys = np.concatenate([self._keys, np.zeros(max(64, row), np.uint64)])
                for name in ("_decayed", "_daily"):
                    column = getattr(self, name)
                    more = np.zeros((max(64, row), *column.shape[1:]))
                    setattr(self, name, np.concatenate([column, more]))
            self._keys[row] = key
            self._count += 1
        return row

    def _advance(self, newest: float) -> None:
        """Move `reference` forward to the newest event: decay the counters and shift the days."""
        if newest <= self.reference:
            return
        with np.errstate(under="ignore"):
            self._decayed[: self._count] *= np.exp2((self.reference - newest) / _DECAY)
        shift = _day(newest) - _day(self.reference)
        if shift:
            daily = self._daily[: self._count]
            moved = np.zeros_like(daily)
            if shift < DAILY_DAYS:
                moved[:, shift:] = daily[:, : DAILY_DAYS - shift]
            self._daily[: self._count] = moved
        self.reference = newest


def merged(tables: Iterable[StatsTable]) -> StatsTable:
    """Sum several tables into one; the order does not matter (up to rounding)."""
    total = StatsTable()
    for table in tables:
        total.merge(table)
    return total


def _day(at: float) -> int:
    return int(at // DAY)


def _planes(column: NDArray[Any]) -> bytes:
    """Return a column's bytes, all first bytes first: small numbers then compress to almost nothing."""
    flat = np.ascontiguousarray(column).reshape(-1)
    return flat.view(np.uint8).reshape(-1, flat.itemsize).T.tobytes()


def _from_planes(raw: bytes, dtype: str) -> NDArray[Any]:
    width = np.dtype(dtype).itemsize
    return np.ascontiguousarray(np.frombuffer(raw, np.uint8).reshape(width, -1).T).view(dtype).reshape(-1)
