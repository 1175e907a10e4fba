"""Endpoint of search: finds stories by words in their text."""

from __future__ import annotations

import asyncio

import azure.functions as func

from shared.web.admission import Kind
from shared.web.declaration import Parameter, Response
from shared.web.endpoint import Call, Edge, json_response
from shared.web.problems import bad_request
from shared.web.social_endpoint import PRIVATE, social_endpoint
from stories.api import EXAMPLE
from stories.person_call import PAGE, PAGE_PROBLEMS
from stories.responses import FoundStories, StoriesFreshness
from stories.seen import SeenStories
from stories.story import Story
from stories.story_access import AGE_BAND, Looking
from stories.story_parts import StoryParts
from stories.story_search import MAX_QUERY, candidates, has_words, place_of, words_of
from stories.story_views import story_view
from stories.visibility import StoryViewer, may_see

SLICE = 500
"""Stories searched before yielding to the event loop."""
_Q = Parameter(
    "q",
    "query",
    "Words to find, ignoring case and accents. Each matches words that begin with it; a story must match them all.",
    {"type": "string", "minLength": 1, "maxLength": MAX_QUERY},
    required=True,
    example="lake",
)
_IN = Parameter(
    "in", "query", "What to search: `stories`, which is the default.", {"type": "string", "pattern": "^stories$"}
)


class SearchApi:
    """Searches the stories that the caller can see; visibility is checked before words are compared."""

    def __init__(self, parts: StoryParts, looking: Looking, seen: SeenStories) -> None:
        self.edge: Edge = parts.edge
        self._limits = parts.limits
        self._telemetry = parts.telemetry
        self._media = parts.media
        self._looking = looking
        self._calls = looking.calls
        self._catalogs = looking.catalogs
        self._seen = seen

    @social_endpoint(
        "GET",
        "v1/search",
        "Search stories",
        tag="stories",
        description="Searches only stories that the caller can see. The newest first.",
        parameters=(_Q, _IN, *PAGE, AGE_BAND),
        responses={
            200: Response(
                "A page of stories.",
                FoundStories,
                {"items": [{**EXAMPLE, "seen": False}], "nextCursor": None, "freshness": {"ageSeconds": 2.1}},
            )
        },
        problems=("invalid_query", *PAGE_PROBLEMS),
    )
    async def search_stories(self, call: Call) -> func.HttpResponse:
        """Return a page of results. Answers 503 while the caller's circle cannot be read: blocks are unknown then."""
        params = call.request.params
        query = params.get("q", "")
        words = words_of(query) if len(query) <= MAX_QUERY else []
        if not words or params.get("in", "stories") != "stories":
            raise bad_request(
                "invalid_query", f"q must have 1 to {MAX_QUERY} characters and at least one word. in must be stories."
            )
        with self._limits.admit(Kind.SOCIAL, call.tenant, call.user_key):
            walk = ("search", " ".join(words))
            after, limit = self._calls.after(call, *walk), self._calls.limit(call)
            viewer = await self._looking.viewer(call)
            found = await self._found(call, viewer, words, after, limit + 1)
            seen = frozenset(await self._seen.of(self._calls.me(call), latest=True)) if found else frozenset()
            page = found[:limit]
            items = [await story_view(each, viewer, call.tenant.id, self._media, seen=each.id in seen) for each in page]
        self._telemetry.count("story_searches", call.tenant.id)
        place = place_of(page[-1]) if len(found) > limit else None
        answer = FoundStories.unchecked(
            items=items,
            next_cursor=self._calls.cursor(call, place, *walk),
            freshness=StoriesFreshness.unchecked(age_seconds=self._catalogs.age()),
        )
        return json_response(answer, cache=PRIVATE)

    async def _found(
        self, call: Call, viewer: StoryViewer, words: list[str], after: str | None, most: int
    ) -> list[Story]:
        columns = await self._catalogs.get(call.tenant.id)
        found: list[Story] = []
        for at, story in enumerate(candidates(columns, viewer, call.now, after)):
            if at % SLICE == SLICE - 1:
                await asyncio.sleep(0)
            if has_words(columns, story, words):
                now = columns.get(story.id)  # it can have changed during the sleep
                if now is story and may_see(now, viewer, call.now):
                    found.append(now)
                    if len(found) == most:
                        break
        return found
