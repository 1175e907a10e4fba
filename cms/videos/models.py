"""What a video may look like when a content team writes it, and how it is shown to them. Pure."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from cms.forms import AgeBand, Country, Distinct, Form, Instant, Language, Name, Platform, Url, VideoId, fault
from shared.adapters.documents.port import DAY_SECONDS, Json
from shared.domain.formats import iso_time_or_none
from shared.domain.records import Video

KEEP_EXPIRED_SECONDS = 30 * DAY_SECONDS
"""How long an expired video can still be read and prolonged; then the store forgets it."""
ACTIVE, INACTIVE, TAKEN_DOWN = "active", "inactive", "taken_down"

Rating = Literal["G", "PG", "PG13", "R", "NC17"]


def _number_from_text(value: object) -> object:
    """A spreadsheet has only text."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _list_from_text(value: object) -> object:
    if isinstance(value, str):
        return [part.strip() for part in value.split("|") if part.strip()]
    return value


class VideoForm(Form):
    """A whole video, apart from its id."""

    title: Annotated[str, Field(min_length=1, max_length=200)]
    playback_url: Url
    thumbnail_url: Url | None = None
    main_tag: Name
    tags: Annotated[list[Name], Field(max_length=20), Distinct] = []
    creator_id: Annotated[str, Field(max_length=128)] = ""
    duration_seconds: Annotated[float, Field(gt=0, le=86_400)]
    maturity_rating: Rating
    editorial_boost: Annotated[float, Field(ge=-10, le=10)] = 0.0
    popularity_override: Annotated[float, Field(ge=0, le=100)] | None = None
    language: Language | None = None
    countries: Annotated[list[Country], Field(max_length=250), Distinct] = []
    age_bands: Annotated[list[AgeBand], Field(max_length=20), Distinct] = []
    platforms: Annotated[list[Platform], Field(max_length=20), Distinct] = []
    status: Literal["active", "inactive", "taken_down"] = "active"
    published_at: Instant | None = None
    expires_at: Instant | None = None

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> Self:
        if self.expires_at is not None and self.expires_at <= (self.published_at or 0.0):
            raise fault("expiresAt", "expires_before_publish", "expiresAt must be later than publishedAt.")
        return self


class NewVideoForm(VideoForm):
    """A whole video with its id."""

    id: VideoId


NUMBERS = ("durationSeconds", "editorialBoost", "popularityOverride")
LISTS = ("tags", "countries", "ageBands", "platforms")
FIELDS = tuple(field.alias or name for name, field in VideoForm.model_fields.items())


def row_from_text(row: dict[str, Any]) -> dict[str, Any]:
    """A row of a table as JSON: empty cells are left out, numbers read, lists split at `|`."""
    read: dict[str, Any] = {}
    for name, text in row.items():
        if name is None or not isinstance(text, str) or not text.strip():
            continue
        value = _number_from_text(text.strip()) if name in NUMBERS else text.strip()
        read[name] = _list_from_text(value) if name in LISTS else value
    return read


def to_document(id: str, form: VideoForm, now: float, who: str, before: Json | None) -> Json:
    """What is stored. A video without a time of publication is published now, once."""
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
        active=form.status == ACTIVE,
        published_at=published_at,
        expires_at=form.expires_at,
    )
    document = {
        **video.to_document(),
        "status": form.status,
        "createdAt": before.get("createdAt", now) if before else now,
        "updatedAt": now,
        "updatedBy": who,
    }
    return {**document, **time_to_live(form.expires_at, now)}


def time_to_live(expires_at: float | None, now: float) -> Json:
    """The field that lets the store forget a video, counted from `now`; nothing for one that never expires."""
    return {} if expires_at is None else {"ttl": int(max(expires_at - now, 0.0) + KEEP_EXPIRED_SECONDS)}


def same_content(one: Json, other: Json) -> bool:
    """Whether two stored videos say the same, whoever wrote them and whenever."""
    aside = ("tenantId", "createdAt", "updatedAt", "updatedBy", "ttl", "deleted")

    def content(video: Json) -> Json:
        # An empty list says what a missing one says: a video stored before a field existed did not change with it.
        return {name: value for name, value in video.items() if name not in aside and value != []}

    return content(one) == content(other)


def editable(document: Json) -> dict[str, Any]:
    """The fields of a stored video that an editor may send back, as they would be sent."""
    shown = {name: document.get(name) for name in FIELDS}
    shown["status"] = document.get("status") or ACTIVE
    for name in LISTS:
        shown[name] = document.get(name) or []
    shown["editorialBoost"] = float(document.get("editorialBoost") or 0.0)
    shown["creatorId"] = document.get("creatorId") or ""
    return shown


def state(document: Json, now: float) -> str:
    """Where a video stands now: live, scheduled, expired, inactive, taken_down or unrated."""
    video = Video.from_document(document)
    if document.get("status") == TAKEN_DOWN:
        return TAKEN_DOWN
    if not video.active:
        return INACTIVE
    if now < video.published_at:
        return "scheduled"
    if video.expires_at is not None and video.expires_at <= now:
        return "expired"
    return "live" if video.maturity_rating in ("G", "PG", "PG13", "R", "NC17") else "unrated"


def shown(document: Json, now: float, figures: dict[str, int] | None) -> dict[str, Any]:
    """A video as the API answers it. `figures` are those of the last seven days, None while they are not known."""
    return {
        "id": document["id"],
        **editable(document),
        "publishedAt": iso_time_or_none(document.get("publishedAt")),
        "expiresAt": iso_time_or_none(document.get("expiresAt")),
        "state": state(document, now),
        "createdAt": iso_time_or_none(document.get("createdAt")),
        "updatedAt": iso_time_or_none(document.get("updatedAt")),
        "updatedBy": document.get("updatedBy"),
        "last7d": None
        if figures is None
        else {
            "impressions": figures["impressions"],
            "views": figures["views"],
            "likes": figures["likes"],
            "avgWatchTimeMs": figures["avgWatchMs"],
            "watchTimeMs": figures["watchMs"],
        },
    }
