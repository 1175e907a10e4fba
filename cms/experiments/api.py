"""CMS endpoints of A/B experiments: create, change, start, stop, and read the report."""

from __future__ import annotations

from collections.abc import Sequence

import azure.functions as func

from cms.changes import already_exists, without_tombstone
from cms.documents import (
    DocumentFlow,
    no_content,
    require_match,
    require_match_if_given,
    require_own_id,
    with_etag,
)
from cms.endpoint import (
    OPTIONAL_IF_MATCH,
    OPTIONAL_IF_MATCH_PROBLEMS,
    REASON,
    cms_endpoint,
    creates,
    deletes,
    reads,
    replaces,
)
from cms.experiments.days_left import days_left
from cms.experiments.models import (
    EXPERIMENT_PREFIX,
    ExperimentForm,
    ExperimentReport,
    Experiments,
    ListedExperiment,
    NewExperimentForm,
    StoredExperiment,
    experiment_document,
    experiment_fields,
    experiment_id,
    experiment_view,
    model_id,
    running_document,
)
from cms.experiments.running_lock import retry_on_conflict, running_lock, write_running_lock
from cms.forms import Fault, checked, refused
from cms.request import CmsRequest, quoted
from shared.adapters.documents.port import Document, Json, Operation, Replace
from shared.domain.formats import SLUG
from shared.web.endpoint import Edge, json_response
from shared.web.problems import Problem

EXPERIMENT = "experiment"
"""The kind of an experiment in the audit and in messages."""

_ARMS = [{"name": "now", "percent": 50}, {"name": "more", "percent": 50, "weights": {"quality": 1}}]
_EXAMPLE = {"name": "Taste", "arms": _ARMS}


