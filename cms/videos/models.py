"""Forms, stored documents and views of videos. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from cms.forms import (
    AgeBand,
    Country,
    Distinct,
    Form,
    Language,
    Name,
    Platform,
    SeriesId,
    Url,
    VideoId,
    comes_back_in,
    fault,
)
from cms.spellings import MAX_DURATION_SECONDS, Duration, Instant, Number, RatingSpelling, RealName
from cms.videos.player import (
    Action,
    ActionForm,
    Caption,
    CaptionForm,
    Metadata,
    Pixels,
    Rendition,
    RenditionForm,
    Whole,
    editable_player,
)
from cms.videos.takedowns import (
    INACTIVE,
    STATUSES,
    TAKEN_DOWN,
    WHEN_RESTORED,
    after_sending,
    is_taken_down,
    status_of,
    status_when_restored,
)
from cms.views import Etag, NextCursor, Stamped, one_of, stamp
from shared.adapters.documents.port import DAY_SECONDS, Json
from shared.domain.formats import is_number, iso_time_or_none
from shared.domain.links import link_or_none
from shared.domain.player_media import MAX_CAPTIONS, MAX_RENDITIONS, PlayerMedia
from shared.domain.records import RATINGS, Video, canonical_or_stored_countries, canonical_or_stored_language
from shared.domain.series_place import MAX_EPISODE, MAX_SEASON, SeriesPlace
from shared.domain.text import all_composed
from shared.web.responses import Count, Time, View

KEEP_EXPIRED_SECONDS = 30 * DAY_SECONDS
"""How long an expired video can still be read and prolonged; then the store deletes it."""
STATES = ("live", "scheduled", "expired", INACTIVE, TAKEN_DOWN, "unrated")

Rating = Annotated[Literal["G", "PG", "PG13", "R", "NC17"], RatingSpelling]
"""Also accepts the MPA's spelling (PG-13), in either case."""
RealTag = Annotated[Name, RealName]


class VideoForm(Form):
    """A video without its id."""

    title: Annotated[str, Field(min_length=1, max_length=200), RealName]
    playback_url: Url
    thumbnail_url: Url | None = None
    main_tag: RealTag
    tags: Annotated[list[RealTag], Field(max_length=20), Distinct] = []
    creator_id: Annotated[str, Field(max_length=128), RealName] = ""
    duration_seconds: Annotated[Duration, Field(gt=0, le=MAX_DURATION_SECONDS)]
    maturity_rating: Rating
    editorial_boost: Annotated[Number, Field(ge=-10, le=10)] = 0.0
    popularity_override: Annotated[Number, Field(ge=0, le=100)] | None = None
    language: Language | None = None
    countries: Annotated[list[Country], Field(max_length=250), Distinct] = []
    age_bands: Annotated[list[AgeBand], Field(max_length=20), Distinct] = []
    platforms: Annotated[list[Platform], Field(max_length=20), Distinct] = []
    status: Literal["active", "inactive", "taken_down"] = "active"
    published_at: Instant | None = None
    expires_at: Instant | None = None
    poster_url: Url | None = None
    width: Pixels | None = None
    height: Pixels | None = None
    renditions: Annotated[list[RenditionForm], Field(max_length=MAX_RENDITIONS)] = []
    captions: Annotated[list[CaptionForm], Field(max_length=MAX_CAPTIONS)] = []
    metadata: Metadata = {}
    action: ActionForm | None = None
    series_id: SeriesId | None = None
    season: Annotated[int, Whole, Field(ge=0, le=MAX_SEASON)] | None = None
    episode: Annotated[int, Whole, Field(ge=0, le=MAX_EPISODE)] | None = None

    @property
    def sent_status(self) -> str | None:
        """The status in the request; None if it had none (the field's default is for new videos)."""
        return self.status if "status" in self.model_fields_set else None

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> Self:
        if self.expires_at is not None and self.expires_at <= (self.published_at or 0.0):
            raise fault("expiresAt", "expires_before_publish", "expiresAt must be later than publishedAt.")
        return self

    @model_validator(mode="after")
    def _is_numbered_in_a_series(self) -> Self:
        for name, number in (("season", self.season), ("episode", self.episode)):
            if number is not None and self.series_id is None:
                raise fault(name, "missing_series", f"{name} is a number within a series. Set seriesId too.")
        return self


