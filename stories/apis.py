"""Builds the stories package: the objects behind its endpoints, and the jobs that timers run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shared.adapters.flags.evaluation import LIVE_FRAMES_FULL, STORIES, STORY_LIVE
from stories.activity import Activity
from stories.activity_api import ActivityApi
from stories.api import StoriesApi
from stories.counts import StoryCounter
from stories.expiry import Expiry
from stories.graph import Graph
from stories.inbox import Inbox
from stories.live_api import LiveApi
from stories.live_push import LivePush
from stories.moderation import Moderation
from stories.moderation_api import ReportsApi
from stories.people_api import PeopleApi
from stories.people_pages import PeoplePages
from stories.person_call import PersonCalls
from stories.personal_data import PersonalData
from stories.posting import Posting
from stories.search_api import SearchApi
from stories.seen import SeenStories
from stories.story_access import Looking
from stories.story_catalog import StoryCatalogs
from stories.story_parts import StoryParts

COUNT_SECONDS, EXPIRE_SECONDS = 30, 60
"""Intervals of the counting and expiry jobs."""

STORY_APIS = (PeopleApi, StoriesApi, SearchApi, ActivityApi, ReportsApi, LiveApi)


@dataclass(frozen=True, slots=True)
class Social:
    """People and stories of one process. Reads nothing before the first request, or while the feature is off."""

    parts: StoryParts
    catalogs: StoryCatalogs
    inbox: Inbox
    push: LivePush
    counter: StoryCounter
    expiry: Expiry
    moderation: Moderation
    personal_data: PersonalData
    apis: dict[type, Any]
    """Endpoint class → its instance."""

    async def count(self) -> int:
        """Count new views and reactions if any tenant has stories on; return how many. 0 while the clock is wrong."""
        tenants, flags = self.parts.tenants, self.parts.flags
        on = any(flags.on(STORIES, id, own=tenant.feature_flags) for id in tenants.ids() if (tenant := tenants.get(id)))
        return await self.counter.run() if on and self.parts.clock_trusted() else 0

    async def expire(self) -> int:
        """End stories whose time is over; return how many. 0 while the clock is wrong."""
        return await self.expiry.run() if self.parts.clock_trusted() else 0

    async def close(self) -> None:
        await self.push.close()
        await self.catalogs.close()


def build_social(parts: StoryParts) -> Social:
    """Build all objects. Opens no connection."""
    documents = parts.documents
    graph = Graph(documents, parts.clock)
    catalogs = StoryCatalogs(documents, parts.settings, parts.telemetry, parts.clock, parts.elapsed)
    calls = PersonCalls(parts.identity, parts.keys)
    looking = Looking(calls, graph, catalogs, parts.maturity_limit)

    def is_on(flag: str) -> Callable[[str], bool]:
        def on(tenant_id: str) -> bool:
            tenant = parts.tenants.get(tenant_id)
            return tenant is not None and parts.edge.is_on(flag, tenant)

        return on

    push = LivePush(parts.live, parts.telemetry, is_on(STORY_LIVE), is_on(LIVE_FRAMES_FULL))
    seen, inbox = SeenStories(documents), Inbox(documents, parts.clock, push.nudge)
    activity = Activity(documents, seen)
    moderation = Moderation(documents, catalogs, parts.media, parts.telemetry)
    apis: dict[type, Any] = {
        PeopleApi: PeopleApi(parts.edge, calls, graph, PeoplePages(documents, graph), parts.limits),
        StoriesApi: StoriesApi(parts, looking, Posting(documents, catalogs, parts.media), seen),
        SearchApi: SearchApi(parts, looking, seen),
        ActivityApi: ActivityApi(parts, looking, activity, inbox),
        ReportsApi: ReportsApi(parts, looking, moderation),
        LiveApi: LiveApi(parts.edge, calls, parts.live, parts.limits, parts.telemetry),
    }
    expiry = Expiry(
        documents,
        catalogs,
        parts.media,
        parts.tenants,
        parts.flags,
        parts.telemetry,
        parts.clock,
        parts.elapsed,
        moderation,
    )
    personal_data = PersonalData(documents, parts.identity, graph, seen, catalogs, parts.media)
    return Social(parts, catalogs, inbox, push, StoryCounter(documents, inbox), expiry, moderation, personal_data, apis)
