"""Assigns users to the arms of a tenant's running experiment, each with the model it ranks with."""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict
from dataclasses import dataclass, replace

from feed.tenant_models import Models, with_weights_of
from ranking.model import InvalidModel, LinearModel, parse
from shared.adapters.tenant_directory import TenantDirectory
from shared.domain.records import HOME, Arm, Experiment, Tenant
from shared.observability.metrics import Telemetry

log = logging.getLogger("feed.experiments")

MAX_KEPT = 512


@dataclass(frozen=True, slots=True)
class Assignment:
    """A user's arm and its model."""

    experiment: Experiment
    arm: Arm
    model: LinearModel

    @property
    def name(self) -> str:
        """Name of the arm in the response."""
        return f"{self.experiment.id}/{self.arm.name}"


def arm_of(experiment: Experiment, user_key: str) -> Arm | None:
    """Return the user's arm; None if the shares leave the user out. The arm never changes under one salt. A larger
    share of the last arm moves no user from another arm."""
    digest = hashlib.blake2b(f"{experiment.salt}\n{user_key}".encode(), digest_size=8).digest()
    place = int.from_bytes(digest, "big") / 2**64 * 100
    edge = 0.0
    for arm in experiment.arms:
        edge += arm.percent
        if place < edge:
            return arm
    return None


class Experiments:
    """Assigns users to arms. Each arm's model is resolved once."""

    def __init__(self, tenants: TenantDirectory, models: Models, telemetry: Telemetry) -> None:
        self._tenants = tenants
        self._served = models
        self._telemetry = telemetry
        self._models: OrderedDict[tuple[str, str, str, int], tuple[Tenant, Experiment, object, LinearModel | None]] = (
            OrderedDict()
        )

    def of(self, tenant: Tenant, user_key: str, feed: str = HOME) -> Assignment | None:
        """Return the user's assignment; None when no experiment runs in the feed or the user is outside it. `tenant` is
        the tenant as configured for the feed.

        If an arm's model cannot be served, this is counted and logged, and the arm's users are outside the experiment:
        another model would distort its result.
        """
        experiment = self._tenants.experiment(tenant.id)
        if experiment is None or feed not in experiment.feeds:
            return None
        arm = arm_of(experiment, user_key)
        if arm is None:
            return None
        model = self._model(tenant, experiment, arm, feed)
        return Assignment(experiment, arm, model) if model is not None else None

    def _model(self, tenant: Tenant, experiment: Experiment, arm: Arm, feed: str) -> LinearModel | None:
        version = arm.model_version
        base = self._tenants.model(tenant.id, version) if version else self._served.of(tenant, feed).base
        key = (tenant.id, feed, experiment.id, arm.number)
        kept = self._models.get(key)
        if kept is not None and kept[0] is tenant and kept[1] is experiment and kept[2] is base:
            return kept[3]
        model: LinearModel | None = None
        try:
            if base is None:
                raise InvalidModel("there is no such model version, or what the tenant serves cannot be served")
            ranks = base if isinstance(base, LinearModel) else parse(base)
            model = with_weights_of(replace(tenant, weights={**tenant.weights, **arm.weights}), ranks)
        except InvalidModel:  # the exception's text contains the submitted values, so it is not logged
            log.error("arm %d of an experiment of tenant %s is not usable", arm.number, tenant.id)
            self._telemetry.count("invalid_weights", tenant.id)
        self._models[key] = (tenant, experiment, base, model)
        if len(self._models) > MAX_KEPT:
            self._models.popitem(last=False)
        return model
