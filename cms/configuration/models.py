"""Forms, stored documents and views of a tenant's configuration; finds viewers who would see stronger ratings. Pure."""

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
    """Requests per second that a tenant can make; None: no limit for this tenant."""

    feed_requests_per_second: Annotated[float, Field(ge=1, le=100_000)] | None = None
    event_batches_per_second: Annotated[float, Field(ge=1, le=100_000)] | None = None


def known_weights(given: dict[str, float]) -> dict[str, float]:
    """Validate weights by feature name. Raises a fault for an unknown feature or a weight out of bounds."""
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
    """All fields of a configuration that a content team can set."""

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
    list[str],
    Field(description="Viewers who would see stronger ratings. If any, publishing needs X-Confirm-Maturity."),
]


class RateLimits(View):
    """Requests per second; null: no limit for this tenant."""

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
    rollup_shards: Annotated[
        int, Field(description="Number of sessions and documents over which its statistics are spread.")
    ]
    feature_flags: Annotated[dict[str, bool], Field(description="Overrides by name of the flag.")]
    count_anonymous_events: bool
    require_user_token: bool
    auto_model: Annotated[
        AutoModelState,
        Field(
            description="Models learned from the tenant's events: `on` serves them, `suggest` only shows them to "
            "editors, `off` does neither."
        ),
    ]
    holdout: Annotated[bool, Field(description="true: 2 % of the users never get a learned personal model.")]
    offer_next_episode: Annotated[
        bool, Field(description="true: feeds offer the next episode after a finished episode of a series.")
    ]
    follow_policy: Annotated[
        Literal["open", "approval"],
        Field(description="`open`: a follow is accepted at once. `approval`: the followed person must accept it."),
    ]
    friends_mean: Annotated[
        Literal["followers", "mutuals"],
        Field(description="Who sees an author's stories for friends: all followers, or only mutual ones."),
    ]
    story_hours: Annotated[int, Field(description="Hours until a story ends.")]
    story_hold_reports: Annotated[int, Field(description="Number of people whose reports hold a story back.")]
    media_hosts: Annotated[
        list[str], Field(description="Hosts from which the Studio can load pictures and clips over https.")
    ]


@comes_back_in(ConfigurationForm)
class Configuration(EditableConfiguration):
    """A tenant's live configuration."""

    tenant_id: str
    model_version: Annotated[str | None, Field(description="The model version served; null: the shipped model.")]
    model_history: ModelHistory


class DraftedConfiguration(EditableConfiguration):
    """A drafted configuration, validated when it was saved."""

    maturity_policy: Rating


class FieldChange(View):
    """A field that a draft changes."""

    live: Annotated[Any, Field(alias="from", description="The live value.")]
    drafted: Annotated[Any, Field(alias="to", description="The drafted value.")]


class ConfigurationDraft(View):
    """The draft of a configuration, compared with the live one."""

    configuration: Annotated[DraftedConfiguration, Field(description="The whole drafted configuration.")]
    changes: Annotated[
        dict[str, FieldChange],
        Field(description="Fields that differ from the live configuration, by name."),
    ]
    needs_confirmation: RaisedMaturity
    outdated: Annotated[
        bool, Field(description="true: the live configuration has changed since. Save the draft again.")
    ]
    saved_at: Time | None
    saved_by: KeyName


class PersonalizationSwitch(View):
    """State of a tenant's personalization."""

    tenant_id: str
    use_personalization: bool


def configuration_document(form: ConfigurationForm, before: Json, tenant_id: str) -> Json:
    """Build the stored configuration. Fields that the form lacks, such as the live model, are kept from `before`."""
    tenant = Tenant.from_document({**before, "tenantId": tenant_id, **form.model_dump(by_alias=True)})
    return {**before, **tenant.to_document()}


def editable(document: Json) -> dict[str, Any]:
    """Return the fields of a stored configuration that an editor can send back; missing ones have their default."""
    whole = Tenant.from_document(document).to_document()
    return {name: whole[name] for name in FIELDS}


def configuration_fields(document: Json) -> dict[str, Any]:
    """Return a stored configuration as the fields of a view."""
    tenant = Tenant.from_document(document)
    return {
        "tenantId": tenant.id,
        **editable(document),
        "modelVersion": tenant.model_version,
        "modelHistory": list(tenant.model_history),
    }


def require_read_only_unchanged(payload: Json, live: Json) -> None:
    """Raise a 422 `Problem` if a body changes the value of a read-only field of the live configuration."""
    fields = configuration_fields(live)
    given = [name for name in fields if name not in FIELDS and payload.get(name, fields[name]) != fields[name]]
    if given:
        raise refused(
            [Fault(name, "read_only", f"{name} cannot be changed by this call. Leave it out.") for name in given]
        )


def configuration_view(document: Json) -> Configuration:
    """Build the view of a stored configuration."""
    return Configuration.unchecked(**configuration_fields(document))


def draft_content(form: ConfigurationForm, now: float, who: str) -> Json:
    """Build the stored content of a draft."""
    return {"configuration": form.model_dump(by_alias=True), "savedAt": now, "savedBy": who}


def draft_view(draft: Json, live: Json, outdated: bool) -> ConfigurationDraft:
    """Build the view of a stored draft, compared with the `live` configuration."""
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
    """Describe the viewers who would see stronger ratings than now; [] if there are none."""
    named = sorted(before.age_band_policies.keys() | after.age_band_policies.keys())
    bands = {"": None, **{text: age_bands.read_age_band(text) or age_bands.EVERY_AGE for text in named}}
    edges = {edge for band in bands.values() if band for edge in (band.low, band.high + 1)}
    raised = []
    for text, band in bands.items():
        # The limit only changes at the edges of bands, so one age per interval is enough.
        ages = [age_bands.AgeBand(age, age) for age in edges if band.low <= age <= band.high] if band else [None]
        limits = [(maturity_limit(before, age), maturity_limit(after, age)) for age in ages]
        old, new = max(limits, key=lambda limit: limit[1] - limit[0])
        if new > old:
            who = f"viewers of age band {text}" if band else "viewers without an age band"
            raised.append(f"{who} would see up to {_BY_RANK[new]} instead of {_BY_RANK[old]}")
    return raised


def require_confirmation(before: Tenant, after: Tenant, confirmed: bool) -> bool:
    """Return whether the change shows some viewers stronger ratings.

    Raises a 422 `Problem` that names these viewers unless the caller has `confirmed`.
    """
    raised = raised_maturity(before, after)
    if raised and not confirmed:
        words = "; ".join(raised)
        message = f"{words[0].upper()}{words[1:]}. To confirm, repeat the request with X-Confirm-Maturity: yes."
        raise refused([Fault("maturityPolicy", "confirmation_required", message)])
    return bool(raised)
