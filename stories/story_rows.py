"""Serves a page of the row of stories: ranked when the caller asks for it and nothing forbids it, else newest first.

mode (flag, consent, switches) → circle, seen and signals, side by side → stories and videos → order → page
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from ranking.personal import PersonalRanking
from shared.adapters.documents.port import StoreUnavailable
from shared.adapters.flags.evaluation import EXPLORATION, STORY_RANKED
from shared.adapters.retry import with_timeout
from shared.domain.fingerprint import fingerprint
from shared.domain.records import MAX_LIMIT
from shared.web.authentication import consented
from shared.web.endpoint import Call
from stories.closeness import Closeness
from stories.ranked_row import RANKED_AUTHORS, RankedBy, Walk, ranked_row
from stories.seen import SeenStories
from stories.story_access import Looking
from stories.story_columns import StoryColumns
from stories.story_parts import StoryParts
from stories.story_row import Shelf, row_of
from stories.story_videos import StoryVideos, VideosOfStories
from stories.visibility import StoryViewer

NEWEST, RANKED, FALLBACK = "newest", "ranked", "fallback"
ORDERS = (RANKED, NEWEST)
NEWEST_WALK, RANKED_WALK = "stories", "stories-ranked"
"""What cursors of the two orders are made for: neither goes on with the other."""
MAX_CURSOR = 4_096
"""Of a ranked walk, which carries whom it has had: 8 bytes for each of at most `RANKED_AUTHORS + MAX_LIMIT` authors,
twice in base64."""
assert (RANKED_AUTHORS + MAX_LIMIT) * 8 * 16 // 9 < MAX_CURSOR - 200
SEED_SECONDS = 600.0
"""For so long the slot for exploration is for the same author."""
REASONS = {
    "follows_unavailable": "The graph did not come in time. Nothing is shown: nobody knows then who is blocked.",
    "ranked_off": "The flag `story-ranked` is off.",
    "ranking_late": "The ranking does not know the stories yet, for they were loaded a moment ago.",
    "walk_newest_first": f"The walk began newest first, or has had its {RANKED_AUTHORS} ranked authors.",
}
"""Why a row is not ranked, beside the reasons of a feed."""


@dataclass(frozen=True, slots=True)
class RowPage:
    """A page: what authors show to whom, the cursor behind it, how it was ordered and why not otherwise."""

    shelves: Sequence[Shelf]
    viewer: StoryViewer | None
    seen: frozenset[str]
    cursor: str | None
    mode: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class _Looks:
    """Who looks, what they have seen, and how close that makes them to whom."""

    viewer: StoryViewer
    seen: frozenset[str]
    closeness: Closeness


class StoryRows:
    """Reads what a page needs."""

    def __init__(self, parts: StoryParts, looking: Looking, seen: SeenStories) -> None:
        self._looking = looking
        self._calls = looking.calls
        self._catalogs = looking.catalogs
        self._seen = seen
        self._edge = parts.edge
        self._flags = parts.flags
        self._personal = parts.personal_ranking
        self._budget_seconds = parts.settings.signals_budget_ms / 1000
        self._videos_seconds = parts.settings.catalog_budget_ms / 1000
        self._videos = VideosOfStories()

    async def newest(self, call: Call, limit: int) -> RowPage:
        """A page of the row, the author of the newest story first. Without the viewer's circle it is empty."""
        after = self._calls.after(call, NEWEST_WALK)
        columns = await self._catalogs.get(call.tenant.id)
        looks = await self._who_looks(call)
        if looks is None:
            return _nothing(NEWEST)
        shelves, place = row_of(columns, looks.viewer, looks.seen, call.now, after, limit)
        cursor = self._calls.cursor(call, place, NEWEST_WALK)
        return RowPage(shelves, looks.viewer, looks.seen, cursor, NEWEST, None)

    async def ranked(self, call: Call, limit: int) -> RowPage:
        """The same in the order of the ranking: the newest first, with a reason, where nothing may be ranked."""
        place = self._calls.place(call, RANKED_WALK)
        walk = Walk() if place is None else Walk.from_place(place)
        allowed = consented(call.headers)
        columns = await self._catalogs.get(call.tenant.id)
        looks, personal = await asyncio.gather(self._who_looks(call), self._ranks(call, walk, allowed))
        if looks is None:
            return _nothing(FALLBACK)
        reason = personal if isinstance(personal, str) else personal.reason
        videos = None
        if reason is None:
            videos = await self._videos_of(columns, call.now)
            reason = "ranking_late" if videos is None else None

        # No await from here on: the rows of stories and videos may not change under the request.
        if videos is not None and isinstance(personal, PersonalRanking):
            by = RankedBy(videos, personal, looks.closeness, self._seed(call))
            shelves, behind = ranked_row(columns, looks.viewer, looks.seen, call.now, walk, limit, by)
        else:
            shelves, after = row_of(columns, looks.viewer, looks.seen, call.now, walk.after, limit, walk.served)
            behind = None if after is None else Walk(walk.served, after)
        cursor = None if behind is None else self._calls.sealed(call, behind.to_place(), RANKED_WALK)
        return RowPage(shelves, looks.viewer, looks.seen, cursor, RANKED if reason is None else FALLBACK, reason)

    async def _ranks(self, call: Call, walk: Walk, allowed: bool) -> PersonalRanking | str:
        """What ranks, or a reason against asking."""
        if not self._edge.is_on(STORY_RANKED, call.tenant):
            return "ranked_off"
        if not walk.is_ranked:
            return "walk_newest_first"
        return await self._personal(call.tenant, call.user_key, allowed)

    async def _who_looks(self, call: Call) -> _Looks | None:
        """The viewer and what they have seen; None where that cannot be read in time."""
        both = asyncio.gather(self._looking.viewer(call), self._seen.read(self._calls.me(call)))
        try:
            viewer, seen = await with_timeout(self._budget_seconds, both, StoreUnavailable)
        except StoreUnavailable:
            return None
        return _Looks(viewer, frozenset(seen.stories), seen.closeness)

    async def _videos_of(self, columns: StoryColumns, now: float) -> StoryVideos | None:
        """The videos of the stories; None where making them takes longer than a request waits: the next one goes on."""
        try:
            async with asyncio.timeout(self._videos_seconds):
                return await self._videos.of(columns, now)
        except TimeoutError:
            return None

    def _seed(self, call: Call) -> int | None:
        tenant = call.tenant
        if not self._flags.on(EXPLORATION, tenant.id, call.user_key, tenant.feature_flags):
            return None
        return fingerprint(f"{call.user_key}\n{int(call.now // SEED_SECONDS)}")


def _nothing(mode: str) -> RowPage:
    return RowPage((), None, frozenset(), None, mode, "follows_unavailable")