class ExperimentsApi:
    """Manages experiments. At most one experiment of a tenant runs at a time."""

    def __init__(self, edge: Edge, flow: DocumentFlow) -> None:
        self.edge = edge
        self._flow = flow

    @cms_endpoint("GET", "experiments", "List experiments", {200: Experiments})
    async def list_experiments(self, call: CmsRequest) -> func.HttpResponse:
        """Return every experiment."""
        experiments = [
            ListedExperiment.unchecked(**experiment_fields(each.body), etag=quoted(each.etag))
            for each in await self._list(call)
        ]
        return json_response(Experiments.unchecked(experiments=experiments))

    @creates(
        "experiments",
        "Create an experiment",
        StoredExperiment,
        NewExperimentForm,
        {"id": "taste", **_EXAMPLE},
        "too_many",
    )
    async def create_experiment(self, call: CmsRequest) -> func.HttpResponse:
        """Create an experiment. It does not run yet."""
        form = checked(NewExperimentForm, call.body())
        before = await self._flow.stored(call.tenant_id, experiment_id(form.id))
        if without_tombstone(before):
            raise already_exists(EXPERIMENT)
        await self._require_models(call, [arm.model_version for arm in form.arms])
        body = experiment_document(form.id, form, call.now, call.author().who)
        return _answer(await self._write(call, form.id, before, body, "create"), 201)

    @reads("experiments/{id}", "Read an experiment", StoredExperiment)
    async def get_experiment(self, call: CmsRequest) -> func.HttpResponse:
        """Return one experiment."""
        return _answer(await self._stored(call))

    @replaces(
        "experiments/{id}",
        "Change an experiment that has not started",
        StoredExperiment,
        ExperimentForm,
        _EXAMPLE,
        "running",
        "already_ran",
    )
    async def replace_experiment(self, call: CmsRequest) -> func.HttpResponse:
        """Replace an experiment that has not started."""
        stored = await self._based(call)
        if stored.body["status"] != "draft":
            message = "The experiment has run: its arms stay as they were. Create another one."
            raise Problem(409, "already_ran", message)
        payload = call.body()
        require_own_id(payload, stored.body["experimentId"])
        form = checked(ExperimentForm, payload)
        await self._require_models(call, [arm.model_version for arm in form.arms])
        id = stored.body["experimentId"]
        body = experiment_document(id, form, call.now, call.author().who)
        return _answer(await self._write(call, id, stored, body, "update"))

    @deletes("experiments/{id}", "Delete an experiment that is not running", "running")
    async def delete_experiment(self, call: CmsRequest) -> func.HttpResponse:
        """Delete an experiment that is not running."""
        stored = await self._based(call)
        await self._write(call, stored.body["experimentId"], stored, None, "delete")
        return no_content()

    @cms_endpoint(
        "POST",
        "experiments/{id}/start",
        "Start an experiment",
        {200: StoredExperiment},
        parameters=(OPTIONAL_IF_MATCH, REASON),
        problems=(
            "already_ran",
            "another_running",
            "conflict",
            "invalid_document",
            "invalid_reason",
            *OPTIONAL_IF_MATCH_PROBLEMS,
        ),
        etag=True,
    )
    async def start_experiment(self, call: CmsRequest) -> func.HttpResponse:
        """Start assigning users to the arms, unless another experiment runs."""
        return _answer(await retry_on_conflict(lambda: self._start(call)))

    @cms_endpoint(
        "POST",
        "experiments/{id}/stop",
        "Stop an experiment",
        {200: StoredExperiment},
        parameters=(OPTIONAL_IF_MATCH, REASON),
        problems=("not_running", "conflict", "invalid_reason", *OPTIONAL_IF_MATCH_PROBLEMS),
        etag=True,
    )
    async def stop_experiment(self, call: CmsRequest) -> func.HttpResponse:
        """Stop an experiment: all users get what the tenant serves again."""
        return _answer(await retry_on_conflict(lambda: self._stop(call)))

    @cms_endpoint("GET", "experiments/{id}/report", "Read an experiment's results", {200: ExperimentReport})
    async def get_experiment_report(self, call: CmsRequest) -> func.HttpResponse:
        """Return the latest report, computed from attributed events; `report` is null before the first."""
        stored = await self._stored(call)
        found = await self._flow.read(call.tenant_id, f"experiment-report:{stored.body['experimentId']}")
        report = found.body["report"] if found else None
        left = days_left(stored.body.get("startedAt"), report) if stored.body["status"] == "running" else None
        view = experiment_view(stored.body)
        return json_response(ExperimentReport.unchecked(experiment=view, report=report, daysLeft=left))

    async def _start(self, call: CmsRequest) -> Document:
        """Write the start and the lock in one batch, so of two concurrent starts one is refused."""
        stored = await self._stored(call)
        require_match_if_given(call, stored)
        if stored.body["status"] != "draft":
            raise Problem(
                409,
                "already_ran",
                "The experiment has already run, so it cannot change or start again. Create a new one.",
            )
        lock = await running_lock(self._flow, call.tenant_id)
        running = any(each.body["status"] == "running" for each in await self._list(call))
        if running or (lock and lock.body.get("experimentId")):
            raise Problem(409, "another_running", "Another experiment is running. Stop it first.")
        id = stored.body["experimentId"]
        models = await self._require_models(call, [arm.get("modelVersion") for arm in stored.body["arms"]])
        also = [
            write_running_lock(lock, running_document(id, [each.body["version"] for each in models])),
            *(Replace(each.body, each.etag) for each in models),  # fails if a model is deleted meanwhile
        ]
        body = {**stored.body, "status": "running", "startedAt": call.now}
        return await self._write(call, id, stored, body, "start", also)

    async def _stop(self, call: CmsRequest) -> Document:
        stored = await self._stored(call)
        require_match_if_given(call, stored)
        if stored.body["status"] != "running":
            raise Problem(409, "not_running", "The experiment is not running, so it cannot be stopped.")
        lock = await running_lock(self._flow, call.tenant_id)
        also = [write_running_lock(lock, running_document(None, ()))]
        body = {**stored.body, "status": "stopped", "stoppedAt": call.now}
        return await self._write(call, body["experimentId"], stored, body, "stop", also)

    async def _list(self, call: CmsRequest) -> list[Document]:
        return await self._flow.list(call.tenant_id, EXPERIMENT_PREFIX)

    async def _stored(self, call: CmsRequest) -> Document:
        """Read the experiment in the path. Raises a 404 `Problem`."""
        return await self._flow.require(call.tenant_id, experiment_id(call.path("id", SLUG)), EXPERIMENT)

    async def _based(self, call: CmsRequest) -> Document:
        """Read it for a change: `If-Match` must name its version, and it must not run. Raises a `Problem`."""
        stored = await self._stored(call)
        require_match(call, stored)
        if stored.body["status"] == "running":
            raise Problem(409, "running", "The experiment is running. Stop it first.")
        return stored

    async def _require_models(self, call: CmsRequest, versions: Sequence[str | None]) -> list[Document]:
        """Read the distinct models that the arms name. Raises a 422 `Problem` for those that are not stored."""
        found: dict[str, Document] = {}
        faults = []
        for at, version in enumerate(versions):
            if version is None or version in found:
                continue
            stored = await self._flow.read(call.tenant_id, model_id(version))
            if stored is None:
                field = f"arms[{at}].modelVersion"
                faults.append(
                    Fault(
                        field,
                        "unknown_model",
                        f"{field} names a model version that does not exist. GET /v1/cms/models lists them.",
                    )
                )
            else:
                found[version] = stored
        if faults:
            raise refused(faults)
        return list(found.values())

    async def _write(
        self,
        call: CmsRequest,
        id: str,
        before: Document | None,
        after: Json | None,
        action: str,
        also: Sequence[Operation] = (),
    ) -> Document:
        return await self._flow.write(call.tenant_id, EXPERIMENT, id, action, before, after, call.author(), also)


def _answer(document: Document, status: int = 200) -> func.HttpResponse:
    return with_etag(experiment_view(document.body), document, status)
