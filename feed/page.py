"""A page of the feed as bytes: joins prepared JSON, without building an object per video."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b
from itertools import chain

import numpy as np
import orjson
from numpy.typing import NDArray

from feed.catalog import NOTHING_INCLUDED, Catalog
from shared.domain.records import MAX_LIMIT
from shared.web.compression import deflated, gzip_around, gzipped

ETAG_SECONDS = 3_600
"""How long an ETag can match."""


@dataclass(slots=True, eq=False)
class Rendered:
    """The videos of a page as JSON, and their digests, made once for many requests."""

    items: bytes
    digests: bytes
    _deflated: bytes | None = None

    def deflated(self) -> bytes:
        """Return the compressed JSON; compressed on the first call."""
        if self._deflated is None:
            self._deflated = deflated(self.items)
        return self._deflated

    def size_bytes(self) -> int:
        """Return an upper bound of its memory in bytes."""
        return 2 * len(self.items) + len(self.digests)


@dataclass(slots=True)  # not frozen: a frozen one takes four times as long to create
class Page:
    """A page to serve. `rows` and `scores` are in order; `first_rank` is the first one's position in the whole walk.

    Times are in seconds since the epoch; `signals_at` is None if no signals were used.
    """

    mode: str
    reason: str | None
    rows: NDArray[np.int64]
    scores: NDArray[np.float64]
    first_rank: int
    next_cursor: str | None
    feed_request_id: str
    model_version: str
    content_at: float
    signals_at: float | None
    experiment: str | None = None
    ready: Rendered | None = None
    include: tuple[str, ...] = ()
    """Additional members of each item."""
    feed: int = 0
    """Identifies the named feed and the filters that the cursor and the receipt are bound to."""

    def body(self, catalog: Catalog) -> bytes:
        """Return the JSON of the response."""
        return b"%b%b%b" % self._parts(catalog)

    def encoded(self, catalog: Catalog, least_bytes: int) -> tuple[bytes, bool]:
        """Return the JSON, and whether it is gzip-compressed, as it is from `least_bytes` on."""
        head, items, tail = self._parts(catalog)
        if len(head) + len(items) + len(tail) < least_bytes:
            return b"%b%b%b" % (head, items, tail), False
        if self.ready is None:
            return gzipped(b"%b%b%b" % (head, items, tail)), True
        return gzip_around(head, items, self.ready.deflated(), tail), True

    def _parts(self, catalog: Catalog) -> tuple[bytes, bytes, bytes]:
        """Return the bytes before the videos' JSON, that JSON, and the bytes after it."""
        if self.ready is not None:
            items = self.ready.items
        else:
            items = items_json(catalog, self.rows, self.scores, self.first_rank, self.include)
        tail = orjson.dumps(
            {
                "nextCursor": self.next_cursor,
                "feedRequestId": self.feed_request_id,
                "modelVersion": self.model_version,
                "experiment": self.experiment,
                "freshness": {"content": _iso(self.content_at), "signals": _iso(self.signals_at)},
            }
        )
        head = orjson.dumps({"mode": self.mode, "reason": self.reason})
        return b'%b,"items":[' % head[:-1], items, b"],%b" % tail[1:]

    def etag(self, catalog: Catalog, user_key: str, now: float) -> str:
        """Return a weak ETag. It covers the user (and so the tenant) and everything served, except scores and
        `content_at`. Those move although nothing changes, and scores are comparable within one page only. It matches
        for at most `ETAG_SECONDS`, since a copy keeps its cursor (12 hours) and its receipt (24 hours)."""
        head = (
            f"{user_key}\n{now // ETAG_SECONDS}\n{self.mode}\n{self.reason}\n{self.model_version}\n{self.experiment}\n"
            f"{self.first_rank}\n{self.next_cursor is None}\n{self.signals_at}\n"
            f"{','.join(self.include)}"
        )
        if self.feed:
            head += f"\n{self.feed}"
        listed = digests_of(catalog, self.rows) if self.ready is None else self.ready.digests
        return f'W/"{blake2b(head.encode() + listed, digest_size=12).hexdigest()}"'


def items_json(
    catalog: Catalog,
    rows: NDArray[np.int64],
    scores: NDArray[np.float64],
    first_rank: int,
    include: Sequence[str] = (),
) -> bytes:
    """Return the videos of a page as JSON, separated by commas."""
    items = with_included(catalog, rows.tolist(), include) if include else catalog.items
    count = len(rows)
    ranks = range(first_rank, first_rank + count)
    shown = zip([items[row] for row in rows.tolist()], scores.tolist(), ranks, strict=True)
    return _template(count) % tuple(chain.from_iterable(shown))


@lru_cache(MAX_LIMIT + 1)
def _template(count: int) -> bytes:
    """Return the JSON template for this many videos. Formatting all at once costs a sixth less than one by one."""
    return b",".join([b'%b,"score":%.6f,"rank":%d}'] * count)


def digests_of(catalog: Catalog, rows: NDArray[np.int64]) -> bytes:
    """Return the joined digests of the videos of a page."""
    digests = catalog.digests
    return b"".join([digests[row] for row in rows.tolist()])


def with_included(catalog: Catalog, rows: Iterable[int], include: Sequence[str]) -> Mapping[int, bytes]:
    """Return the items of some rows with the requested members, empty ones if a video has none."""
    none: Mapping[str, bytes] = {}
    found = {}
    for row in rows:
        has = catalog.included.get(row, none)
        found[row] = catalog.items[row] + b"".join([has.get(name) or NOTHING_INCLUDED[name] for name in include])
    return found


def _iso(at: float | None) -> str | None:
    return None if at is None else _iso_second(int(at))


@lru_cache(maxsize=4_096)
def _iso_second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
