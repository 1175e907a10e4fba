"""Reads the viewer of a call and checks access to single stories, the same way for every endpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from shared.domain.age_bands import EVERY_AGE, AgeBand, read_age_band
from shared.domain.records import Tenant
from shared.web.declaration import Parameter
from shared.web.endpoint import Call
from shared.web.problems import Problem
from stories.graph import Graph
from stories.person_call import PersonCalls
from stories.story import Story
from stories.story_catalog import StoryCatalogs
from stories.visibility import StoryViewer, may_see

AGE_BAND = Parameter(
    "ageBand",
    "query",
    "The viewer's age band, such as 13-17 or 65+. It can only lower the tenant's policy. An unreadable band counts as "
    "every age.",
    {"type": "string", "maxLength": 64},
    example="13-17",
)
MaturityLimit = Callable[[Tenant, AgeBand | None], int]


@dataclass(frozen=True, slots=True)
class Looking:
    """Reads the viewer of a call, and single stories that this viewer can see."""

    calls: PersonCalls
    graph: Graph
    catalogs: StoryCatalogs
    maturity_limit: MaturityLimit

    async def viewer(self, call: Call) -> StoryViewer:
        """Read the caller's circle and limits. Raises `StoreUnavailable`: without a circle blocks are unknown."""
        person = self.calls.me(call)
        stored = await self.graph.circle(person, latest=True)
        given = call.request.params.get("ageBand")
        band = (read_age_band(given) or EVERY_AGE) if given else None
        return StoryViewer.of(person, stored.circle, call.tenant, self.maturity_limit(call.tenant, band))

    async def story(self, call: Call) -> tuple[Story, StoryViewer]:
        """Return the story in the path and its viewer.

        Raises the same 404 `Problem` for a missing story and one that this viewer cannot see: its existence is private.
        """
        viewer = await self.viewer(call)
        story = await self.catalogs.find(call.tenant.id, call.request.route_params.get("id", ""))
        if story is None or not may_see(story, viewer, call.now):
            raise Problem(404, "story_not_found", "The story does not exist, or this viewer cannot see it.")
        return story, viewer

    async def own_story(self, call: Call) -> Story:
        """Return the story in the path. Raises a 404 `Problem` unless the caller is its author."""
        story, viewer = await self.story(call)
        if story.author_id != viewer.id:
            raise Problem(404, "story_not_found", "This person has no story with this id.")
        return story
