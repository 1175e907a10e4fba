"""A tenant's configuration as its content team writes it, and what a change would mean for viewers. Pure."""

from __future__ import annotations

import re
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, JsonValue, model_validator

from cms.forms import AgeBand, Fault, Form, fault, refused
from cms.videos.models import Rating
from feed.filters import maturity_limit
from ranking.model import InvalidModel, checked_weights
from shared.adapters.documents.port import Json
from shared.adapters.flags.evaluation import wrong_tenant_flags
from shared.domain.records import (
    DEFAULT_CREATOR_CAP,
    DEFAULT_DIVERSITY,
    DEFAULT_STREAK_CAP,
    MAX_DIVERSITY,
    RATINGS,
    Tenant,
)
from shared.web.problems import Problem

FLAG = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_BY_RANK = {rank: rating for rating, rank in RATINGS.items()}


class RateLimitsForm(Form):
    """Requests a second a tenant may make; None for no limit of its own."""

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
        if not FLAG.fullmatch(name):
            raise fault("featureFlags", "invalid_flag", "A feature flag has 1 to 64 lower-case letters, digits or -.")
    for name, wrong in wrong_tenant_flags(given).items():
        raise fault(f"featureFlags.{name}", "invalid_flag", f"featureFlags.{name} {wrong}")
    return given


class ConfigurationForm(Form):
    """The whole configuration a content team may set."""

    maturity_policy: Rating
    age_band_policies: Annotated[dict[AgeBand, Rating], Field(max_length=20)] = {}
    use_personalization: bool = True
    default_limit: Annotated[int, Field(ge=1, le=50)] = 20
    weights: Annotated[dict[str, float], Field(max_length=100), AfterValidator(known_weights)] = {}
    affinity_half_life_days: Annotated[float, Field(ge=1, le=30)] = 14.0
    popularity_half_life_hours: Annotated[float, Field(ge=1, le=168)] | None = None
    streak_cap: Annotated[int, Field(ge=0, le=50)] = DEFAULT_STREAK_CAP
    creator_cap: Annotated[int, Field(ge=0, le=50)] = DEFAULT_CREATOR_CAP
    diversity: Annotated[float, Field(ge=0, le=MAX_DIVERSITY)] = DEFAULT_DIVERSITY
    rate_limits: RateLimitsForm = RateLimitsForm()
    feature_flags: Annotated[dict[str, JsonValue], Field(max_length=50), AfterValidator(_flags)] = {}
    count_anonymous_events: bool = False
    require_user_token: bool = False

    @model_validator(mode="after")
    def _bands_only_lower(self) -> Self:
        for band, rating in self.age_band_policies.items():
            if RATINGS[rating] > RATINGS[self.maturity_policy]:
                raise fault(
                    f"ageBandPolicies.{band}",
                    "above_policy",
                    f"ageBandPolicies.{band} is above maturityPolicy, which it can only lower: "
                    f"choose {self.maturity_policy} or milder.",
                )
        return self


FIELDS = tuple(field.alias or name for name, field in ConfigurationForm.model_fields.items())


def to_document(form: ConfigurationForm, before: Json | None, tenant_id: str) -> Json:
    """What is stored; what is not the form's, such as the model's pointer, stays as it is."""
    known = before or {}
    tenant = Tenant.from_document({**known, "tenantId": tenant_id, **form.model_dump(by_alias=True)})
    return {**known, **tenant.to_document()}


def editable(document: Json) -> dict[str, Any]:
    """The fields of a stored configuration that an editor may send back; what is missing has its default."""
    whole = Tenant.from_document(document).to_document()
    return {name: whole[name] for name in FIELDS}


def shown(document: Json) -> dict[str, Any]:
    """A configuration as the API answers it."""
    tenant = Tenant.from_document(document)
    return {
        "tenantId": tenant.id,
        **editable(document),
        "modelVersion": tenant.model_version,
        "modelHistory": list(tenant.model_history),
    }


def raised_maturity(before: Tenant, after: Tenant) -> list[str]:
    """Who would be shown stronger ratings than now, in words; [] when nobody."""
    raised = []
    bands: list[str | None] = [None, *sorted(before.age_band_policies.keys() | after.age_band_policies.keys())]
    for band in bands:
        old, new = maturity_limit(before, band), maturity_limit(after, band)
        if new > old:
            who = f"viewers of age band {band}" if band else "viewers without an age band"
            raised.append(f"{who} would see up to {_BY_RANK[new]} instead of {_BY_RANK[old]}")
    return raised


def require_confirmation(before: Tenant, after: Tenant, confirmed: bool) -> bool:
    """Whether the change shows somebody stronger ratings. Raises a 422 `Problem` when it does and nobody confirmed."""
    raised = raised_maturity(before, after)
    if raised and not confirmed:
        raise maturity_problem(raised)
    return bool(raised)


def maturity_problem(raised: list[str]) -> Problem:
    """422: says who would see what, and how to go on."""
    sentence = "; ".join(raised)
    return refused(
        [
            Fault(
                "maturityPolicy",
                "confirmation_required",
                f"{sentence[0].upper()}{sentence[1:]}. To confirm, repeat the request with X-Confirm-Maturity: yes.",
            )
        ],
    )
