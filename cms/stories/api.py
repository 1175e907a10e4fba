"""CMS endpoints of reported stories: list the queue, approve or remove a story."""

from __future__ import annotations

import azure.functions as func

from cms.changes import not_found
from cms.documents import DocumentFlow, reason_if_text, require_match_if_given
from cms.endpoint import CURSOR, LIMIT, PAGE_PROBLEMS, acts, cms_endpoint
from cms.request import CmsRequest, cursor_after, quoted
from cms.stories.models import StoryDecision, StoryQueue, review_view
from shared.adapters.documents.port import Document
from shared.adapters.flags.evaluation import STORIES
from shared.web.endpoint import Edge, json_response
from shared.web.problems import Problem, bad_request
from stories.moderation import APPROVED, REPORTED, Moderation, decided, queue_document
from stories.story import REMOVED, STORY_ID, Story

KIND = "story"
PAGE = 20


class ReportedStoriesApi:
    """Lists reported stories and carries out decisions.

    A decision is written in one batch with its audit entry; then the story is changed accordingly.
    """

    def __init__(self, edge: Edge, flow: DocumentFlow, moderation: Moderation) -> None:
        self.edge = edge
        self._flow = flow
        self._moderation = moderation

    @cms_endpoint(
        "GET",
        "stories",
        "List stories that viewers reported",
        {200: StoryQueue},
        parameters=(LIMIT, CURSOR),
        problems=PAGE_PROBLEMS,
        flag=STORIES,
    )
    async def list_reported_stories(self, call: CmsRequest) -> func.HttpResponse:
        """Return a page of stories with reports since the last decision, whether they are held back or not."""
        limit, after = call.page(PAGE)
        if after is not None and not STORY_ID.matches(after.removeprefix(REPORTED)):
            raise bad_request("invalid_cursor", "The cursor is not valid. Start again without it.")
        hold_at = call.caller.tenant.story_hold_reports
        found, place = await self._moderation.queue(call.tenant_id, after, limit, hold_at, call.now)
        return json_response(
            StoryQueue.unchecked(stories=[review_view(each) for each in found], next_cursor=cursor_after(place))
        )

    @acts("stories/{id}/approve", "Approve a reported story", StoryDecision, "story_removed", flag=STORIES)
    async def approve_story(self, call: CmsRequest) -> func.HttpResponse:
        """Show a story to its viewers again. Only later reports can hold it back."""
        story, entry = await self._story(call)
        if entry is None:
            raise not_found(KIND)
        if entry.body["state"] == REMOVED:
            raise Problem(
                409, "story_removed", "The story was removed with its text and media, so it cannot be approved."
            )
        return await self._decide(call, story, entry, "approve", APPROVED)

    @acts("stories/{id}/remove", "Remove a story", StoryDecision, flag=STORIES)
    async def remove_story(self, call: CmsRequest) -> func.HttpResponse:
        """Remove any story of the tenant and its media, reported or not. Nobody sees it afterwards."""
        story, entry = await self._story(call)
        return await self._decide(call, story, entry, "remove", REMOVED)

    async def _story(self, call: CmsRequest) -> tuple[Story, Document | None]:
        """Read the story in the path and its queue document (None: not reported). Raises a 404 `Problem`."""
        story = await self._moderation.stored(call.tenant_id, call.path("id", STORY_ID), call.now)
        if story is None:
            raise not_found(KIND)
        entry = await self._moderation.entry(call.tenant_id, story.id)
        require_match_if_given(call, entry)
        return story, entry

    async def _decide(
        self, call: CmsRequest, story: Story, entry: Document | None, action: str, state: str
    ) -> func.HttpResponse:
        author = call.author(reason_if_text(call.optional_body()))
        if entry is None or entry.body["state"] != REMOVED:  # else finish the earlier removal
            before = entry.body if entry else queue_document(story, call.now)
            after = decided(before, state, story, call.now)
            entry = await self._flow.write(call.tenant_id, KIND, story.id, action, entry, after, author)
            self._moderation.count_decision(call.tenant_id, action)
        hold_at = call.caller.tenant.story_hold_reports
        settled = await self._moderation.settle(call.tenant_id, story.id, hold_at, call.now)
        if settled is None:
            raise not_found(KIND)
        view = StoryDecision.unchecked(id=story.id, state=settled.state)
        return json_response(view, headers={"ETag": quoted(entry.etag)})
