"""Response models of a user's lists, of what they follow, and of a series."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from feed.responses import VideoItem
from shared.domain.follows import KINDS
from shared.web.list_cursor import MAX_CHARS
from shared.web.responses import Count, Time, View

NextCursor = Annotated[str | None, Field(max_length=MAX_CHARS, description="null on the last page.")]
PERSON = "person"
"""The kind of followed people, served by `stories/`."""
Kind = Annotated[str, Field(json_schema_extra={"enum": [*KINDS, PERSON]})]


class ListedItem(VideoItem):
    """A video of one of the user's lists."""

    listed_at: Annotated[Time, Field(description="When it was saved, liked or last watched.")]
    position_ms: Annotated[Count | None, Field(description="How far it was watched. Only in `continue`.")] = None


class ListedVideos(View):
    """A page of one of the user's lists."""

    items: Annotated[list[ListedItem], Field(description="Newest first, without videos that the viewer cannot see.")]
    next_cursor: NextCursor


class FollowedItem(View):
    """Something the user follows."""

    kind: Kind
    id: str
    followed_at: Time
    state: Annotated[str | None, Field(description="For people: `requested` until they agree, then `accepted`.")] = None


class Following(View):
    """A page of what the user follows."""

    items: Annotated[list[FollowedItem], Field(description="Newest first.")]
    next_cursor: NextCursor


class Episode(VideoItem):
    """A video of a series."""

    seen: Annotated[bool | None, Field(description="Whether it was shown to the viewer; null if that may not be used.")]


class Series(View):
    """A page of a series."""

    series_id: str
    items: Annotated[list[Episode], Field(description="Ordered by season, episode, id; unnumbered ones come last.")]
    next_cursor: NextCursor
