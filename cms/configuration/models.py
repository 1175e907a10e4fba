"""A tenant's configuration: what is sent, stored and answered, and who a change would show stronger ratings. Pure."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, JsonValue, model_validator

from cms.forms import AgeBand, Distinct, Fault, Form, NullMeansAbsent, comes_back_in, fault, read_as, refused
from cms.spellings import Whole
from cms.videos.models import Rating
from cms.views import KeyName
from feed.filters import maturity_limit
from ranking.model import InvalidModel, checked_weights
from shared.adapters.documents.port import Json
from shared.adapters.flags.evaluation import wrong_tenant_flags
from shared.domain import age_bands
from shared.domain.formats import FLAG_NAME, iso_time_or_none
from shared.domain.media_hosts import MAX_CHARS, MAX_HOSTS, read_media_host
from shared.domain.records import (
    DEFAULT_CREATOR_CAP,
    DEFAULT_DIVERSITY,
    DEFAULT_HOLD_REPORTS,
    DEFAULT_STORY_HOURS,
    DEFAULT_STREAK_CAP,
    MAX_DIVERSITY,
    MAX_HOLD_REPORTS,
    MAX_ROLLUP_SHARDS,
    MAX_STORY_HOURS,
    RATINGS,
    Tenant,
)
from shared.web.responses import Time, View

AutoModelState = Literal["on", "suggest", "off"]
MediaHost = Annotated[
    str,
    read_as(read_media_host, "a host such as cdn.example.org, with no wildcard and no port; https is used"),
]
_BY_RANK = {rank: rating for rating, rank in RATINGS.items()}


class RateLimitsForm(Form):
    """Requests per second that a tenant can make; None: no limit of its own."""

    feed_requests_per_second: Annotated[float, Field(ge=1, le=100_000)] | None = None
    event_batches_per_second: Annotated[float, Field(ge=1, le=100_000)] | None = None


def known_weights(given: dict[str, float]) -> dict[str, float]:
    """Weights under their features' names. Raises a fault for an unknown feature or a weight out of bounds."""
    try:
        return checked_weights(given)
    except InvalidModel as error:
        raise fault("weights", "invalid_weight", str(error)) from None


def _flags(given: dict[str, JsonValue]) -> dict[str, JsonValue]:
    for name in given:
        if not FLAG_NAME.matches(name):
            raise fault("featureFlags", "invalid_flag", f"The name of a feature flag must be {FLAG_NAME.description}.")
    for name, wrong in wrong_tenant_flags(given).items():
        raise fault(f"featureFlags.{name}", "invalid_flag", f"featureFlags.{name} {wrong}")
    return given


def _not_too_long(given: list[str]) -> list[str]:
    if sum(map(len, given)) > MAX_CHARS:
        raise fault(
            "mediaHosts", "hosts_too_long", f"mediaHosts can have at most {MAX_CHARS} characters in all. Remove some."
        )
    return given


class ConfigurationForm(Form):
    """The whole configuration that a content team can set."""

    maturity_policy: Rating
    age_band_policies: Annotated[dict[AgeBand, Rating], Field(max_length=20), NullMeansAbsent] = {}
    use_personalization: bool = True
    default_limit: Annotated[Whole, Field(ge=1, le=50)] = 20
    weights: Annotated[dict[str, float], Field(max_length=100), NullMeansAbsent, AfterValidator(known_weights)] = {}
    affinity_half_life_days: Annotated[float, Field(ge=1, le=30)] = 14.0
    popularity_half_life_hours: Annotated[float, Field(ge=1, le=168)] | None = None
    streak_cap: Annotated[Whole, Field(ge=0, le=50)] = DEFAULT_STREAK_CAP
    creator_cap: Annotated[Whole, Field(ge=0, le=50)] = DEFAULT_CREATOR_CAP
    diversity: Annotated[float, Field(ge=0, le=MAX_DIVERSITY)] = DEFAULT_DIVERSITY
    rate_limits: RateLimitsForm = RateLimitsForm()
    rollup_shards: Annotated[Whole, Field(ge=1, le=MAX_ROLLUP_SHARDS)] = 1
    feature_flags: Annotated[dict[str, JsonValue], Field(max_length=50), NullMeansAbsent, AfterValidator(_flags)] = {}
    count_anonymous_events: bool = False
    require_user_token: bool = False
    auto_model: AutoModelState = "on"
    holdout: bool = True
    offer_next_episode: bool = True
    follow_policy: Literal["open", "approval"] = "open"
    friends_mean: Literal["followers", "mutuals"] = "followers"
    story_hours: Annotated[Whole, Field(ge=1, le=MAX_STORY_HOURS)] = DEFAULT_STORY_HOURS
    story_hold_reports: Annotated[Whole, Field(ge=1, le=MAX_HOLD_REPORTS)] = DEFAULT_HOLD_REPORTS
    media_hosts: Annotated[list[MediaHost], Field(max_length=MAX_HOSTS), Distinct, AfterValidator(_not_too_long)] = []

    @model_validator(mode="after")
    def _bands_only_lower(self) -> Self:
        for band, rating in self.age_band_policies.items():
            if RATINGS[rating] > RATINGS[self.maturity_policy]:
                raise fault(
                    f"ageBandPolicies.{band}",
                    "above_policy",
                    f"ageBandPolicies.{band} allows stronger ratings than maturityPolicy. "
                    f"Choose {self.maturity_policy} or milder.",
                )
        return self


