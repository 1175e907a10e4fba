"""Resolves the models that rank for a tenant: the version it promoted, its own learned models, or the shipped ones.

The tenant's own weights and its half-life of popularity are applied on top of each of them.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from operator import is_
from typing import Any

import orjson

from ranking.model import InvalidModel, LinearModel, global_model, parse, parse_popularity, popularity_model
from ranking.stats import HALF_LIVES
from shared.adapters.tenant_directory import TenantDirectory
from shared.domain.auto_model import AutoModel
from shared.domain.records import AUTO_ON, HOME, Tenant
from shared.observability.metrics import Telemetry

log = logging.getLogger("feed.models")


DEMAND = ("demand_1h", "demand_6h", "demand_24h", "demand_7d")
"""The features of `HALF_LIVES`, in their order."""
NEXT_WATCH_FEATURE = "next_watch"


@dataclass(frozen=True, slots=True, eq=False)
class ServedModels:
    """Models that rank for a tenant.

    `popularity` orders the popular feed, `personal` every personalized page. `base` is `personal` before the tenant's
    own weights; an experiment's arms start from it. It is None if the shipped model replaces one that cannot be served.
    `held_out` ranks for the users of the holdout; None while they get the same models as others. `holdout`: the tenant
    has one, and its users take part in no experiment.
    """

    personal: LinearModel
    popularity: LinearModel
    base: LinearModel | None
    held_out: LinearModel | None = None
    holdout: bool = False

    def for_user(self, in_holdout: bool) -> LinearModel:
        """Return the model of a user's personal pages outside experiments."""
        return (self.held_out if in_holdout else None) or self.personal


class Models:
    """Models by tenant, resolved once for each change of the stored documents."""

    def __init__(self, tenants: TenantDirectory, telemetry: Telemetry) -> None:
        self._tenants = tenants
        self._telemetry = telemetry
        self._resolved: dict[tuple[str, str], _Resolved] = {}

    def of(self, tenant: Tenant, feed: str = HOME) -> ServedModels:
        """Return the models that rank for a tenant, as configured for the feed of this name. If a stored model cannot
        be served, this is counted and logged, and the shipped models are used."""
        known, version = self._resolved.get((tenant.id, feed)), self._tenants.version
        if known is not None and known.tenant is tenant and known.version == version:
            return known.models
        auto = self._tenants.auto_model(tenant.id)
        names = (tenant.model_version, auto.popularity, auto.personal) if auto else (tenant.model_version,)
        stored = [None if name is None else self._tenants.model(tenant.id, name) for name in names]
        made_from: tuple[object, ...] = (tenant, auto, *stored)
        if known is not None and len(known.made_from) == len(made_from) and all(map(is_, known.made_from, made_from)):
            models = known.models
        else:
            models = self._servable(tenant, auto)
        self._resolved[tenant.id, feed] = _Resolved(tenant, version, made_from, models)
        return models

    def _servable(self, tenant: Tenant, auto: AutoModel | None) -> ServedModels:
        try:
            return served_models(tenant, auto, partial(self._tenants.model, tenant.id))
        except InvalidModel:  # the exception's text contains submitted values; only the preview shows it
            if self._tenants.loaded:  # before that, documents that it names can still be missing
                log.error("the model of tenant %s is not usable", tenant.id)
                self._telemetry.count("invalid_weights", tenant.id)
            return ServedModels(global_model(), with_half_life_of(tenant, popularity_model()), None)


@dataclass(frozen=True, slots=True, eq=False)
class _Resolved:
    """Models, the objects they were made from, and the directory's version at the last check."""

    tenant: Tenant
    version: int
    made_from: tuple[object, ...]
    models: ServedModels


Stored = Callable[[str], Mapping[str, Any] | None]
"""Returns a stored model version in the file format; None if there is none of that name."""


