"""Ranking models and experiments as a team writes them. Pure."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from cms.configuration.models import known_weights
from cms.forms import Form, Slug, fault, text_like
from shared.adapters.documents.port import Json
from shared.domain.formats import iso_time_or_none
from shared.domain.records import Experiment

MAX_MODELS = 50
MAX_EXPERIMENTS = 100
MAX_HISTORY = 10
RUNNING_ID = "running-experiment"

Version = Annotated[
    str, text_like(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}", "a model version of 1 to 64 letters, digits or . _ + -")
]


class ArmForm(Form):
    """What some of the users see instead: a model version, weights over it, or neither for the control."""

    name: Annotated[str, Field(min_length=1, max_length=40)]
    percent: Annotated[float, Field(ge=0, le=100)]
    model_version: Version | None = None
    weights: Annotated[dict[str, float], Field(max_length=100), AfterValidator(known_weights)] = {}


class ExperimentForm(Form):
    """A whole experiment, apart from its id. What the shares leave over stays outside it."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    hypothesis: Annotated[str, Field(max_length=500)] = ""
    arms: Annotated[list[ArmForm], Field(min_length=2, max_length=8)]

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        total = sum(arm.percent for arm in self.arms)
        if total > 100.0001:
            raise fault("arms", "shares_above_100", f"The shares of the arms add up to {total:g} %, more than 100 %.")
        if len({arm.name for arm in self.arms}) < len(self.arms):
            raise fault("arms", "arm_twice", "Two arms have the same name.")
        whats = [(arm.model_version, tuple(sorted(arm.weights.items()))) for arm in self.arms]
        if len(set(whats)) < len(whats):
            raise fault("arms", "same_arms", "Two arms show the same thing: give them different models or weights.")
        return self


class NewExperimentForm(ExperimentForm):
    """A whole experiment with its id."""

    id: Slug


def experiment_document(id: str, form: ExperimentForm, now: float, who: str) -> Json:
    """An experiment as it is stored, not yet running."""
    body = form.model_dump(by_alias=True, exclude={"id"})
    return {
        "id": f"experiment:{id}",
        "kind": "experiment",
        "experimentId": id,
        **body,
        "status": "draft",
        "salt": secrets.token_hex(8),
        "startedAt": None,
        "stoppedAt": None,
        "updatedAt": now,
        "updatedBy": who,
    }


def running_document(experiment_id: str | None, versions: Sequence[str]) -> Json:
    """The tenant's one slot: which experiment runs, None for none, and the model versions that its arms show."""
    return {
        "id": RUNNING_ID,
        "kind": "running-experiment",
        "experimentId": experiment_id,
        "modelVersions": sorted(versions),
    }


def shown_experiment(document: Json) -> dict[str, Any]:
    """An experiment as the API answers it."""
    read = Experiment.from_document(document)
    return {
        "id": read.id,
        "name": read.name,
        "hypothesis": document.get("hypothesis", ""),
        "status": read.status,
        "arms": [
            {
                "number": arm.number,
                "name": arm.name,
                "percent": arm.percent,
                "modelVersion": arm.model_version,
                "weights": arm.weights,
            }
            for arm in read.arms
        ],
        "outsidePercent": round(100.0 - sum(arm.percent for arm in read.arms), 4),
        "startedAt": iso_time_or_none(read.started_at),
        "stoppedAt": iso_time_or_none(read.stopped_at),
        "updatedAt": iso_time_or_none(document.get("updatedAt")),
        "updatedBy": document.get("updatedBy"),
    }


def model_document(document: Json, now: float, who: str) -> Json:
    """A model version as it is stored, in the file format with what the store needs; it never changes again."""
    return {**document, "id": f"model:{document['version']}", "kind": "model", "uploadedAt": now, "uploadedBy": who}


def shown_model(document: Json, live: str | None) -> dict[str, Any]:
    """A model version as the API answers it."""
    return {
        "version": document["version"],
        "type": document["type"],
        "weights": document["weights"],
        "trained": document.get("trained") or {},
        "live": document["version"] == live,
        "uploadedAt": iso_time_or_none(document.get("uploadedAt")),
        "uploadedBy": document.get("uploadedBy"),
    }
