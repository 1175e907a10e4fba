"""Searches and sorts a tenant's videos in memory by linear scans; milliseconds for 50,000 videos. Pure."""

from __future__ import annotations

import heapq
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from cms.videos.models import STATES, state_at
from cms.videos.takedowns import INACTIVE, TAKEN_DOWN, is_taken_down
from ranking.stats import StatsTable
from shared.adapters.documents.port import Document
from shared.domain.records import AFTER_VIDEOS, RATINGS, UNRATED, Video
from shared.domain.search_text import folded, searchable

SORTED_LETTERS = 24
"""Characters of a text used for sorting; after them the id decides. This keeps cursors short."""
BY_ID, RELEVANCE, VIEWS = "id", "relevance", "views"
SORTS = (
    *(BY_ID, "title", "category", "creator", "rating", "state", "publishedAt", "updatedAt", "durationSeconds"),
    *(VIEWS, RELEVANCE),
)
Value = str | float
"""Sort value of a video: text or number, the same type for all videos of a list."""


@dataclass(frozen=True, slots=True)
class IndexedVideo:
    """The fields of a video that searches use. `text`: all searchable text; times in seconds since the epoch."""

    id: str
    text: str
    title: str
    sorted_title: str
    category: str
    creator: str
    tags: tuple[str, ...]
    rating: str
    status: str
    published_at: float
    expires_at: float | None
    updated_at: float
    duration_seconds: float
    series: str = ""

    @classmethod
    def from_document(cls, document: Document) -> IndexedVideo | None:
        """Parse a stored video; None for other documents and tombstones."""
        body = document.body
        if body.get("kind") != "video" or body.get("deleted") or document.id.startswith(AFTER_VIDEOS):
            return None
        video = Video.from_document(body)
        updated = body.get("updatedAt")
        shown = video.active and bool(video.playback_url)
        return cls(
            id=video.id,
            text=searchable((video.id, video.title, video.category, video.creator, *video.tags)),
            title=video.title,
            sorted_title=folded(video.title)[:SORTED_LETTERS],
            category=sys.intern(video.category),
            creator=sys.intern(video.creator),
            tags=tuple(map(sys.intern, video.tags)),
            rating=sys.intern(video.maturity_rating),
            status=TAKEN_DOWN if is_taken_down(body) else "" if shown else INACTIVE,
            published_at=video.published_at,
            expires_at=video.expires_at,
            updated_at=float(updated) if isinstance(updated, int | float) else 0.0,
            duration_seconds=video.duration_seconds,
            series=sys.intern(video.place.series_id),
        )

    def state(self, now: float) -> str:
        """Return the current state: one of `STATES`."""
        return state_at(self.status, self.published_at, self.expires_at, self.rating, now)


@dataclass(frozen=True, slots=True)
class VideoFilter:
    """Criteria of a list of videos. An empty criterion, or None, admits every video.

    `words`: without case and accents, each must be part of a video's text. `published_from` is included,
    `published_before` excluded; both in seconds since the epoch.
    """

    prefix: str = ""
    words: tuple[str, ...] = ()
    category: str = ""
    tag: str = ""
    creator: str = ""
    series: str = ""
    rating: str = ""
    state: str = ""
    published_from: float | None = None
    published_before: float | None = None

    def admitted(self, rows: Iterable[IndexedVideo], now: float) -> list[IndexedVideo]:
        """Return the videos that meet every criterion."""
        found = [row for row in rows if row.id.startswith(self.prefix)] if self.prefix else list(rows)
        for word in sorted(self.words, key=len, reverse=True):  # the longest leaves the fewest for the others
            found = [row for row in found if word in row.text]
        if self.category:
            found = [row for row in found if row.category == self.category]
        if self.tag:
            found = [row for row in found if self.tag in row.tags]
        if self.creator:
            found = [row for row in found if row.creator == self.creator]
        if self.series:
            found = [row for row in found if row.series == self.series]
        if self.rating:
            found = [row for row in found if row.rating == self.rating]
        if self.published_from is not None:
            found = [row for row in found if row.published_at >= self.published_from]
        if self.published_before is not None:
            found = [row for row in found if row.published_at < self.published_before]
        if self.state:
            found = [row for row in found if row.state(now) == self.state]
        return found


Place = tuple[Value, str]
"""Place of a video in a sorted list: its sort value and its id."""


@dataclass(frozen=True, slots=True)
class Order:
    """Order of a list: by one of `SORTS`, then by id."""

    by: str = BY_ID
    descending: bool = False

    def places(self, rows: Sequence[IndexedVideo], wanted: VideoFilter, stats: StatsTable | None, now: float
               ) -> list[Place]:  # fmt: skip
        """Return the place of each video. Without statistics every video has 0 views."""
        if self.by == VIEWS:
            ids = [row.id for row in rows]
            return list(zip([0] * len(ids) if stats is None else stats.views_of_week(ids, now), ids, strict=True))
        if self.by == RELEVANCE:
            return _by_relevance(rows, wanted.words)
        if self.by == "state":
            return [(STATES.index(row.state(now)), row.id) for row in rows]
        value = _VALUES[self.by]
        return [(value(row), row.id) for row in rows]


class Found(NamedTuple):
    """Part of a list: places of up to `limit` videos, whether more follow, and the total number of videos."""

    places: list[Place]
    more: bool
    total: int


def search(
    rows: Iterable[IndexedVideo],
    wanted: VideoFilter,
    order: Order,
    after: Place | None,
    limit: int,
    stats: StatsTable | None,
    now: float,
) -> Found:
    """Return the first `limit` admitted videos after the place `after` (None: from the start)."""
    admitted = wanted.admitted(rows, now)
    places = order.places(admitted, wanted, stats, now)
    total = len(places)
    if after is not None:
        places = [each for each in places if (each < after if order.descending else each > after)]
    pick = heapq.nlargest if order.descending else heapq.nsmallest
    return Found(pick(limit, places), len(places) > limit, total)


@lru_cache(maxsize=4_096)
def _cut(text: str) -> str:
    return folded(text)[:SORTED_LETTERS]


_VALUES: dict[str, Callable[[IndexedVideo], Value]] = {
    BY_ID: lambda row: "",
    "title": lambda row: row.sorted_title,
    "category": lambda row: _cut(row.category),
    "creator": lambda row: _cut(row.creator),
    "rating": lambda row: RATINGS.get(row.rating, UNRATED),
    "publishedAt": lambda row: row.published_at,
    "updatedAt": lambda row: row.updated_at,
    "durationSeconds": lambda row: row.duration_seconds,
}


def _by_relevance(rows: Sequence[IndexedVideo], words: Sequence[str]) -> list[Place]:
    """Rank videos: 0 if the id is the searched word, 1 if every searched word begins a word of the text, else 2."""
    if not words:
        return [(0, row.id) for row in rows]
    begins = [(f" {word}", re.compile(rf"[\W_]{re.escape(word)}")) for word in words]
    id_line = f"\n{words[0]}\n" if len(words) == 1 else "\n\n"

    def rank(text: str) -> int:
        if text.startswith(id_line):
            return 0
        return 1 if all(plain in text or pattern.search(text) for plain, pattern in begins) else 2

    return [(rank(row.text), row.id) for row in rows]
