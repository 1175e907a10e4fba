"""Forms, stored documents and views of model versions and experiments. Pure."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, create_model, model_validator

from cms.configuration.models import ModelHistory, ModelVersion, known_weights
from cms.forms import (
    Distinct,
    Fault,
    Form,
    NullMeansAbsent,
    Slug,
    comes_back_in,
    fault,
    refused,
    text_like,
    without_nulls,
)
from cms.views import Etag, KeyName, Stamped, one_of, stamp
from ranking.model import InvalidModel, LinearModel, global_model, parse
from shared.adapters.documents.port import Json
from shared.domain.experiment_measures import MEASURES
from shared.domain.formats import MODEL_VERSION, iso_time_or_none
from shared.domain.records import HOME, Arm, Experiment
from shared.web.responses import Count, Time, View

MAX_MODELS = 50
MAX_EXPERIMENTS = 100
MAX_HISTORY = 10
RUNNING_ID = "running-experiment"
MODEL_PREFIX, EXPERIMENT_PREFIX = "model:", "experiment:"
GLOBAL = "global"
"""The version name of the shipped model."""
_RESERVED = (GLOBAL, "rollback")
"""Names that versions cannot have, because they have another meaning in paths."""

Version = Annotated[str, text_like(MODEL_VERSION)]


def model_id(version: str) -> str:
    """Return the document id of a model version."""
    return f"{MODEL_PREFIX}{version}"


def experiment_id(id: str) -> str:
    """Return the document id of an experiment."""
    return f"{EXPERIMENT_PREFIX}{id}"


class ArmForm(Form):
    """An arm: a share of the users who get a model version, other weights, or neither (the control)."""

    name: Annotated[str, Field(min_length=1, max_length=40)]
    percent: Annotated[float, Field(ge=0, le=100)]
    model_version: Version | None = None
    weights: Annotated[dict[str, float], Field(max_length=100), NullMeansAbsent, AfterValidator(known_weights)] = {}


class ExperimentForm(Form):
    """An experiment without its id. If the shares sum to less than 100 %, the other users are in no arm."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    hypothesis: Annotated[str, Field(max_length=500)] = ""
    feeds: Annotated[list[Slug], Field(min_length=1, max_length=51), Distinct] = [HOME]
    arms: Annotated[list[ArmForm], Field(min_length=2, max_length=8)]

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        total = sum(arm.percent for arm in self.arms)
        if total > 100.0001:
            raise fault(
                "arms", "shares_above_100", f"The shares of the arms add up to {total:g} %. Lower them to 100 % in all."
            )
        if len({arm.name for arm in self.arms}) < len(self.arms):
            raise fault("arms", "arm_twice", "Two arms have the same name. Rename one.")
        whats = [(arm.model_version, tuple(sorted(arm.weights.items()))) for arm in self.arms]
        if len(set(whats)) < len(whats):
            raise fault("arms", "same_arms", "Two arms are the same. Give them different models or weights.")
        return self


class NewExperimentForm(ExperimentForm):
    """An experiment with its id."""

    id: Slug


Weights = Annotated[dict[str, float], Field(description="Weights by name of the feature.")]
Status = Annotated[str, Field(json_schema_extra=one_of("draft", "running", "stopped"))]
ArmNumber = Annotated[Count, Field(description="Number of the arm; the first is 1.")]


class StoredModel(View):
    """A model version."""

    version: str
    type: str
    weights: Weights
    trained: Annotated[dict[str, Any], Field(description="Origin of the weights, as uploaded with the model.")]
    live: Annotated[bool, Field(description="true: this version is promoted and ranks personal pages now.")]
    uploaded_at: Time | None
    uploaded_by: KeyName
    shipped: Annotated[Literal[True], Field(alias="global", description="Only present for the shipped model.")] = True


class ListedModel(StoredModel):
    """A model version in a list."""

    etag: Annotated[
        str | None, Field(description="Send it in If-Match to delete this version. null: the shipped model.")
    ]


class Models(View):
    """The shipped model, then the tenant's versions."""

    models: list[ListedModel]
    live: ModelVersion
    history: ModelHistory


@comes_back_in(ArmForm)
class ExperimentArm(View):
    """An arm of an experiment."""

    number: ArmNumber
    name: str
    percent: float
    model_version: ModelVersion
    weights: Weights


class StoredExperiment(Stamped):
    """An experiment."""

    id: str
    name: str
    hypothesis: str
    feeds: Annotated[list[str], Field(description="Feeds in which the experiment runs. Other feeds are not affected.")]
    arms: list[ExperimentArm]
    status: Status
    outside_percent: Annotated[
        float, Field(description="Percentage of users in no arm; they get what the tenant serves.")
    ]
    started_at: Time | None
    stopped_at: Time | None


@comes_back_in(ExperimentForm, NewExperimentForm)
class ListedExperiment(StoredExperiment):
    """An experiment in a list."""

    etag: Etag


class Experiments(View):
    """Every experiment."""

    experiments: list[ListedExperiment]


class Measure(View):
    """An arm's result in one measure, compared with the control."""

    meaning: str
    value: Annotated[float | None, Field(description="null: too little data, as in the fields below.")]
    lift: Annotated[
        float | None,
        Field(description="Relative difference from the control: 0.05 is 5 % more. null for the control itself."),
    ]
    interval: Annotated[
        Annotated[list[float], Field(min_length=2, max_length=2)] | None,
        Field(description="95 % confidence interval of the lift: lower and upper end."),
    ]
    clear: Annotated[bool | None, Field(description="true: the interval does not contain 0.")]


