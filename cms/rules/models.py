"""Forms, stored documents and views of rules and playlists. Pure."""

from __future__ import annotations

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
    Slug,
    VideoId,
    comes_back_in,
    fault,
)
from cms.spellings import Instant, Whole
from cms.views import Etag, Position, Stamped, one_of, stamp
from shared.adapters.documents.port import Json
from shared.domain.formats import iso_time_or_none
from shared.domain.rules import ACTIONS, BOOST, MAX_MULTIPLIER, MIN_MULTIPLIER, PIN, SUPPRESS, Rule
from shared.domain.text import all_composed
from shared.web.responses import Time, View

MAX_RULES = 200
MAX_PLAYLISTS = 200
RULE_PREFIX, PLAYLIST_PREFIX = "rule:", "playlist:"
MAX_PLAYLIST_VIDEOS = 500


class RangeForm(Form):
    """A range of numbers, both ends included. Without an end it is unbounded there."""

    min: Annotated[float, Field(ge=0, le=1e6)] | None = None
    max: Annotated[float, Field(ge=0, le=1e6)] | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise fault("", "range_order", "min must not be greater than max.")
        return self


Texts = Annotated[list[Name], Field(max_length=50), Distinct]


class MatchForm(Form):
    """Conditions on videos. A video must meet every condition given."""

    tags: Texts = []
    all_tags: Texts = []
    categories: Texts = []
    creators: Annotated[list[Annotated[str, Field(min_length=1, max_length=128)]], Field(max_length=50), Distinct] = []
    video_ids: Annotated[list[VideoId], Field(max_length=500), Distinct] = []
    playlists: Annotated[list[Slug], Field(max_length=10), Distinct] = []
    duration_seconds: RangeForm = RangeForm()
    age_hours: RangeForm = RangeForm()

    def is_empty(self) -> bool:
        spans = (self.duration_seconds, self.age_hours)
        lists = (self.tags, self.all_tags, self.categories, self.creators, self.video_ids, self.playlists)
        return not any(lists) and all(span.min is None and span.max is None for span in spans)


class AudienceForm(Form):
    """Viewers to whom the rule applies. An empty list means everyone."""

    countries: Annotated[list[Country], Field(max_length=250), Distinct] = []
    languages: Annotated[list[Language], Field(max_length=100), Distinct] = []
    age_bands: Annotated[list[AgeBand], Field(max_length=20), Distinct] = []
    platforms: Annotated[list[Platform], Field(max_length=20), Distinct] = []


class RuleForm(Form):
    """A rule without its id."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    action: Literal["boost", "suppress", "pin", "exclude", "limit"]
    multiplier: float | None = None
    positions: Annotated[list[Annotated[Whole, Field(ge=1, le=50)]], Field(max_length=20), Distinct] = []
    match: MatchForm
    audience: AudienceForm = AudienceForm()
    priority: Annotated[Whole, Field(ge=-1_000, le=1_000)] = 0
    enabled: bool = True
    starts_at: Instant | None = None
    ends_at: Instant | None = None

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.match.is_empty():
            raise fault(
                "match",
                "matches_everything",
                "match is empty, so the rule would apply to every video. Add a condition.",
            )
        self._check_multiplier()
        if self.action == PIN and not self.positions:
            raise fault(
                "positions",
                "missing_positions",
                "A rule with the action pin needs positions, such as [1] for the top of the feed.",
            )
        if self.action != PIN and self.positions:
            raise fault(
                "positions",
                "unused_positions",
                f"positions are only for the action pin, not for {self.action}. Leave them out.",
            )
        if self.ends_at is not None and self.ends_at <= (self.starts_at or 0.0):
            raise fault("endsAt", "ends_before_start", "endsAt must be later than startsAt.")
        return self

    def _check_multiplier(self) -> None:
        given = self.multiplier
        bounds = {BOOST: (1.0, MAX_MULTIPLIER), SUPPRESS: (MIN_MULTIPLIER, 1.0)}.get(self.action)
        if bounds is None:
            if given is not None:
                raise fault(
                    "multiplier",
                    "unused_multiplier",
                    "multiplier is only for the actions boost and suppress. Leave it out.",
                )
        elif given is None or not bounds[0] <= given <= bounds[1] or given == 1.0:
            low, high = (f"{bound:g}" for bound in bounds)
            words = f"more than {low} and at most {high}" if self.action == BOOST else f"from {low} to below {high}"
            raise fault("multiplier", "invalid_multiplier", f"The multiplier of a {self.action} must be {words}.")


class NewRuleForm(RuleForm):
    """A rule with its id."""

    id: Slug


class PlaylistForm(Form):
    """A playlist without its id. Its videos are in the order of `videoIds`."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    description: Annotated[str, Field(max_length=500)] = ""
    video_ids: Annotated[list[VideoId], Field(max_length=MAX_PLAYLIST_VIDEOS)] = []

    @model_validator(mode="after")
    def _no_video_twice(self) -> Self:
        if len(set(self.video_ids)) < len(self.video_ids):
            raise fault("videoIds", "video_twice", "videoIds lists a video twice. List each video once.")
        return self


class NewPlaylistForm(PlaylistForm):
    """A playlist with its id."""

    id: Slug


Action = Annotated[str, Field(json_schema_extra=one_of(*ACTIONS))]
Multiplier = Annotated[float, Field(description="Only for a boost or a suppress.")]