class NewVideoForm(VideoForm):
    """A video with its id."""

    id: VideoId


NUMBERS = ("durationSeconds", "editorialBoost", "popularityOverride")
LINKS = ("playbackUrl", "thumbnailUrl", "posterUrl")
WHOLE_NUMBERS = ("width", "height", "season", "episode")
OBJECTS = ("renditions", "captions", "metadata", "action")
LISTS = ("tags", "countries", "ageBands", "platforms")
OPTIONAL = tuple(field.alias or name for name, field in VideoForm.model_fields.items() if not field.is_required())
"""Optional fields of a video."""
FIELDS = tuple(field.alias or name for name, field in VideoForm.model_fields.items())

PLAYER_FIELDS = {"poster_url", "width", "height", "renditions", "captions", "metadata", "action"}

StoredRating = Annotated[str, Field(description=f"{', '.join(RATINGS)}; a video with any other is never served.")]


class VideoFigures(View):
    """Statistics of a video."""

    impressions: Count
    views: Count
    likes: Count
    avg_watch_time_ms: Count
    watch_time_ms: Count


class StoredVideo(Stamped):
    """A video, with its current state and its recent statistics."""

    id: str
    title: str
    playback_url: str
    thumbnail_url: str | None
    main_tag: str
    tags: list[str]
    creator_id: str
    duration_seconds: float
    maturity_rating: StoredRating
    editorial_boost: float
    popularity_override: float | None
    language: str | None
    countries: list[str]
    age_bands: list[str]
    platforms: list[str]
    status: Annotated[str, Field(json_schema_extra=one_of(*STATUSES))]
    status_when_restored: Annotated[
        str | None,
        Field(
            description="The status that a taken-down video gets when it is restored: `active` or `inactive`, as "
            "before the takedown or as sent since. null: it is not taken down, or an earlier release took it down."
        ),
    ]
    published_at: Time
    expires_at: Time | None
    state: Annotated[str, Field(json_schema_extra=one_of(*STATES), description="The current state.")]
    created_at: Time | None
    poster_url: str | None
    width: Count | None
    height: Count | None
    renditions: list[Rendition]
    captions: list[Caption]
    metadata: Annotated[dict[str, Any], Field(description="Strings, numbers and booleans for the app.")]
    action: Action | None
    series_id: str | None
    season: Count | None
    episode: Count | None
    last_7d: Annotated[
        VideoFigures | None,
        Field(
            alias="last7d",
            description="Statistics of the last seven days (UTC), including today; null while they cannot be loaded.",
        ),
    ]


@comes_back_in(VideoForm, NewVideoForm)
class ListedVideo(StoredVideo):
    """A video in a list."""

    etag: Etag


class VideoPage(View):
    """A page of a list of videos."""

    videos: list[ListedVideo]
    total: Annotated[Count, Field(description="Number of videos in the whole list now.")]
    next_cursor: NextCursor


def video_document(id: str, form: VideoForm, now: float, who: str, before: Json | None) -> Json:
    """Build the document of a video. Without `publishedAt` it keeps the stored time, or is published now.

    A form without a status keeps the stored one; `after_sending` handles one with a status.
    """
    published_at = form.published_at
    if published_at is None:
        published_at = float(before["publishedAt"]) if before and before.get("publishedAt") else now
    video = Video(
        id=id,
        title=form.title,
        playback_url=form.playback_url,
        category=form.main_tag,
        thumbnail_url=form.thumbnail_url,
        tags=tuple(form.tags),
        creator=form.creator_id,
        duration_seconds=form.duration_seconds,
        maturity_rating=form.maturity_rating,
        editorial_boost=form.editorial_boost,
        popularity_override=form.popularity_override,
        language=form.language,
        countries=tuple(form.countries),
        age_bands=tuple(form.age_bands),
        platforms=tuple(form.platforms),
        published_at=published_at,
        expires_at=form.expires_at,
        media=PlayerMedia.from_document(form.model_dump(by_alias=True, exclude_none=True, include=PLAYER_FIELDS)),
        place=SeriesPlace(form.series_id or "", form.season, form.episode),
    )
    document = {
        **video.to_document(),
        **after_sending(form.sent_status, before),
        "createdAt": before.get("createdAt", now) if before else now,
        "updatedAt": now,
        "updatedBy": who,
    }
    return with_time_to_live(document, now)