_MEASURE_FIELDS: dict[str, Any] = dict.fromkeys(MEASURES, (Measure, ...))
Measures = create_model("Measures", __base__=View, __doc__="Results by name of the measure.", **_MEASURE_FIELDS)


class ArmResults(View):
    """Results of one arm."""

    number: ArmNumber
    name: str
    percent: float
    users: Count
    shown: Annotated[Count, Field(description="Number of videos shown.")]
    measures: Measures  # type: ignore[valid-type]


class SampleRatio(View):
    """Sample ratio test: whether users are distributed over the arms according to the shares."""

    p_value: float
    ok: bool


class ExperimentResults(View):
    """Results of an experiment, computed from archived events."""

    experiment: Annotated[str, Field(description="The experiment's id.")]
    name: str
    status: Status
    events: Annotated[Count, Field(description="Number of events counted.")]
    sample_of_users: Annotated[float, Field(description="Share of users counted. Below 1: a sample chosen by hash.")]
    users_in_two_arms: Annotated[Count, Field(description="Users seen in two arms; they are left out of both.")]
    sample_ratio: Annotated[
        SampleRatio, Field(description="If not `ok`, users are distributed unevenly and no lift can be trusted.")
    ]
    control: Annotated[str, Field(description="The name of the first arm.")]
    arms: list[ArmResults]
    at: Annotated[Count, Field(description="Time of the computation, in seconds since the epoch.")]


class ExperimentReport(View):
    """An experiment with its results."""

    experiment: StoredExperiment
    report: Annotated[ExperimentResults | None, Field(description="null: not computed yet.")]
    days_left: Annotated[
        Count | None,
        Field(
            description="Estimated days until every arm would detect a 5 % difference in watch time with 80 % power, "
            "at the current rate of users. 0: enough data. null: not running, or not known yet."
        ),
    ]


def experiment_document(id: str, form: ExperimentForm, now: float, who: str) -> Json:
    """Build the document of an experiment that has not started."""
    body = form.model_dump(by_alias=True, exclude={"id"})
    return {
        "id": experiment_id(id),
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


def running_document(running: str | None, versions: Sequence[str]) -> Json:
    """Build the lock document. `running`: id of the running experiment, or None; `versions`: its arms' models."""
    return {
        "id": RUNNING_ID,
        "kind": "running-experiment",
        "experimentId": running,
        "modelVersions": sorted(versions),
    }


def experiment_fields(document: Json) -> dict[str, Any]:
    """Return a stored experiment as the fields of a view."""
    read = Experiment.from_document(document)
    return {
        "id": read.id,
        "name": read.name,
        "hypothesis": document.get("hypothesis", ""),
        "feeds": list(read.feeds),
        "status": read.status,
        "arms": [_arm_view(arm) for arm in read.arms],
        "outsidePercent": round(100.0 - sum(arm.percent for arm in read.arms), 4),
        "startedAt": iso_time_or_none(read.started_at),
        "stoppedAt": iso_time_or_none(read.stopped_at),
        **stamp(document),
    }


def experiment_view(document: Json) -> StoredExperiment:
    """Build the view of an experiment."""
    return StoredExperiment.unchecked(**experiment_fields(document))


def _arm_view(arm: Arm) -> ExperimentArm:
    return ExperimentArm.unchecked(
        number=arm.number, name=arm.name, percent=arm.percent, model_version=arm.model_version, weights=arm.weights
    )


def checked_model(payload: Json) -> LinearModel:
    """Validate an uploaded model version. Raises a 422 `Problem`."""
    try:
        model = parse({name: without_nulls(value) for name, value in payload.items()})
    except InvalidModel as error:
        raise refused([Fault("", "invalid_model", str(error))]) from None
    if not MODEL_VERSION.matches(model.version) or model.version in _RESERVED:
        names = " or ".join(_RESERVED)
        what = f"version must be 1 to 64 letters, digits or . _ + -, but not {names}."
        raise refused([Fault("version", "format", what)])
    return model


def model_document(model: LinearModel, now: float, who: str) -> Json:
    """Build the document of a model version: the file format plus id, kind and upload data. It is immutable."""
    body = model.to_document()
    return {**body, "id": model_id(model.version), "kind": "model", "uploadedAt": now, "uploadedBy": who}


def _model_fields(document: Json) -> dict[str, Any]:
    return {
        "version": document["version"],
        "type": document["type"],
        "weights": document["weights"],
        "trained": document.get("trained") or {},
        "uploadedAt": iso_time_or_none(document.get("uploadedAt")),
        "uploadedBy": document.get("uploadedBy"),
    }


def model_view(document: Json, live: str | None) -> StoredModel:
    """Build the view of a model version. `live`: the version served; None: the shipped model."""
    return StoredModel.unchecked(**_model_fields(document), live=document["version"] == live)


def listed_model_view(document: Json, live: str | None, etag: str) -> ListedModel:
    """Build the view of a model version in a list."""
    return ListedModel.unchecked(**_model_fields(document), live=document["version"] == live, etag=etag)


def shipped_model_view(live: str | None) -> ListedModel:
    """Build the view of the shipped model."""
    fields = _model_fields(global_model().to_document())
    return ListedModel.unchecked(**fields, live=live is None, shipped=True, etag=None)
