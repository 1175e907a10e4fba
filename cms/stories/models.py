"""Response models of reported stories."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

from pydantic import Field

from cms.request import quoted
from cms.views import NextCursor, one_of
from shared.domain.formats import iso_time
from shared.web.responses import Count, Time, View
from stories.moderation import REASONS, SHOWN_TEXTS, ReportedStory
from stories.story import HELD


class ReportText(View):
    """A report that has a text."""

    reason: Annotated[str, Field(json_schema_extra=one_of(*REASONS))]
    text: str
    at: Time


class StoryForReview(View):
    """A story that waits for an editor."""

    id: str
    author_id: Annotated[str, Field(description="The author's public id.")]
    kind: Annotated[str, Field(json_schema_extra=one_of("text", "image", "video"))]
    text: str | None
    media_url: Annotated[str | None, Field(description="URL of its media, valid for an hour.")]
    media_type: str | None
    visibility: Annotated[str, Field(json_schema_extra=one_of("public", "friends", "private"))]
    maturity_rating: str
    held: Annotated[bool, Field(description="true: only its author sees it until an editor decides.")]
    reports: Annotated[dict[str, Count], Field(description="Number of people by reason, since the last decision.")]
    texts: Annotated[list[ReportText], Field(description=f"The newest {SHOWN_TEXTS} reports with a text.")]
    created_at: Time
    expires_at: Time
    etag: Annotated[str, Field(description="Send it in If-Match to decide on this version.")]


class StoryQueue(View):
    """A page of reported stories."""

    stories: Annotated[list[StoryForReview], Field(description="The oldest story first, without decided ones.")]
    next_cursor: NextCursor


class StoryDecision(View):
    """A story's state after the decision."""

    id: str
    state: Annotated[str, Field(json_schema_extra=one_of("live", "held", "removed"))]


def review_view(each: ReportedStory) -> StoryForReview:
    """Build the view of one story of the queue."""
    story = each.story
    return StoryForReview.unchecked(
        id=story.id,
        author_id=story.author_id,
        kind=story.kind,
        text=story.text,
        media_url=each.media_url,
        media_type=story.media.content_type if story.media else None,
        visibility=story.visibility,
        maturity_rating=story.rating,
        held=story.state == HELD,
        reports=dict(Counter(report.reason for report in each.reports)),
        texts=[
            ReportText.unchecked(reason=report.reason, text=report.text, at=iso_time(report.at))
            for report in each.reports
            if report.text
        ][:SHOWN_TEXTS],
        created_at=iso_time(story.created_at),
        expires_at=iso_time(story.expires_at),
        etag=quoted(each.entry.etag),
    )