def with_time_to_live(video: Json, now: float) -> Json:
    """Return a video with its time to live in the store, counted from `now`.

    A video that never expires has none, nor has a taken-down one: once deleted, it could be imported again as new.
    """
    kept = {name: value for name, value in video.items() if name != "ttl"}
    expires_at = video.get("expiresAt")
    if expires_at is None or is_taken_down(video):
        return kept
    return {**kept, "ttl": int(max(float(expires_at) - now, 0.0) + KEEP_EXPIRED_SECONDS)}


def same_content(one: Json, other: Json) -> bool:
    """Return whether two stored videos are equal apart from who wrote them and when."""
    ignored = ("tenantId", "createdAt", "updatedAt", "updatedBy", "ttl", "deleted")

    def content(video: Json) -> Json:
        # An empty list means the same as a missing one: a video stored before a field existed has not changed.
        return {name: value for name, value in video.items() if name not in ignored and value != []}

    return content(one) == content(other)


def editable_video(document: Json) -> dict[str, Any]:
    """Return the fields of a stored video that an editor can send back, in the form's shape."""
    fields = {name: all_composed(document.get(name)) for name in FIELDS}
    fields["status"] = status_of(document)
    fields |= editable_player(fields)
    for name in LINKS:
        fields[name] = link_or_none(document.get(name)) or document.get(name)
    for name in NUMBERS:
        fields[name] = float(fields[name]) if is_number(fields[name]) else fields[name]
    for name in LISTS:
        fields[name] = fields[name] or []
    fields["language"] = canonical_or_stored_language(fields["language"] or "") or None
    fields["countries"] = list(canonical_or_stored_countries(fields["countries"] or ()))
    fields["editorialBoost"] = fields["editorialBoost"] or 0.0
    fields["creatorId"] = fields["creatorId"] or ""
    return fields


def video_state(document: Json, now: float) -> str:
    """Return the current state of a stored video: one of `STATES`."""
    video = Video.from_document(document)
    status = TAKEN_DOWN if is_taken_down(document) else "" if video.active and video.playback_url else INACTIVE
    return state_at(status, video.published_at, video.expires_at, video.maturity_rating, now)


def state_at(status: str, published_at: float, expires_at: float | None, rating: str, now: float) -> str:
    """Derive the state from single fields. `status`: `TAKEN_DOWN`, `INACTIVE`, or anything else for an active video."""
    if status in (TAKEN_DOWN, INACTIVE):
        return status
    if now < published_at:
        return "scheduled"
    if expires_at is not None and expires_at <= now:
        return "expired"
    return "live" if rating in RATINGS else "unrated"


def video_fields(document: Json, now: float, figures: Mapping[str, int] | None) -> dict[str, Any]:
    """Return a stored video as the fields of a view. `figures`: of the last seven days, None while unknown."""
    return {
        "id": document["id"],
        **editable_video(document),
        WHEN_RESTORED: status_when_restored(document),
        "publishedAt": iso_time_or_none(document.get("publishedAt")),
        "expiresAt": iso_time_or_none(document.get("expiresAt")),
        "state": video_state(document, now),
        "createdAt": iso_time_or_none(document.get("createdAt")),
        **stamp(document),
        "last7d": None if figures is None else _figures_view(figures),
    }


def _figures_view(figures: Mapping[str, int]) -> VideoFigures:
    return VideoFigures.unchecked(
        impressions=figures["impressions"],
        views=figures["views"],
        likes=figures["likes"],
        avgWatchTimeMs=figures["avgWatchMs"],
        watchTimeMs=figures["watchMs"],
    )
