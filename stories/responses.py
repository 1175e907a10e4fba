"""Response models of people and stories."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from shared.domain.formats import PUBLIC_ID
from shared.web.list_cursor import MAX_CHARS
from shared.web.responses import Count, Time, View

PublicId = Annotated[str, Field(pattern=f"^{PUBLIC_ID.pattern}$")]
"""Public id of a user of the tenant."""
NextCursor = Annotated[str | None, Field(max_length=MAX_CHARS, description="null: this is the last page.")]
FollowStateName = Annotated[
    str,
    Field(
        json_schema_extra={"enum": ["accepted", "requested"]},
        description="`requested`: the followed person has not accepted yet.",
    ),
]


class Me(View):
    """The caller, as other users see them."""

    id: PublicId


class FollowState(View):
    """State of a follow."""

    state: FollowStateName


class FollowedPerson(View):
    """A person whom the user follows, or requested to follow."""

    kind: Annotated[str, Field(json_schema_extra={"enum": ["person"]})]
    id: PublicId
    state: FollowStateName
    followed_at: Time


class FollowedPeople(View):
    """A page of the people the user follows."""

    items: Annotated[list[FollowedPerson], Field(description="In the order of their ids.")]
    next_cursor: NextCursor


class FollowerItem(View):
    """A person who follows the user, or requests to."""

    id: PublicId
    state: FollowStateName
    since: Time


class FollowersPage(View):
    """A page of the user's followers."""

    items: Annotated[list[FollowerItem], Field(description="In the order of their ids.")]
    next_cursor: NextCursor


class BlockedPerson(View):
    """A person whom the user blocks."""

    id: PublicId
    at: Time


class BlocksPage(View):
    """A page of the people whom the user blocks."""

    items: Annotated[list[BlockedPerson], Field(description="In the order of their ids.")]
    next_cursor: NextCursor


class PublicIds(View):
    """Public ids of users."""

    ids: Annotated[dict[str, PublicId], Field(description="Public ids by the hash that was sent.")]


class StoryCounts(View):
    """Views and reactions of a story, counted about every 30 seconds. Only the author gets them."""

    views: Count
    reactions: Annotated[dict[str, Count], Field(description="By emoji.")]


class StoryItem(View):
    """A story."""

    id: str
    author_id: PublicId
    kind: Annotated[str, Field(json_schema_extra={"enum": ["text", "image", "video"]})]
    text: str | None
    media_key: str | None
    media_url: Annotated[
        str | None, Field(description="URL of the media, valid for an hour. null: no media, or it cannot be reached.")
    ]
    media_type: str | None
    width: int | None
    height: int | None
    duration_seconds: float | None
    visibility: Annotated[str, Field(json_schema_extra={"enum": ["public", "friends", "private"]})]
    audience_user_ids: Annotated[list[PublicId] | None, Field(description="Only in the author's own view.")] = None
    maturity_rating: str
    category: str | None
    tags: list[str]
    state: Annotated[str, Field(description="`live`. The author also sees `held`: the story waits for an editor.")]
    created_at: Time
    expires_at: Time
    seen: Annotated[bool, Field(description="Whether the viewer has seen it.")] = False
    counts: Annotated[StoryCounts | None, Field(description="Only in the author's own view.")] = None


class AuthorStories(View):
    """An author's stories that the viewer can see."""

    author_id: PublicId
    unseen: Count
    latest_at: Time
    stories: Annotated[list[StoryItem], Field(description="The newest 30, the oldest of these first.")]


class StoriesFreshness(View):
    """Age of the data in a response."""

    age_seconds: Annotated[
        float | None, Field(description="Seconds since the server last read new stories; null: not known yet.")
    ]


class StoryRow(View):
    """A page of authors with stories that the viewer can see."""

    authors: list[AuthorStories]
    next_cursor: Annotated[str | None, Field(max_length=4_096, description="null: this is the last page.")]
    mode: Annotated[
        str,
        Field(
            description="`newest`: the author of the newest story first. `ranked`: by the ranking, as requested. "
            "`fallback`: newest first although `ranked` was requested; `reason` says why."
        ),
    ]
    reason: Annotated[
        str | None,
        Field(
            description="Why the row is not ranked: `ranked_off`, `ranking_late`, `walk_newest_first`, or a reason of "
            "a feed's `fallback`. `follows_unavailable`: the page is empty, because follows and blocks could not be "
            "read."
        ),
    ]
    freshness: StoriesFreshness


