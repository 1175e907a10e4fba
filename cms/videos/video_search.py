"""Searches and sorts a tenant's videos in memory. Pure: loops over rows of a few fields, milliseconds for 50,000."""

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
"""Letters of a text that a list is sorted by; then the id decides. So a cursor stays short."""
BY_ID, RELEVANCE, VIEWS = "id", "relevance", "views"
SORTS = (
    *(BY_ID, "title", "category", "creator", "rating", "state", "publishedAt", "updatedAt", "durationSeconds"),
    *(VIEWS, RELEVANCE),
)
Value = str | float
"""What a video is sorted by: texts with texts, numbers with numbers."""


@dataclass(frozen=True, slots=True)
class IndexedVideo:
    """What a search looks at. `text` is everything that words are looked for in; times in seconds since the epoch."""

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
        """A stored video; None for what is none, such as a tombstone or a document that cannot be read."""
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
        """Where it stands now: one of `STATES`."""
        return state_at(self.status, self.published_at, self.expires_at, self.rating, now)


@dataclass(frozen=True, slots=True)
class VideoFilter:
    """What narrows a list of videos down; a criterion that is empty or None admits every video.

    `words` are folded; each must be a part of a video's text. Published from `published_from` on, and before
    `published_before`.
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
        """The videos that meet every criterion."""
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
"""Where a video stands in a sorted list: what it is sorted by, and its id."""


@dataclass(frozen=True, slots=True)
class Order:
    """How a list is sorted, by one of `SORTS`; videos that are equal in that, by id."""

    by: str = BY_ID
    descending: bool = False

    def places(self, rows: Sequence[IndexedVideo], wanted: VideoFilter, stats: StatsTable | None, now: float
               ) -> list[Place]:  # fmt: skip
        """The place of each video. Without statistics nobody was viewed."""
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
    """A part of a list: the places of up to `limit` videos, whether more follow, and how many there are in all."""

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
    """The `limit` videos that follow the place `after` (None: from the start) of those that the filter admits."""
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
    """0 for the video of that id, then 1 for those whose words begin with every word, then 2 for the rest."""
    if not words:
        return [(0, row.id) for row in rows]
    begins = [(f" {word}", re.compile(rf"[\W_]{re.escape(word)}")) for word in words]
    id_line = f"\n{words[0]}\n" if len(words) == 1 else "\n\n"

    def rank(text: str) -> int:
        if text.startswith(id_line):
            return 0
        return 1 if all(plain in text or pattern.search(text) for plain, pattern in begins) else 2

    return [(rank(row.text), row.id) for row in rows]