FIELDS = tuple(field.alias or name for name, field in ConfigurationForm.model_fields.items())

ModelVersion = Annotated[str | None, Field(description="null: the shipped model.")]
ModelHistory = Annotated[list[ModelVersion], Field(description="Versions served before, the latest first.")]
RaisedMaturity = Annotated[
    list[str], Field(description="Who would be shown stronger ratings; send X-Confirm-Maturity then.")
]


class RateLimits(View):
    """Requests per second; null: no limit of the tenant's own."""

    feed_requests_per_second: float | None
    event_batches_per_second: float | None


class EditableConfiguration(View):
    """The fields of a configuration that a content team can set."""

    maturity_policy: Annotated[str | None, Field(description=f"{', '.join(RATINGS)}; anything else counts as G.")]
    age_band_policies: dict[str, Rating]
    use_personalization: bool
    default_limit: int
    weights: dict[str, float]
    affinity_half_life_days: float
    popularity_half_life_hours: float | None
    streak_cap: int
    creator_cap: int
    diversity: float
    rate_limits: RateLimits
    rollup_shards: Annotated[int, Field(description="Sessions and documents that its statistics are spread over.")]
    feature_flags: Annotated[dict[str, bool], Field(description="By the name of the flag.")]
    count_anonymous_events: bool
    require_user_token: bool
    auto_model: Annotated[
        AutoModelState,
        Field(description="What the tenant's own learning finds is served, shown to its editors, or neither."),
    ]
    holdout: Annotated[bool, Field(description="2 % of the users are never served a learned personal model.")]
    offer_next_episode: Annotated[bool, Field(description="After a finished episode of a series the next is offered.")]
    follow_policy: Annotated[
        Literal["open", "approval"], Field(description="A follow holds at once, or once the followed person agrees.")
    ]
    friends_mean: Annotated[
        Literal["followers", "mutuals"], Field(description="Who sees an author's stories for friends.")
    ]
    story_hours: Annotated[int, Field(description="How long a story lives.")]
    story_hold_reports: Annotated[int, Field(description="How many people report a story until it is held back.")]
    media_hosts: Annotated[
        list[str], Field(description="Hosts from which the Studio may load pictures and clips, by https.")
    ]


@comes_back_in(ConfigurationForm)
class Configuration(EditableConfiguration):
    """A tenant's live configuration."""

    tenant_id: str
    model_version: Annotated[str | None, Field(description="The version served; null: the shipped model.")]
    model_history: ModelHistory


class DraftedConfiguration(EditableConfiguration):
    """A configuration that was checked when it was saved as a draft."""

    maturity_policy: Rating


class FieldChange(View):
    """A field that a draft changes."""

    live: Annotated[Any, Field(alias="from", description="The live value.")]
    drafted: Annotated[Any, Field(alias="to", description="The drafted value.")]


class ConfigurationDraft(View):
    """The draft of a configuration, compared with the live one."""

    configuration: Annotated[DraftedConfiguration, Field(description="The whole configuration as it would be.")]
    changes: Annotated[
        dict[str, FieldChange],
        Field(description="By the name of the field; only what differs from the live configuration."),
    ]
    needs_confirmation: RaisedMaturity
    outdated: Annotated[bool, Field(description="The live configuration has changed since: save the draft again.")]
    saved_at: Time | None
    saved_by: KeyName


