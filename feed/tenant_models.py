"""Resolves a tenant's ranking model: the one it promoted or the global one, with its own weights over it."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import orjson

from ranking.model import InvalidModel, LinearModel, global_model, parse
from ranking.stats import HALF_LIVES
from shared.adapters.tenant_directory import TenantDirectory
from shared.domain.records import Tenant
from shared.observability.metrics import Telemetry

log = logging.getLogger("feed.models")


DEMAND = ("demand_1h", "demand_6h", "demand_24h", "demand_7d")
"""The features of `HALF_LIVES`, in their order."""
NEXT_WATCH_FEATURE = "next_watch"


class Models:
    """Models by tenant, checked once per configuration."""

    def __init__(self, tenants: TenantDirectory, telemetry: Telemetry) -> None:
        self._tenants = tenants
        self._telemetry = telemetry
        self._resolved: dict[str, tuple[Tenant, object, LinearModel]] = {}

    def of(self, tenant: Tenant) -> LinearModel:
        """The tenant's model. What is stored but cannot be served is left out whole, counted and logged."""
        stored = self._stored(tenant)
        known = self._resolved.get(tenant.id)
        if known is not None and known[0] is tenant and known[1] is stored:
            return known[2]
        try:
            model = resolve(tenant, stored)
        except InvalidModel:  # its text names what was sent; the preview shows it to whoever may see that
            log.error("the model of tenant %s is not usable", tenant.id)
            self._telemetry.count("invalid_weights", tenant.id)
            model = global_model()
        self._resolved[tenant.id] = (tenant, stored, model)
        return model

    def _stored(self, tenant: Tenant) -> Mapping[str, Any] | None:
        if tenant.model_version is None:
            return None
        return self._tenants.model(tenant.id, tenant.model_version)


def resolve(tenant: Tenant, stored: Mapping[str, Any] | None) -> LinearModel:
    """A tenant's model: `stored` is the version it promoted, None for the global one. Raises `InvalidModel`."""
    model = parse(stored) if stored is not None else global_model()
    hours = tenant.popularity_half_life_hours
    if not tenant.weights and hours is None:
        return model
    over = [dict(tenant.weights), hours]
    digest = hashlib.blake2b(orjson.dumps(over, option=orjson.OPT_SORT_KEYS), digest_size=4).hexdigest()
    if hours is not None:
        model = model.changed(lambda weights: with_half_life(weights, hours))
    return model.overridden(tenant.weights, f"{model.version}+{digest}"[-64:])


@lru_cache(maxsize=512)
def without_next_watch(model: LinearModel) -> LinearModel:
    """What ranks while nothing may come from what others watched: the weights for that, else the same without it."""
    if model.without_next_watch is not None:
        return model.without_next_watch
    if not model.weights.get(NEXT_WATCH_FEATURE):
        return model
    return model.overridden({NEXT_WATCH_FEATURE: 0.0}, f"{model.version}-without-next-watch"[-64:])


def with_half_life(weights: Mapping[str, float], hours: float) -> dict[str, float]:
    """The demand weights as if popularity had this half-life (1 to 168 hours): the same sum, on the two windows around.

    Between two windows the split goes by the logarithm of the half-life.
    """
    windows = [math.log(seconds / 3_600.0) for seconds in HALF_LIVES]
    at = min(max(math.log(hours), windows[0]), windows[-1])
    upper = next(place for place in range(1, len(windows)) if at <= windows[place] or place == len(windows) - 1)
    share = (at - windows[upper - 1]) / (windows[upper] - windows[upper - 1])
    total = sum(weights.get(name, 0.0) for name in DEMAND)
    shares = {DEMAND[upper - 1]: 1.0 - share, DEMAND[upper]: share}
    return {name: total * shares.get(name, 0.0) for name in DEMAND}
