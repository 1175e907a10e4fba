"""Forms, stored documents and views of named feeds. Pure."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from cms.configuration.models import known_weights
from cms.forms import Distinct, Form, Name, NullMeansAbsent, Slug, VideoId, comes_back_in, fault
from cms.spellings import Whole
from cms.videos.models import Rating
from cms.views import Etag, Stamped, one_of, stamp
from shared.adapters.documents.port import Json
from shared.domain.feeds import FEED_PREFIX, ORDERS, RESERVED
from shared.domain.records import MAX_DIVERSITY, MAX_LIMIT
from shared.domain.text import all_composed
from shared.web.responses import Time, View

MAX_FEEDS = 50

Names = Annotated[list[Name], Field(max_length=50), Distinct]


class BaseSetForm(Form):
    """Videos of a feed. A video must match every non-empty list, with any of its values. All empty: every video."""

    playlists: Annotated[list[Slug], Field(max_length=10), Distinct] = []
    categories: Names = []
    creators: Annotated[list[Annotated[str, Field(min_length=1, max_length=128)]], Field(max_length=50), Distinct] = []
    tags: Names = []
    series: Annotated[list[VideoId], Field(max_length=50), Distinct] = []


class FeedForm(Form):
    """A feed without its id. A null field uses the tenant's configuration."""

    title: Annotated[str, Field(min_length=1, max_length=100)]
    enabled: bool = True
    base: BaseSetForm = BaseSetForm()
    fallback_order: Literal["popular", "newest", "editorial"] = "popular"
    weights: Annotated[dict[str, float], Field(max_length=100), NullMeansAbsent, AfterValidator(known_weights)] = {}
    default_limit: Annotated[Whole, Field(ge=1, le=MAX_LIMIT)] | None = None
    streak_cap: Annotated[Whole, Field(ge=0, le=50)] | None = None
    creator_cap: Annotated[Whole, Field(ge=0, le=50)] | None = None
    diversity: Annotated[float, Field(ge=0, le=MAX_DIVERSITY)] | None = None
    maturity_ceiling: Rating | None = None


class NewFeedForm(FeedForm):
    """A feed with its id."""

    id: Slug

    @model_validator(mode="after")
    def _has_a_free_name(self) -> Self:
        if self.id in RESERVED:
            raise fault("id", "reserved_id", f"{' and '.join(RESERVED)} are reserved ids. Choose another id.")
        return self


class BaseSet(View):
    """Videos of a feed. A video matches every non-empty list, with any of its values. All empty: every video."""

    playlists: list[str]
    categories: list[str]
    creators: list[str]
    tags: list[str]
    series: list[str]


class StoredFeed(Stamped):
    """A named feed. A null field uses the tenant's configuration."""

    id: str
    title: str
    enabled: Annotated[bool, Field(description="false: apps that request this feed get 404.")]
    base: BaseSet
    fallback_order: Annotated[
        str, Field(json_schema_extra=one_of(*ORDERS), description="Order of the feed when it is not personalized.")
    ]
    weights: Annotated[
        dict[str, float], Field(description="Weights by name of the feature; they override the tenant's.")
    ]
    default_limit: int | None
    streak_cap: int | None
    creator_cap: int | None
    diversity: float | None
    maturity_ceiling: Annotated[
        Rating | None, Field(description="Highest rating in this feed. The stricter of this and the tenant's applies.")
    ]


class FeedDraft(StoredFeed):
    """The draft of a feed."""

    etag: Etag


@comes_back_in(FeedForm, NewFeedForm)
class ListedFeed(StoredFeed):
    """A live feed, with its draft."""

    etag: Etag
    draft: FeedDraft | None


class NewFeed(View):
    """A feed that exists only as a draft."""

    id: str
    draft: FeedDraft


class Feeds(View):
    """Every named feed."""

    feeds: list[ListedFeed | NewFeed]
    now: Time


def feed_document(id: str, form: FeedForm, now: float, who: str, before: Json | None = None) -> Json:
    """Build the document of a feed."""
    body = form.model_dump(by_alias=True, exclude={"id"})
    return {"id": f"{FEED_PREFIX}{id}", "kind": "feed", "feedId": id, **body, "updatedAt": now, "updatedBy": who}


FEED_FIELDS = tuple(field.alias or name for name, field in FeedForm.model_fields.items())


def editable_feed(document: Json) -> dict[str, Any]:
    """Return the fields of a stored feed that an editor can send back."""
    return {name: all_composed(document.get(name)) for name in FEED_FIELDS if document.get(name) is not None}


def feed_fields(document: Json) -> dict[str, Any]:
    """Return a stored feed as the fields of a view."""
    nothing = dict.fromkeys(FEED_FIELDS)
    return {"id": document["feedId"], **nothing, **editable_feed(document), **stamp(document)}


def feed_view(document: Json) -> StoredFeed:
    """Build the view of a feed."""
    return StoredFeed.unchecked(**feed_fields(document))


def draft_view(body: Json, etag: str) -> FeedDraft:
    """Build the view of a feed's draft. `body` is the stored draft."""
    return FeedDraft.unchecked(**feed_fields(body["feed"]), etag=etag)


def feed_uses_playlist(feed: Json, playlist_id: str) -> bool:
    """Return whether a stored feed's base set names a playlist."""
    return playlist_id in ((feed.get("base") or {}).get("playlists") or ())
