"""Response models of the feed and of its configuration for SDKs."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from feed.cursor import MAX_CHARS
from feed.pipeline import FALLBACK, PERSONALIZED, REASONS
from feed.similar_videos import BECAUSE
from shared.domain.records import MAX_LIMIT, RATINGS
from shared.web.responses import Amount, Count, Time, View

Rating = Annotated[str, Field(json_schema_extra={"enum": list(RATINGS)})]
Mode = Annotated[str, Field(json_schema_extra={"enum": [PERSONALIZED, FALLBACK]})]
Reason = Annotated[
    str | None,
    Field(
        json_schema_extra={"enum": [*REASONS, None]},
        description="Why it is not personal:\n" + "\n".join(f"- `{code}`: {text}" for code, text in REASONS.items()),
    ),
]

Because = Annotated[
    str,
    Field(
        json_schema_extra={"enum": list(BECAUSE)},
        description="Why it is on the list:\n" + "\n".join(f"- `{code}`: {text}" for code, text in BECAUSE.items()),
    ),
]


class Rendition(View):
    """A file or a playlist of one quality. `bitrate` in bits per second, `codecs` as in RFC 6381."""

    url: str
    width: Count | None = None
    height: Count | None = None
    bitrate: Count | None = None
    codecs: str | None = None


class Caption(View):
    """A file of captions."""

    url: str
    language: str


class Action(View):
    """A button for the video."""

    url: str
    label: str


class VideoItem(View):
    """A video for apps."""

    video_id: str
    playback_url: str
    thumbnail_url: str | None
    title: str
    main_tag: str
    tags: list[str]
    duration_seconds: Annotated[Amount, Field(description="A decimal number, also if it is whole (`12.0`).")]
    maturity_rating: Rating
    poster_url: Annotated[str | None, Field(description="Absent if there is none, like the fields below.")] = None
    width: Annotated[Count | None, Field(description="In pixels.")] = None
    height: Count | None = None
    action: Action | None = None
    series_id: Annotated[str | None, Field(description="Its series.")] = None
    season: Annotated[Count | None, Field(description="Its season number, if any.")] = None
    episode: Annotated[Count | None, Field(description="Its episode number, if any.")] = None
    renditions: Annotated[list[Rendition] | None, Field(description="Only with `include=renditions`.")] = None
    captions: Annotated[list[Caption] | None, Field(description="Only with `include=captions`.")] = None
    metadata: Annotated[
        dict[str, Any] | None,
        Field(description="Texts, numbers and flags of the content team. Only with `include=metadata`."),
    ] = None


class FeedVideo(VideoItem):
    """A video of a page."""

    score: Annotated[
        float, Field(description="A decimal number, also if it is whole. Comparable within one page only.")
    ]
    rank: Annotated[Count, Field(description="0-based position over all pages; send it back as `rankPosition`.")]


class VideoItems(View):
    """Videos requested by id."""

    items: Annotated[list[VideoItem], Field(description="In the order of the ids, without videos that are not found.")]


class Freshness(View):
    """How old the page's content and signals are."""

    content: Time | None
    signals: Time | None


class FeedPage(View):
    """A page of the feed."""  # `Page.body` builds the bytes; a test compares them with this model

    mode: Mode
    reason: Reason
    items: Annotated[list[FeedVideo], Field(max_length=MAX_LIMIT)]
    next_cursor: Annotated[str | None, Field(max_length=MAX_CHARS, description="null: the feed ends here.")]
    feed_request_id: Annotated[str, Field(description="Quote it in the events about this page.")]
    model_version: str
    experiment: str | None
    freshness: Freshness


class SimilarVideo(FeedVideo):
    """A video similar to another one."""

    because: Because


class SimilarVideosPage(View):
    """The videos similar to one video."""  # `SimilarPage.body` builds the bytes; a test compares them with this model

    mode: Mode
    reason: Reason
    items: Annotated[list[SimilarVideo], Field(max_length=MAX_LIMIT)]
    feed_request_id: Annotated[str, Field(description="Quote it in the events about these videos.")]
    model_version: str


class FeedLimits(View):
    """Limits of a feed request."""

    default_limit: Count
    max_limit: Count
    cursor_hours: Count


class EventLimits(View):
    """Limits of an event batch."""

    max_events: Count
    max_bytes: Count
    flush_seconds: Count
    types: list[str]
    max_age_days: Count


class CacheTimes(View):
    """How long a client can cache responses."""

    fallback_seconds: Count
    config_seconds: Count


class OfferedFeed(View):
    """A feed that apps can request besides `home`."""

    id: Annotated[str, Field(description="Send it as `feed`.")]
    title: str


class Config(View):
    """Limits and settings for SDKs."""

    feed: FeedLimits
    feeds: list[OfferedFeed]
    events: EventLimits
    hints: list[str]
    cache: CacheTimes
