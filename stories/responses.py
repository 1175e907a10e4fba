"""Response models of people and stories."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from shared.domain.formats import PUBLIC_ID
from shared.web.list_cursor import MAX_CHARS
from shared.web.responses import Count, Time, View

PublicId = Annotated[str, Field(pattern=f"^{PUBLIC_ID.pattern}$")]
"""Somebody of the tenant, as others may see them."""
NextCursor = Annotated[str | None, Field(max_length=MAX_CHARS, description="null: nothing follows.")]
FollowStateName = Annotated[
    str,
    Field(
        json_schema_extra={"enum": ["accepted", "requested"]},
        description="`requested`: the followed person has yet to agree.",
    ),
]


class Me(View):
    """The user as others see them."""

    id: PublicId


class FollowState(View):
    """How a follow stands."""

    state: FollowStateName


class FollowedPerson(View):
    """Somebody the user follows, or asked to."""

    kind: Annotated[str, Field(json_schema_extra={"enum": ["person"]})]
    id: PublicId
    state: FollowStateName
    followed_at: Time


class FollowedPeople(View):
    """A page of the people the user follows."""

    items: Annotated[list[FollowedPerson], Field(description="In the order of their ids.")]
    next_cursor: NextCursor


class FollowerItem(View):
    """Somebody who follows the user, or asks to."""

    id: PublicId
    state: FollowStateName
    since: Time


class FollowersPage(View):
    """A page of those who follow the user."""

    items: Annotated[list[FollowerItem], Field(description="In the order of their ids.")]
    next_cursor: NextCursor


class BlockedPerson(View):
    """Somebody the user blocks."""

    id: PublicId
    at: Time


class BlocksPage(View):
    """A page of those whom the user blocks."""

    items: Annotated[list[BlockedPerson], Field(description="In the order of their ids.")]
    next_cursor: NextCursor


class PublicIds(View):
    """Public ids of users."""

    ids: Annotated[dict[str, PublicId], Field(description="By the hash that was sent.")]


class StoryCounts(View):
    """What became of a story, as of the last half minute. For its author alone."""

    views: Count
    reactions: Annotated[dict[str, Count], Field(description="By emoji.")]


class StoryItem(View):
    """A story."""

    id: str
    author_id: PublicId
    kind: Annotated[str, Field(json_schema_extra={"enum": ["text", "image", "video"]})]
    text: str | None
    media_key: str | None
    media_url: Annotated[str | None, Field(description="Where the media is fetched, for an hour.")]
    media_type: str | None
    width: int | None
    height: int | None
    duration_seconds: float | None
    visibility: Annotated[str, Field(json_schema_extra={"enum": ["public", "friends", "private"]})]
    audience_user_ids: Annotated[list[PublicId] | None, Field(description="For the author alone.")] = None
    maturity_rating: str
    category: str | None
    tags: list[str]
    state: Annotated[str, Field(description="`live`; for the author also `held`: it waits for an editor.")]
    created_at: Time
    expires_at: Time
    seen: Annotated[bool, Field(description="Whether the viewer has seen it.")] = False
    counts: Annotated[StoryCounts | None, Field(description="For the author alone.")] = None


class AuthorStories(View):
    """What somebody has posted, as far as the viewer may see it."""

    author_id: PublicId
    unseen: Count
    latest_at: Time
    stories: Annotated[list[StoryItem], Field(description="The oldest first; the newest thirty.")]


class StoriesFreshness(View):
    """How old what was answered may be."""

    age_seconds: Annotated[float | None, Field(description="Seconds since the last look at what was posted.")]


class StoryRow(View):
    """A page of authors who have something to show."""

    authors: list[AuthorStories]
    next_cursor: Annotated[str | None, Field(max_length=4_096, description="null: nothing follows.")]
    mode: Annotated[
        str,
        Field(
            description="`newest`: the author of the newest story first. `ranked`: as asked for. `fallback`: newest "
            "first instead, for a `reason`."
        ),
    ]
    reason: Annotated[
        str | None,
        Field(
            description="Why it is not ranked: `ranked_off`, `ranking_late`, `walk_newest_first`, or a reason of a "
            "feed's `fallback`. `follows_unavailable`: nothing is shown by an unknown graph."
        ),
    ]
    freshness: StoriesFreshness


class FoundStories(View):
    """A page of stories that a search finds."""

    items: Annotated[list[StoryItem], Field(description="The newest first.")]
    next_cursor: NextCursor
    freshness: StoriesFreshness


class StoryViewerItem(View):
    """Somebody who saw a story."""

    viewer_id: PublicId
    viewed_at: Time
    emoji: str | None


class StoryViewersPage(View):
    """A page of those who saw a story."""

    items: Annotated[list[StoryViewerItem], Field(description="In the order of their ids.")]
    next_cursor: NextCursor


class ReactionState(View):
    """The caller's reaction."""

    emoji: str


