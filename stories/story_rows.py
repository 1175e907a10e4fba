"""Serves a page of the row of stories: ranked if requested and possible, else newest first.

mode (flag, consent, switches) → circle, seen and signals, concurrently → stories and videos → order → page
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
"""Purposes of the cursors of the two orders; a cursor of one order is invalid for the other."""
MAX_CURSOR = 4_096
"""Longest cursor of a ranked walk. It carries 8 bytes for each of at most `RANKED_AUTHORS + MAX_LIMIT` served authors,
base64-encoded twice."""
assert (RANKED_AUTHORS + MAX_LIMIT) * 8 * 16 // 9 < MAX_CURSOR - 200
SEED_SECONDS = 600.0
"""How long the exploration place keeps the same author for one viewer."""
REASONS = {
    "follows_unavailable": "Follows and blocks could not be read in time, so nothing is shown.",
    "ranked_off": "The flag `story-ranked` is off.",
    "ranking_late": "The stories were loaded a moment ago, and the ranking has not prepared them yet.",
    "walk_newest_first": f"An earlier page was newest first, or {RANKED_AUTHORS} ranked authors were served already.",
}
"""Reasons why a row is not ranked, in addition to those of a feed."""


@dataclass(frozen=True, slots=True)
class RowPage:
    """A page of the row: authors with their stories, the viewer (None: unknown, the page is empty) and the ids they
    have seen, the next cursor, the order, and why it is not ranked."""

    shelves: Sequence[Shelf]
    viewer: StoryViewer | None
    seen: frozenset[str]
    cursor: str | None
    mode: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class _ViewerState:
    """The viewer, the ids of stories they have seen, and their closeness to authors."""

    viewer: StoryViewer
    seen: frozenset[str]
    closeness: Closeness


class StoryRows:
    """Reads what a page needs, and builds the page."""

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
        """Return a page with the newest story's author first. It is empty if the viewer's circle cannot be read."""
        after = self._calls.after(call, NEWEST_WALK)
        columns = await self._catalogs.get(call.tenant.id)
        state = await self._read_viewer(call)
        if state is None:
            return _nothing(NEWEST)
        shelves, place = row_of(columns, state.viewer, state.seen, call.now, after, limit)
        cursor = self._calls.cursor(call, place, NEWEST_WALK)
        return RowPage(shelves, state.viewer, state.seen, cursor, NEWEST, None)

    async def ranked(self, call: Call, limit: int) -> RowPage:
        """Return a page in the order of the ranking, or newest first with a reason if it cannot be ranked."""
        place = self._calls.place(call, RANKED_WALK)
        walk = Walk() if place is None else Walk.from_place(place)
        allowed = consented(call.headers)
        columns = await self._catalogs.get(call.tenant.id)
        state, personal = await asyncio.gather(self._read_viewer(call), self._ranks(call, walk, allowed))
        if state is None:
            return _nothing(FALLBACK)
        reason = personal if isinstance(personal, str) else personal.reason
        videos = None
        if reason is None:
            videos = await self._videos_of(columns, call.now)
            reason = "ranking_late" if videos is None else None

        # No await from here on: the rows of stories and videos must not change during the ranking.
        if videos is not None and isinstance(personal, PersonalRanking):
            by = RankedBy(videos, personal, state.closeness, self._seed(call))
            shelves, behind = ranked_row(columns, state.viewer, state.seen, call.now, walk, limit, by)
        else:
            shelves, after = row_of(columns, state.viewer, state.seen, call.now, walk.after, limit, walk.served)
            behind = None if after is None else Walk(walk.served, after)
        cursor = None if behind is None else self._calls.sealed(call, behind.to_place(), RANKED_WALK)
        return RowPage(shelves, state.viewer, state.seen, cursor, RANKED if reason is None else FALLBACK, reason)

    async def _ranks(self, call: Call, walk: Walk, allowed: bool) -> PersonalRanking | str:
        """Read the personal ranking, or return the reason why the page is not ranked."""
        if not self._edge.is_on(STORY_RANKED, call.tenant):
            return "ranked_off"
        if not walk.is_ranked:
            return "walk_newest_first"
        return await self._personal(call.tenant, call.user_key, allowed)

    async def _read_viewer(self, call: Call) -> _ViewerState | None:
        """Read the viewer and their seen stories; None if that takes too long or fails."""
        both = asyncio.gather(self._looking.viewer(call), self._seen.read(self._calls.me(call)))
        try:
            viewer, seen = await with_timeout(self._budget_seconds, both, StoreUnavailable)
        except StoreUnavailable:
            return None
        return _ViewerState(viewer, frozenset(seen.stories), seen.closeness)

    async def _videos_of(self, columns: StoryColumns, now: float) -> StoryVideos | None:
        """Return the stories as videos; None if that takes longer than a request waits. The next request continues."""
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
