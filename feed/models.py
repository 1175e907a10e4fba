"""Which ranking model serves a tenant: the global one with the tenant's own weights over it."""

from __future__ import annotations

import hashlib
import logging

import orjson

from ranking.model import InvalidModel, LinearModel, global_model
from shared.records import Tenant
from shared.services import Services

log = logging.getLogger("feed.models")


class Models:
    """Models by tenant, checked once per configuration."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._resolved: dict[str, tuple[Tenant, LinearModel]] = {}

    def of(self, tenant: Tenant) -> LinearModel:
        """The tenant's model. Stored weights that cannot be served are left out whole, counted and logged."""
        known = self._resolved.get(tenant.id)
        if known is not None and known[0] is tenant:
            return known[1]
        model = global_model()
        if tenant.weights:
            digest = hashlib.blake2b(orjson.dumps(tenant.weights, option=orjson.OPT_SORT_KEYS), digest_size=4)
            try:
                model = model.overridden(tenant.weights, f"{model.version}+{digest.hexdigest()}")
            except InvalidModel as error:
                log.error("weights of tenant %s are not usable: %s", tenant.id, error)
                self._services.telemetry.count("invalid_weights", tenant.id)
        self._resolved[tenant.id] = (tenant, model)
        return model
