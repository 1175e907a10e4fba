"""Endpoints of stories: post, read and delete a story, and list the row of authors that an app shows."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import azure.functions as func

from shared.adapters.documents.port import STORIES, Replace, StoreUnavailable, WriteRejected
from shared.domain.formats import iso_time
from shared.observability.logs import log_event
from shared.observability.metrics import Telemetry
from shared.web.admission import Kind, Limits
from shared.web.bodies import read_object
from shared.web.declaration import Body, Parameter, Response
from shared.web.endpoint import BASE_HEADERS, Call, Edge, json_response
from shared.web.http_response import HttpResponse
from shared.web.list_cursor import CURSOR
from shared.web.openapi import X_PERSONALIZATION
from shared.web.problems import bad_request, clock_wrong
from shared.web.social_endpoint import MAX_BODY_BYTES, PRIVATE, social_endpoint
from stories.media_check import MediaCheck
from stories.people_api import EXAMPLE_ID
from stories.person_call import LIMIT, PAGE_PROBLEMS
from stories.posting import Posting
from stories.requests import StoryToPost
from stories.responses import AuthorStories, StoriesFreshness, StoryCounts, StoryItem, StoryRow
from stories.seen import SeenStories
from stories.story import DELETED, Story, bucket_of
from stories.story_access import AGE_BAND, Looking
from stories.story_forms import read_story
from stories.story_parts import StoryParts
from stories.story_row import Shelf
from stories.story_rows import MAX_CURSOR, NEWEST, ORDERS, RANKED, StoryRows
from stories.story_stats import StoryStatistics
from stories.story_views import by_emoji, story_view
from stories.visibility import StoryViewer

log = logging.getLogger("feed.stories")

MAX_IDEMPOTENCY_KEY = 200
EXAMPLE_STORY = "01KB8ZKQ3V5WJ4Y8N2T6R1C9XD-2"
EXAMPLE: dict[str, Any] = {
    "id": EXAMPLE_STORY,
    "authorId": EXAMPLE_ID,
    "kind": "text",
    "text": "Off to the lake.",
    "mediaKey": None,
    "mediaUrl": None,
    "mediaType": None,
    "width": None,
    "height": None,
    "durationSeconds": None,
    "visibility": "friends",
    "maturityRating": "PG",
    "category": None,
    "tags": [],
    "state": "live",
    "createdAt": "2026-11-20T12:00:00Z",
    "expiresAt": "2026-11-21T12:00:00Z",
}
_KEY = Parameter(
    "Idempotency-Key",
    "header",
    "A key that the client makes up for each story. The same key and body, sent again within a day, return the same "
    "story.",
    {"type": "string", "maxLength": MAX_IDEMPOTENCY_KEY},
)
_ORDER = Parameter(
    "order",
    "query",
    "`newest` (the default): the author of the newest story first. `ranked`: authors with unseen stories first, by the "
    "ranking; `mode` says whether that was possible.",
    {"type": "string", "pattern": "^(ranked|newest)?$"},
    example=NEWEST,
)
_ROW_CURSOR = replace(CURSOR, schema={"type": "string", "pattern": f"^[A-Za-z0-9._]{{0,{MAX_CURSOR}}}$"})


class StoriesApi:
    """Serves stories. The rule in stories/visibility.py decides in memory which of them a viewer can see."""

    def __init__(self, parts: StoryParts, looking: Looking, posting: Posting, seen: SeenStories) -> None:
        self.edge: Edge = parts.edge
        self._documents = parts.documents
        self._limits: Limits = parts.limits
        self._telemetry: Telemetry = parts.telemetry
        self._clock_trusted = parts.clock_trusted
        self._media: MediaCheck = parts.media
        self._looking = looking
        self._calls = looking.calls
        self._catalogs = looking.catalogs
        self._posting = posting
        self._seen = seen
        self._rows = StoryRows(parts, looking, seen)
        self._statistics = StoryStatistics(parts.documents)

    @social_endpoint(
        "POST",
        "v1/stories",
        "Post a story",
        tag="stories",
        brand=True,
        description="A story ends after the tenant's `storyHours`. `friends` means the author's followers, or only "
        "mutual followers where the tenant's `friendsMean` is `mutuals`. With `audienceUserIds` it means only the "
        "people named. At most 20 a minute. `media_not_ready`: the upload is not completed, or belongs to somebody "
        "else.",
        parameters=(_KEY,),
        body=Body(StoryToPost, {"visibility": "friends", "text": "Off to the lake."}),
        responses={
            201: Response("The story.", StoryItem, EXAMPLE),
            200: Response("The story that this Idempotency-Key created before.", StoryItem, EXAMPLE),
        },
        problems=(
            *("invalid_json", "invalid_body", "invalid_story", "invalid_visibility", "invalid_idempotency_key"),
            *("media_not_ready", "idempotency_conflict", "stories_full", "clock_wrong"),
        ),
    )
    async def post_story(self, call: Call) -> func.HttpResponse:
        """Create a story, at most one per Idempotency-Key."""
        if not self._clock_trusted():
            raise clock_wrong()
        key = call.headers.get("idempotency-key", "")
        if len(key) > MAX_IDEMPOTENCY_KEY:
            raise bad_request(
                "invalid_idempotency_key",
                f"Idempotency-Key can have at most {MAX_IDEMPOTENCY_KEY} characters. Send a shorter one.",
            )
        with self._limits.admit(Kind.SOCIAL, call.tenant, call.user_key):
            form = read_story(read_object(call.request, MAX_BODY_BYTES), call.tenant)
            author = self._calls.me(call)
            story, new = await self._posting.post(author, form, call.tenant, key, call.now)
            if new:
                self._telemetry.count("stories_created", call.tenant.id, story.visibility)
                log_event(log, logging.INFO, "story_created", tenant=call.tenant.id, visibility=story.visibility)
            viewer = await self._looking.viewer(call)
            view = await story_view(story, viewer, call.tenant.id, self._media)
        return json_response(view, 201 if new else 200, cache=PRIVATE)

    @social_endpoint(
        "GET",
        "v1/stories",
        "List the row of stories",
        tag="stories",
        description="Authors with stories that the viewer can see: stories of friends, public stories, and the "
        "viewer's own. Left out: stories that have ended, are held for moderation, or are rated above the viewer's "
        "limit, and authors who block the viewer or whom the viewer blocks.",
        parameters=(LIMIT, _ROW_CURSOR, _ORDER, X_PERSONALIZATION, AGE_BAND),
        responses={
            200: Response(
                "A page of authors.",
                StoryRow,
                {
                    "authors": [
                        {
                            "authorId": EXAMPLE_ID,
                            "unseen": 1,
                            "latestAt": "2026-11-20T12:00:00Z",
                            "stories": [{**EXAMPLE, "seen": False}],
                        }
                    ],
                    "nextCursor": None,
                    "mode": "newest",
                    "reason": None,
                    "freshness": {"ageSeconds": 2.1},
                },
            )
        },
        problems=(*PAGE_PROBLEMS, "invalid_order", "invalid_personalization"),
    )
    async def get_stories(self, call: Call) -> func.HttpResponse:
        """Return a page of the row. It is empty while the viewer's circle cannot be read: blocks are unknown then."""
        order = call.request.params.get("order") or NEWEST
        if order not in ORDERS:
            raise bad_request("invalid_order", f"order must be one of {', '.join(ORDERS)}.")
        with self._limits.admit(Kind.SOCIAL, call.tenant, call.user_key):
            limit = self._calls.limit(call)
            page = await (self._rows.ranked if order == RANKED else self._rows.newest)(call, limit)
            authors = []
            if page.viewer is not None:
                authors = [
                    await self._author_view(each, page.viewer, page.seen, call.tenant.id) for each in page.shelves
                ]
        self._telemetry.count("story_rows", call.tenant.id, page.mode, page.reason or "none")
        return json_response(
            StoryRow.unchecked(
                authors=authors,
                next_cursor=page.cursor,
                mode=page.mode,
                reason=page.reason,
                freshness=StoriesFreshness.unchecked(age_seconds=self._catalogs.age()),
            ),
            cache=PRIVATE,
        )

    async def _author_view(
        self, shelf: Shelf, viewer: StoryViewer, seen: frozenset[str], tenant_id: str
    ) -> AuthorStories:
        stories = [
            await story_view(each, viewer, tenant_id, self._media, seen=each.id in seen) for each in shelf.stories
        ]
        return AuthorStories.unchecked(
            author_id=shelf.author_id, unseen=shelf.unseen, latest_at=iso_time(shelf.latest_at), stories=stories
        )

    @social_endpoint(
        "GET",
        "v1/stories/{id}",
        "Read a story",
        tag="stories",
        brand=True,
        description="404 if the story does not exist or the viewer cannot see it. The author also gets its counts.",
        parameters=(AGE_BAND,),
        responses={200: Response("The story.", StoryItem, {**EXAMPLE, "seen": True})},
        problems=("story_not_found",),
    )
    async def get_story(self, call: Call) -> func.HttpResponse:
        """Return one story if the viewer can see it."""
        with self._limits.admit(Kind.SOCIAL, call.tenant, call.user_key):
            story, viewer = await self._looking.story(call)
            counts, seen = None, False
            if story.author_id == viewer.id:
                views, *reactions = await self._statistics.of_story(call.tenant.id, story.id)
                counts = StoryCounts(views=views, reactions=by_emoji(reactions))
            else:
                seen = story.id in await self._seen.of(self._calls.me(call), latest=True)
            view = await story_view(story, viewer, call.tenant.id, self._media, seen=seen, counts=counts)
        return json_response(view, cache=PRIVATE)

    @social_endpoint(
        "DELETE",
        "v1/stories/{id}",
        "Delete the caller's own story",
        tag="stories",
        brand=True,
        responses={204: Response("Deleted.")},
        problems=("story_not_found",),
    )
    async def delete_story(self, call: Call) -> func.HttpResponse:
        """Delete the caller's own story, with its text and media at once."""
        with self._limits.admit(Kind.SOCIAL, call.tenant, call.user_key):
            story = await self._looking.own_story(call)
            await self._end(call.tenant.id, story, call.now)
        return HttpResponse(status_code=204, headers={**BASE_HEADERS, "Cache-Control": PRIVATE})

    async def _end(self, tenant_id: str, story: Story, now: float) -> None:
        if story.media is not None:
            await self._media.remove(tenant_id, story.media.key)
        partition = bucket_of(tenant_id, story.id)
        stored = await self._documents.read(STORIES, partition, story.id, latest=True)
        if stored is None:
            return
        body = {**stored.body, "state": DELETED, "deletedAt": now, "text": None, "media": None, "why": "author"}
        try:
            await self._documents.write(STORIES, partition, [Replace(body, stored.etag)])
        except WriteRejected as refused:
            raise StoreUnavailable("the story was changed at the same time", 1.0) from refused
        gone = Story.from_document(body)
        if gone is not None:
            self._catalogs.apply(tenant_id, gone)