class FoundStories(View):
    """A page of search results."""

    items: Annotated[list[StoryItem], Field(description="The newest first.")]
    next_cursor: NextCursor
    freshness: StoriesFreshness


class StoryViewerItem(View):
    """A viewer of a story."""

    viewer_id: PublicId
    viewed_at: Time
    emoji: str | None


class StoryViewersPage(View):
    """A page of a story's viewers."""

    items: Annotated[list[StoryViewerItem], Field(description="In the order of their ids.")]
    next_cursor: NextCursor


class ReactionState(View):
    """The caller's reaction."""

    emoji: str


class DayOfStories(View):
    """Statistics of one UTC date."""

    date: str
    posted: Count
    views: Count
    reactions: Count


class StoryStats(View):
    """An author's statistics of the last seven days."""

    posted: Count
    views: Count
    unique_viewers: Count
    approximate: Annotated[
        bool,
        Field(description="true: `uniqueViewers` is an estimate (above 5,000), or only 1,000 stories are counted."),
    ]
    reactions: Annotated[dict[str, Count], Field(description="By emoji.")]
    days: Annotated[list[DayOfStories], Field(description="Today first.")]
    as_of: Time


class StoryEvent(View):
    """A view of or a reaction to one of the user's stories."""

    id: str
    type: Annotated[str, Field(json_schema_extra={"enum": ["story.viewed", "story.reacted"]})]
    story_id: str
    viewer_id: Annotated[PublicId | None, Field(description="Only in `story.viewed`.")] = None
    viewed_at: Annotated[Time | None, Field(description="Only in `story.viewed`.")] = None
    user_id: Annotated[PublicId | None, Field(description="Only in `story.reacted`.")] = None
    emoji: Annotated[str | None, Field(description="Only in `story.reacted`.")] = None
    at: Time


class StoryEvents(View):
    """Events of the user's stories."""

    events: Annotated[list[StoryEvent], Field(description="In the order in which they were added.")]
    next: Annotated[str, Field(description="Send it as `after` in the next call.")]
    missed: Annotated[
        bool,
        Field(description="true: earlier events are gone; at most the newest 100 of the last 24 hours are kept."),
    ]


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
    """The user's view of and reaction to another person's story."""

    story_id: str
    viewed_at: Time | None
    emoji: str | None


class ExportedUpload(View):
    """A ticket for uploading a picture or clip."""

    upload_id: str
    content_type: str
    bytes: int
    state: Annotated[str, Field(description="`open`, `done` or `refused`.")]
    issued_at: Time


class ExportedReport(View):
    """A report by the user."""

    story_id: str
    reason: str
    text: str | None
    at: Time


class CloseAuthor(View):
    """An author whose stories the user saw."""

    id_begins: Annotated[str, Field(description="The first 10 characters of the author's public id.")]
    amount: Annotated[float, Field(description="Views and reactions, with a half-life of 14 days.")]
    at: Annotated[Time, Field(description="Time of `amount`.")]


class ExportedPerson(View):
    """Everything that stories and the social graph store about the user."""

    id: PublicId
    follows: list[FollowedPerson]
    followers: list[FollowerItem]
    blocks: list[BlockedPerson]
    stories: list[ExportedStory]
    seen: Annotated[
        list[SeenStory],
        Field(description="The newest 1,000, kept until 9 days after the last; times and emoji are kept for 9 days."),
    ]
    reports: list[ExportedReport]
    uploads: list[ExportedUpload]
    close_to: Annotated[list[CloseAuthor], Field(description="Closeness to authors, an input of the ranked row.")]


class LiveAddress(View):
    """WebSocket address for live events."""

    url: Annotated[str, Field(description="Contains a token and is valid for this user only.")]
    protocol: Annotated[str, Field(description="Always `websocket`.")]
    expires_at: Time