def served_models(tenant: Tenant, auto: AutoModel | None, stored: Stored) -> ServedModels:
    """Return the models that rank for a tenant. Raises `InvalidModel` when one is missing or cannot be served.

    A version promoted by hand has precedence over the tenant's learned models, which are used only if the tenant allows
    it (`autoModel`). Without either, the shipped models are used.
    """
    learned = auto if tenant.auto_model == AUTO_ON else None
    promoted = None if tenant.model_version is None else _version_named(tenant.model_version, stored)
    fitted = None if promoted is None else parse_popularity(promoted)
    if fitted is None and learned is not None and learned.popularity is not None:
        fitted = parse_popularity(_version_named(learned.popularity, stored))
        if fitted is None:
            raise InvalidModel(f"The model version {learned.popularity} has no fitted popularity.")
    personal = learned is not None and promoted is None and learned.personal is not None
    if promoted is not None:
        base = parse(promoted)
    elif learned is not None and learned.personal is not None:
        base = parse(_version_named(learned.personal, stored))
    elif learned is not None and fitted is not None:
        base = fitted
    else:
        base = global_model()
    popularity = fitted or popularity_model()
    holdout = learned is not None and tenant.holdout
    return ServedModels(
        personal=with_weights_of(tenant, base),
        popularity=with_half_life_of(tenant, popularity),
        base=base,
        held_out=with_weights_of(tenant, popularity) if holdout and personal else None,
        holdout=holdout,
    )


def _version_named(version: str, stored: Stored) -> Mapping[str, Any]:
    document = stored(version)
    if document is None:
        raise InvalidModel(f"There is no model version {version}.")
    return document


def with_weights_of(tenant: Tenant, model: LinearModel) -> LinearModel:
    """Return a model with the tenant's half-life of popularity and its own weights. Raises `InvalidModel`."""
    hours = tenant.popularity_half_life_hours
    if not tenant.weights and hours is None:
        return model
    over = [dict(tenant.weights), hours]
    digest = hashlib.blake2b(orjson.dumps(over, option=orjson.OPT_SORT_KEYS), digest_size=4).hexdigest()
    if hours is not None:
        model = model.changed(lambda weights: with_half_life(weights, hours))
    return model.overridden(tenant.weights, f"{model.version}+{digest}"[-64:])


def with_half_life_of(tenant: Tenant, popularity: LinearModel) -> LinearModel:
    """Return a model of the popular feed with the tenant's half-life of popularity.

    The tenant's own weights do not apply: they are meant for personal pages. A weight that removes demand there would
    leave the popular feed without an order.
    """
    return with_weights_of(replace(tenant, weights={}), popularity)


@lru_cache(maxsize=512)
def without_next_watch(model: LinearModel) -> LinearModel:
    """Return the model to use while co-watch is off: the one fitted for that, else the same model without the
    feature."""
    if model.without_next_watch is not None:
        return model.without_next_watch
    if not model.weights.get(NEXT_WATCH_FEATURE):
        return model
    return model.overridden({NEXT_WATCH_FEATURE: 0.0}, f"{model.version}-without-next-watch"[-64:])


def with_half_life(weights: Mapping[str, float], hours: float) -> dict[str, float]:
    """Return the demand weights for this half-life of popularity (1 to 168 hours): the same sum, split between the two
    nearest windows.

    Between two windows the split is linear in the logarithm of the half-life.
    """
    windows = [math.log(seconds / 3_600.0) for seconds in HALF_LIVES]
    at = min(max(math.log(hours), windows[0]), windows[-1])
    upper = next(place for place in range(1, len(windows)) if at <= windows[place] or place == len(windows) - 1)
    share = (at - windows[upper - 1]) / (windows[upper] - windows[upper - 1])
    total = sum(weights.get(name, 0.0) for name in DEMAND)
    shares = {DEMAND[upper - 1]: 1.0 - share, DEMAND[upper]: share}
    return {name: total * shares.get(name, 0.0) for name in DEMAND}