class Range(View):
    """A range of numbers; null: unbounded."""

    min: float | None
    max: float | None


class RuleMatch(View):
    """Conditions on videos. A video meets every condition given."""

    tags: list[str]
    all_tags: list[str]
    categories: list[str]
    creators: list[str]
    video_ids: list[str]
    playlists: list[str]
    duration_seconds: Range
    age_hours: Range


class RuleAudience(View):
    """Viewers to whom the rule applies. An empty list means everyone."""

    countries: list[str]
    languages: list[str]
    age_bands: list[str]
    platforms: list[str]


class StoredRule(Stamped):
    """A rule, with its current state."""

    id: str
    name: str
    action: Action
    multiplier: Multiplier = 1.0
    positions: Annotated[list[Position], Field(description="Only for a pin. 1 is the first video of the feed.")]
    match: RuleMatch
    audience: RuleAudience
    priority: int
    enabled: bool
    starts_at: Time | None
    ends_at: Time | None
    state: Annotated[
        str,
        Field(
            json_schema_extra=one_of("live", "off", "scheduled", "over"),
            description="Current state: `live`, `off` (disabled), `scheduled` (not started), `over` (ended).",
        ),
    ]


class RuleDraft(StoredRule):
    """The draft of a rule."""

    etag: Etag


@comes_back_in(RuleForm, NewRuleForm)
class ListedRule(StoredRule):
    """A live rule, with its draft."""

    etag: Etag
    draft: RuleDraft | None


class NewRule(View):
    """A rule that exists only as a draft."""

    id: str
    state: Literal["draft"]
    draft: RuleDraft


class Rules(View):
    """Every rule, the highest priority first."""

    rules: list[ListedRule | NewRule]
    now: Time


class StoredPlaylist(Stamped):
    """A playlist."""

    id: str
    name: str
    description: str
    video_ids: list[str]
    unknown_video_ids: Annotated[
        list[str] | None, Field(description="Ids that are not in the catalog; null while it cannot be loaded.")
    ]


@comes_back_in(PlaylistForm, NewPlaylistForm)
class ListedPlaylist(StoredPlaylist):
    """A playlist in a list."""

    etag: Etag


class Playlists(View):
    """Every playlist."""

    playlists: list[ListedPlaylist]


def rule_document(id: str, form: RuleForm, now: float, who: str, before: Json | None = None) -> Json:
    """Build the document of a rule."""
    body = form.model_dump(by_alias=True, exclude={"id"})
    return {"id": f"rule:{id}", "kind": "rule", "ruleId": id, **body, "updatedAt": now, "updatedBy": who}


def playlist_document(id: str, form: PlaylistForm, now: float, who: str, before: Json | None = None) -> Json:
    """Build the document of a playlist."""
    body = form.model_dump(by_alias=True, exclude={"id"})
    return {"id": f"playlist:{id}", "kind": "playlist", "playlistId": id, **body, "updatedAt": now, "updatedBy": who}


RULE_FIELDS = tuple(field.alias or name for name, field in RuleForm.model_fields.items())
PLAYLIST_FIELDS = tuple(field.alias or name for name, field in PlaylistForm.model_fields.items())


def editable_rule(document: Json) -> dict[str, Any]:
    """Return the fields of a stored rule that an editor can send back."""
    fields = {name: all_composed(document.get(name)) for name in RULE_FIELDS if document.get(name) is not None}
    for name in ("startsAt", "endsAt"):
        fields[name] = iso_time_or_none(document.get(name))
    return fields


def rule_fields(document: Json, now: float) -> dict[str, Any]:
    """Return a stored rule as the fields of a view, with its current state: live, off, scheduled or over."""
    rule = Rule.from_document(document)
    state = "off" if rule is None or not rule.enabled else "live"
    if rule is not None and rule.enabled and not rule.in_force(now):
        state = "scheduled" if rule.starts_at is not None and now < rule.starts_at else "over"
    return {"id": document["ruleId"], **editable_rule(document), "state": state, **stamp(document)}


def rule_view(document: Json, now: float) -> StoredRule:
    """Build the view of a rule."""
    return StoredRule.unchecked(**rule_fields(document, now))


def draft_view(body: Json, etag: str, now: float) -> RuleDraft:
    """Build the view of a rule's draft. `body` is the stored draft."""
    return RuleDraft.unchecked(**rule_fields(body["rule"], now), etag=etag)


def listed_rule_view(document: Json, etag: str, draft: RuleDraft | None, now: float) -> ListedRule:
    """Build the view of a rule in a list, with its draft."""
    return ListedRule.unchecked(**rule_fields(document, now), etag=etag, draft=draft)


def editable_playlist(document: Json) -> dict[str, Any]:
    """Return the fields of a stored playlist that an editor can send back."""
    return {name: document[name] for name in PLAYLIST_FIELDS if name in document}


def playlist_fields(document: Json, known: set[str] | None) -> dict[str, Any]:
    """Return a stored playlist as the fields of a view. `known`: ids in the catalog, None while it is not loaded."""
    unknown = None if known is None else [id for id in document["videoIds"] if id not in known]
    return {
        "id": document["playlistId"],
        **editable_playlist(document),
        "unknownVideoIds": unknown,
        **stamp(document),
    }


def uses_playlist(rule: Json, playlist_id: str) -> bool:
    """Return whether a stored rule names a playlist."""
    return playlist_id in ((rule.get("match") or {}).get("playlists") or ())