class PersonalizationSwitch(View):
    """Whether a tenant's feeds are personalized."""

    tenant_id: str
    use_personalization: bool


def configuration_document(form: ConfigurationForm, before: Json, tenant_id: str) -> Json:
    """A configuration as it is stored. What the form does not set, such as the live model, stays as it was `before`."""
    tenant = Tenant.from_document({**before, "tenantId": tenant_id, **form.model_dump(by_alias=True)})
    return {**before, **tenant.to_document()}


def editable(document: Json) -> dict[str, Any]:
    """The fields of a stored configuration that an editor may send back; what is missing has its default."""
    whole = Tenant.from_document(document).to_document()
    return {name: whole[name] for name in FIELDS}


def configuration_fields(document: Json) -> dict[str, Any]:
    """A stored configuration as a view's fields."""
    tenant = Tenant.from_document(document)
    return {
        "tenantId": tenant.id,
        **editable(document),
        "modelVersion": tenant.model_version,
        "modelHistory": list(tenant.model_history),
    }


def require_read_only_unchanged(payload: Json, live: Json) -> None:
    """Raise a 422 `Problem` when a body gives another value to a field of the live configuration that it cannot set."""
    fields = configuration_fields(live)
    given = [name for name in fields if name not in FIELDS and payload.get(name, fields[name]) != fields[name]]
    if given:
        raise refused(
            [Fault(name, "read_only", f"{name} cannot be changed by this call. Leave it out.") for name in given]
        )


def configuration_view(document: Json) -> Configuration:
    """A configuration as it is answered."""
    return Configuration.unchecked(**configuration_fields(document))


def draft_content(form: ConfigurationForm, now: float, who: str) -> Json:
    """What the draft of a configuration stores."""
    return {"configuration": form.model_dump(by_alias=True), "savedAt": now, "savedBy": who}


def draft_view(draft: Json, live: Json, outdated: bool) -> ConfigurationDraft:
    """A stored draft as it is answered, compared with the `live` configuration."""
    now, drafted = editable(live), draft["configuration"]
    return ConfigurationDraft.unchecked(
        configuration=drafted,
        changes={name: {"from": now[name], "to": drafted.get(name)} for name in now if now[name] != drafted.get(name)},
        needs_confirmation=raised_maturity(Tenant.from_document(live), Tenant.from_document({**live, **drafted})),
        outdated=outdated,
        saved_at=iso_time_or_none(draft.get("savedAt")),
        saved_by=draft.get("savedBy"),
    )


def raised_maturity(before: Tenant, after: Tenant) -> list[str]:
    """Who would be shown stronger ratings than now, in words; [] when nobody."""
    named = sorted(before.age_band_policies.keys() | after.age_band_policies.keys())
    bands = {"": None, **{text: age_bands.read_age_band(text) or age_bands.EVERY_AGE for text in named}}
    edges = {edge for band in bands.values() if band for edge in (band.low, band.high + 1)}
    raised = []
    for text, band in bands.items():
        # Between two edges the limit is the same for every age: one age of each part stands for all.
        ages = [age_bands.AgeBand(age, age) for age in edges if band.low <= age <= band.high] if band else [None]
        limits = [(maturity_limit(before, age), maturity_limit(after, age)) for age in ages]
        old, new = max(limits, key=lambda limit: limit[1] - limit[0])
        if new > old:
            who = f"viewers of age band {text}" if band else "viewers without an age band"
            raised.append(f"{who} would see up to {_BY_RANK[new]} instead of {_BY_RANK[old]}")
    return raised


def require_confirmation(before: Tenant, after: Tenant, confirmed: bool) -> bool:
    """Whether the change shows somebody stronger ratings.

    Raises a 422 `Problem` that says who would see what, when it does and the caller has not `confirmed`.
    """
    raised = raised_maturity(before, after)
    if raised and not confirmed:
        words = "; ".join(raised)
        message = f"{words[0].upper()}{words[1:]}. To confirm, repeat the request with X-Confirm-Maturity: yes."
        raise refused([Fault("maturityPolicy", "confirmation_required", message)])
    return bool(raised)
