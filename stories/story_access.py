"""Who looks at stories, and what they may see of them: the same for every call."""

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
    "The viewer's age band, such as 13-17 or 65+; it can only lower the tenant's policy. One that cannot be read "
    "counts as every age.",
    {"type": "string", "maxLength": 64},
    example="13-17",
)
MaturityLimit = Callable[[Tenant, AgeBand | None], int]


@dataclass(frozen=True, slots=True)
class Looking:
    """Reads the viewer of a call, and single stories for them."""

    calls: PersonCalls
    graph: Graph
    catalogs: StoryCatalogs
    maturity_limit: MaturityLimit

    async def viewer(self, call: Call) -> StoryViewer:
        """Raises `StoreUnavailable`: without the circle nobody knows who is blocked."""
        person = self.calls.me(call)
        stored = await self.graph.circle(person, latest=True)
        given = call.request.params.get("ageBand")
        band = (read_age_band(given) or EVERY_AGE) if given else None
        return StoryViewer.of(person, stored.circle, call.tenant, self.maturity_limit(call.tenant, band))

    async def story(self, call: Call) -> tuple[Story, StoryViewer]:
        """The story in the path. Raises one and the same 404 `Problem` for what is not there and what this viewer may
        not see: that it exists is private."""
        viewer = await self.viewer(call)
        story = await self.catalogs.find(call.tenant.id, call.request.route_params.get("id", ""))
        if story is None or not may_see(story, viewer, call.now):
            raise Problem(404, "story_not_found", "The story does not exist, or this viewer cannot see it.")
        return story, viewer

    async def own_story(self, call: Call) -> Story:
        """The same for what only the author may do."""
        story, viewer = await self.story(call)
        if story.author_id != viewer.id:
            raise Problem(404, "story_not_found", "This person has no story with this id.")
        return story