class DayOfStories(View):
    """What happened on a UTC date."""

    date: str
    posted: Count
    views: Count
    reactions: Count


class StoryStats(View):
    """An author's last seven days."""

    posted: Count
    views: Count
    unique_viewers: Count
    approximate: Annotated[bool, Field(description="More than a few thousand viewers, or a thousand posts.")]
    reactions: Annotated[dict[str, Count], Field(description="By emoji.")]
    days: Annotated[list[DayOfStories], Field(description="Today first.")]
    as_of: Time


class StoryEvent(View):
    """Something that happened to a story of the user."""

    id: str
    type: Annotated[str, Field(json_schema_extra={"enum": ["story.viewed", "story.reacted"]})]
    story_id: str
    viewer_id: Annotated[PublicId | None, Field(description="Of `story.viewed`.")] = None
    viewed_at: Annotated[Time | None, Field(description="Of `story.viewed`.")] = None
    user_id: Annotated[PublicId | None, Field(description="Of `story.reacted`.")] = None
    emoji: Annotated[str | None, Field(description="Of `story.reacted`.")] = None
    at: Time


class StoryEvents(View):
    """What the user was told since."""

    events: Annotated[list[StoryEvent], Field(description="In the order in which they were told.")]
    next: Annotated[str, Field(description="Send it as `after`.")]
    missed: Annotated[bool, Field(description="Something before these is gone: the newest hundred of a day are kept.")]


class ExportedStory(View):
    """A story of the user, as it is stored."""

    id: str
    text: str | None
    media_key: str | None
    visibility: str
    audience_user_ids: list[PublicId]
    state: str
    created_at: Time
    expires_at: Time


class SeenStory(View):
    """What the user left at somebody's story."""

    story_id: str
    viewed_at: Time | None
    emoji: str | None


class ExportedUpload(View):
    """A ticket of the user, for a picture or clip."""

    upload_id: str
    content_type: str
    bytes: int
    state: Annotated[str, Field(description="`open`, `done` or `refused`.")]
    issued_at: Time


class ExportedReport(View):
    """What the user has reported."""

    story_id: str
    reason: str
    text: str | None
    at: Time


class CloseAuthor(View):
    """An author of whom the user saw something, by what is kept of their id."""

    id_begins: Annotated[str, Field(description="The first ten characters of the author's public id.")]
    amount: Annotated[float, Field(description="What was seen and reacted to, halved every 14 days.")]
    at: Annotated[Time, Field(description="As of when.")]


class ExportedPerson(View):
    """Everything stored about the user as a person."""

    id: PublicId
    follows: list[FollowedPerson]
    followers: list[FollowerItem]
    blocks: list[BlockedPerson]
    stories: list[ExportedStory]
    seen: Annotated[list[SeenStory], Field(description="Of the last nine days, a thousand at the most.")]
    reports: list[ExportedReport]
    uploads: list[ExportedUpload]
    close_to: Annotated[list[CloseAuthor], Field(description="What a ranked row knows of the user and authors.")]


class LiveAddress(View):
    """Where the user can listen."""

    url: Annotated[str, Field(description="For this user alone; a token is in it.")]
    protocol: Annotated[str, Field(description="`websocket`.")]
    expires_at: Time
