"""Endpoint of reports: a viewer reports a story to the tenant's editors."""

from __future__ import annotations

import logging

import azure.functions as func

from shared.observability.logs import log_event
from shared.web.admission import Kind
from shared.web.bodies import read_object
from shared.web.declaration import Body, Response
from shared.web.endpoint import BASE_HEADERS, Call, Edge
from shared.web.http_response import HttpResponse
from shared.web.problems import Problem
from shared.web.social_endpoint import MAX_BODY_BYTES, PRIVATE, social_endpoint
from stories.moderation import Moderation, read_report
from stories.requests import ReportOfStory
from stories.story import STORY_ID
from stories.story_access import Looking
from stories.story_parts import StoryParts

log = logging.getLogger("feed.stories")


class ReportsApi:
    """Accepts reports of stories."""

    def __init__(self, parts: StoryParts, looking: Looking, moderation: Moderation) -> None:
        self.edge: Edge = parts.edge
        self._limits = parts.limits
        self._telemetry = parts.telemetry
        self._looking = looking
        self._moderation = moderation

    @social_endpoint(
        "POST",
        "v1/stories/{id}/report",
        "Report a story to the tenant's editors",
        tag="stories",
        description="Each person's first report counts. Once `storyHoldReports` people have reported a story, only its "
        "author sees it until an editor decides.",
        body=Body(ReportOfStory, {"reason": "spam", "text": "The same advertisement every day."}),
        responses={202: Response("Accepted. Repeating the call has no further effect.")},
        problems=("invalid_json", "invalid_body", "invalid_report", "story_not_found"),
    )
    async def report_story(self, call: Call) -> func.HttpResponse:
        """Store a report, and hold the story once enough people reported it."""
        with self._limits.admit(Kind.SOCIAL, call.tenant, call.user_key):
            reason, text = read_report(read_object(call.request, MAX_BODY_BYTES))
            me, tenant = self._looking.calls.me(call), call.tenant
            story_id = call.request.route_params.get("id", "")
            try:
                story, _ = await self._looking.story(call)
            except Problem as refused:
                # The reporter cannot see a story that their own report held back. A repeated report still succeeds.
                again = refused.status == 404 and STORY_ID.matches(story_id)
                if not (again and await self._moderation.has_reported(me, story_id)):
                    raise
                await self._moderation.settle(tenant.id, story_id, tenant.story_hold_reports, call.now)
            else:
                if story.author_id != me.id:
                    if await self._moderation.report(me, story, reason, text, call.now):
                        self._telemetry.count("story_reports", tenant.id, reason)
                        log_event(log, logging.INFO, "story_reported", tenant=tenant.id, reason=reason)
                    await self._moderation.settle(tenant.id, story.id, tenant.story_hold_reports, call.now)
        return HttpResponse(status_code=202, headers={**BASE_HEADERS, "Cache-Control": PRIVATE})
