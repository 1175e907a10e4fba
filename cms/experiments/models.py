"""Model versions and experiments: what is sent, what is stored, what is answered. Pure."""

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
"""Names the shipped model where a version is expected."""
_RESERVED = (GLOBAL, "rollback")
"""Versions cannot have these names: paths give them another meaning."""

Version = Annotated[str, text_like(MODEL_VERSION)]


def model_id(version: str) -> str:
    """The id of a model version's document."""
    return f"{MODEL_PREFIX}{version}"


def experiment_id(id: str) -> str:
    """The id of an experiment's document."""
    return f"{EXPERIMENT_PREFIX}{id}"


class ArmForm(Form):
    """What some of the users see instead: a model version, weights over it, or neither for the control."""

    name: Annotated[str, Field(min_length=1, max_length=40)]
    percent: Annotated[float, Field(ge=0, le=100)]
    model_version: Version | None = None
    weights: Annotated[dict[str, float], Field(max_length=100), NullMeansAbsent, AfterValidator(known_weights)] = {}


class ExperimentForm(Form):
    """A whole experiment, apart from its id. What the shares leave over stays outside it."""

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
    """A whole experiment with its id."""

    id: Slug


Weights = Annotated[dict[str, float], Field(description="By the name of the feature.")]
Status = Annotated[str, Field(json_schema_extra=one_of("draft", "running", "stopped"))]
ArmNumber = Annotated[Count, Field(description="1 for the first arm, …")]


class StoredModel(View):
    """A model version."""

    version: str
    type: str
    weights: Weights
    trained: Annotated[dict[str, Any], Field(description="Where the weights come from, as it was sent with the model.")]
    live: Annotated[bool, Field(description="It was promoted: it ranks personal pages now.")]
    uploaded_at: Time | None
    uploaded_by: KeyName
    shipped: Annotated[Literal[True], Field(alias="global", description="Only of the shipped model.")] = True


class ListedModel(StoredModel):
    """A model version of a list."""

    etag: Annotated[str | None, Field(description="Send it in If-Match to delete this one. null: the shipped model.")]


class Models(View):
    """The shipped model, then the tenant's versions."""

    models: list[ListedModel]
    live: ModelVersion
    history: ModelHistory


@comes_back_in(ArmForm)
class ExperimentArm(View):
    """What a share of the users sees."""

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
    feeds: Annotated[list[str], Field(description="The feeds it runs in; users of others see what the tenant serves.")]
    arms: list[ExperimentArm]
    status: Status
    outside_percent: Annotated[float, Field(description="Users in no arm; they see what the tenant serves.")]
    started_at: Time | None
    stopped_at: Time | None


@comes_back_in(ExperimentForm, NewExperimentForm)
class ListedExperiment(StoredExperiment):
    """An experiment of a list."""

    etag: Etag


class Experiments(View):
    """Every experiment."""

    experiments: list[ListedExperiment]


class Measure(View):
    """What an arm achieved by one measure, against the control."""

    meaning: str
    value: Annotated[float | None, Field(description="null: too little to say; so for the fields below.")]
    lift: Annotated[
        float | None, Field(description="Against the control: 0.05 is 5 % more; null of the control itself.")
    ]
    interval: Annotated[
        Annotated[list[float], Field(min_length=2, max_length=2)] | None,
        Field(description="From, to: holds the lift with 95 %."),
    ]
    clear: Annotated[bool | None, Field(description="The interval leaves out no difference.")]


_MEASURE_FIELDS: dict[str, Any] = dict.fromkeys(MEASURES, (Measure, ...))
Measures = create_model("Measures", __base__=View, __doc__="By the name of the measure.", **_MEASURE_FIELDS)


class ArmResults(View):
    """What an arm achieved."""

    number: ArmNumber
    name: str
    percent: float
    users: Count
    shown: Annotated[Count, Field(description="Videos shown.")]
    measures: Measures  # type: ignore[valid-type]


class SampleRatio(View):
    """Whether users fell on arms as the shares say."""

    p_value: float
    ok: bool


class ExperimentResults(View):
    """What the arms achieved, from archived events."""

    experiment: Annotated[str, Field(description="Its id.")]
    name: str
    status: Status
    events: Annotated[Count, Field(description="Events counted.")]
    sample_of_users: Annotated[float, Field(description="1: all of them; less: a hashed sample.")]
    users_in_two_arms: Annotated[Count, Field(description="Left out of both.")]
    sample_ratio: Annotated[SampleRatio, Field(description="Not ok: users fell on arms unevenly; believe no lift.")]
    control: Annotated[str, Field(description="The name of the first arm.")]
    arms: list[ArmResults]
    at: Annotated[Count, Field(description="When it was worked out, in seconds since the epoch.")]


class ExperimentReport(View):
    """An experiment with its results."""

    experiment: StoredExperiment
    report: Annotated[ExperimentResults | None, Field(description="null: not worked out yet.")]
    days_left: Annotated[
        Count | None,
        Field(
            description="About how many days more until 5 % more or less time watched would be found in four of five "
            "cases, by every arm, if users come as until now. 0: enough; null: not running, or not known yet."
        ),
    ]


def experiment_document(id: str, form: ExperimentForm, now: float, who: str) -> Json:
    """An experiment as it is stored, not yet running."""
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
    """The lock of running experiments: the one that runs, None for none, and the model versions that its arms show."""
    return {
        "id": RUNNING_ID,
        "kind": "running-experiment",
        "experimentId": running,
        "modelVersions": sorted(versions),
    }


def experiment_fields(document: Json) -> dict[str, Any]:
    """A stored experiment as a view's fields."""
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
    """An experiment as it is answered."""
    return StoredExperiment.unchecked(**experiment_fields(document))


def _arm_view(arm: Arm) -> ExperimentArm:
    return ExperimentArm.unchecked(
        number=arm.number, name=arm.name, percent=arm.percent, model_version=arm.model_version, weights=arm.weights
    )


def checked_model(payload: Json) -> LinearModel:
    """The model version that was sent. Raises a 422 `Problem`."""
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
    """A model version as it is stored, in the file format with what the store needs; it never changes again."""
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
    """A model version as it is answered. `live`: the version served, None for the shipped model."""
    return StoredModel.unchecked(**_model_fields(document), live=document["version"] == live)


def listed_model_view(document: Json, live: str | None, etag: str) -> ListedModel:
    """The same in a list."""
    return ListedModel.unchecked(**_model_fields(document), live=document["version"] == live, etag=etag)


def shipped_model_view(live: str | None) -> ListedModel:
    """The shipped model as it is answered."""
    fields = _model_fields(global_model().to_document())
    return ListedModel.unchecked(**fields, live=live is None, shipped=True, etag=None)
