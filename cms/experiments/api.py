"""`/v1/cms/models` and `/v1/cms/experiments`: versions that never change, a pointer that moves, and comparisons."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import azure.functions as func

from bootstrap import Services
from cms.changes import Change, already_exists, apply_change, etag_mismatch, not_found, without_tombstone
from cms.configuration.api import answer, stored_configuration
from cms.experiments.models import (
    MAX_EXPERIMENTS,
    MAX_HISTORY,
    MAX_MODELS,
    RUNNING_ID,
    ExperimentForm,
    NewExperimentForm,
    experiment_document,
    model_document,
    running_document,
    shown_experiment,
    shown_model,
)
from cms.forms import Fault, checked, refused
from cms.request import CmsRequest, authenticate, bare, quoted
from ranking.model import InvalidModel, global_model, parse
from shared.adapters.documents.port import TENANTS, Create, Document, Json, Operation, Replace, query_all
from shared.adapters.tenant_directory import CONFIGURATION_ID
from shared.domain.records import Tenant
from shared.web.endpoint import endpoint, json_response
from shared.web.problems import Problem

VERSION = r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}"
SLUG = r"[a-z0-9][a-z0-9_-]{0,63}"
GLOBAL = "global"
ROLLBACK = "rollback"
RESERVED = (GLOBAL, ROLLBACK)
"""No names of versions: the one is the shipped model, the other a call beside them."""
ATTEMPTS = 4
"""How often a change of several documents looks again after somebody else was first."""
Outcome = TypeVar("Outcome")


@endpoint("cms_models")
async def models(request: func.HttpRequest, services: Services) -> func.HttpResponse:
    """`GET` lists the global model and the tenant's own versions; `POST` stores a version, which then never changes."""
    call = authenticate(request, services)
    stored = await query_all(services.documents, TENANTS, call.tenant_id, "model:")
    live = Tenant.from_document((await stored_configuration(call)).body)
    if request.method == "GET":
        shown = [shown_model(each.body, live.model_version) for each in stored if without_tombstone(each)]
        base = {**shown_model(global_model().to_document(), None), "live": live.model_version is None, "global": True}
        return json_response({"models": [base, *shown], "live": live.model_version, "history": live.model_history})
    try:
        given = parse(call.body())
    except InvalidModel as error:
        raise refused([Fault("", "invalid_model", str(error))]) from None
    if not re.fullmatch(VERSION, given.version) or given.version in RESERVED:
        what = f"version must be 1 to 64 letters, digits or . _ + -, but not {GLOBAL} or {ROLLBACK}."
        raise refused([Fault("version", "format", what)])
    author = call.author()
    body = model_document(given.to_document(), call.now, author.who)
    known = next((each for each in stored if each.id == body["id"]), None)
    if known is not None:
        if without_tombstone(known) is None:
            raise Problem(409, "already_exists", "A version of this name was deleted, and names do not change meaning.")
        if known.body["weights"] == body["weights"]:
            return json_response(shown_model(known.body, live.model_version))
        raise Problem(409, "already_exists", "This version is stored with other weights, and versions never change.")
    if sum(without_tombstone(each) is not None for each in stored) >= MAX_MODELS:
        raise Problem(409, "too_many", f"A tenant has {MAX_MODELS} model versions at the most: delete one first.")
    change = Change(TENANTS, call.tenant_id, "model", given.version, "upload", None, body)
    await apply_change(services, change, author)
    await services.tenants_refresher.refresh()
    return json_response(shown_model(body, live.model_version), 201)


@endpoint("cms_model")
async def model(request: func.HttpRequest, services: Services) -> func.HttpResponse:
    """`DELETE` a version that nobody is served, also from the versions one can roll back to."""
    call = authenticate(request, services)
    version = call.path("version", VERSION)
    await _retry_on_conflict(lambda: _delete_model(call, version))
    await services.tenants_refresher.refresh()
    return func.HttpResponse(status_code=204)


async def _delete_model(call: CmsRequest, version: str) -> None:
    """One batch with the two documents that say what is served, so that nobody begins to serve it meanwhile."""
    stored = await _stored_model(call, version)
    serving = await stored_configuration(call)
    if Tenant.from_document(serving.body).model_version == version:
        raise Problem(409, "in_use", "This version is served: promote another one first.")
    slot = await _running_lock(call)
    if version in ((slot.body.get("modelVersions") or ()) if slot else ()):
        raise Problem(409, "in_use", "The running experiment shows this version: stop it first.")
    history = [each for each in serving.body.get("modelHistory") or () if each != version]
    also = [
        Replace({**serving.body, "modelHistory": history}, serving.etag),
        _write_running_lock(slot, slot.body if slot else running_document(None, ())),
    ]
    change = Change(TENANTS, call.tenant_id, "model", version, "delete", stored, None)
    await apply_change(call.services, change, call.author(), also)


@endpoint("cms_model_promote")
async def promote(request: func.HttpRequest, services: Services) -> func.HttpResponse:
    """Serve a version from now on; the version `global` goes back to the shipped model."""
    call = authenticate(request, services)
    version = call.path("version", VERSION)
    if version == GLOBAL:
        return await _set_live_model(call, None, "promote")
    stored = await _stored_model(call, version)
    return await _set_live_model(call, version, "promote", [Replace(stored.body, stored.etag)])


@endpoint("cms_model_rollback")
async def rollback(request: func.HttpRequest, services: Services) -> func.HttpResponse:
    """Serve the version before the one that is served now; one that was deleted since is passed over."""
    call = authenticate(request, services)
    for version in Tenant.from_document((await stored_configuration(call)).body).model_history:
        if version is None:
            return await _set_live_model(call, None, "rollback")
        stored = await services.documents.read(TENANTS, call.tenant_id, f"model:{version}", latest=True)
        if stored is not None and without_tombstone(stored):
            return await _set_live_model(call, version, "rollback", [Replace(stored.body, stored.etag)])
    raise Problem(409, "nothing_to_roll_back", "No version was promoted before this one.")


async def _set_live_model(
    call: CmsRequest, version: str | None, action: str, also: Sequence[Operation] = ()
) -> func.HttpResponse:
    """Move the pointer. `also` holds what must not have changed meanwhile: the version itself."""
    stored = await stored_configuration(call)
    wanted = call.optional_if_match()
    if wanted is not None and wanted != bare(stored.etag):
        raise etag_mismatch()
    tenant = Tenant.from_document(stored.body)
    if action == "rollback":
        if version not in tenant.model_history:
            raise etag_mismatch()
        history = list(tenant.model_history[tenant.model_history.index(version) + 1 :])
    elif tenant.model_version == version:
        return answer(stored)
    else:
        history = [tenant.model_version, *tenant.model_history][:MAX_HISTORY]
    body = {**stored.body, "modelVersion": version, "modelHistory": history}
    change = Change(TENANTS, call.tenant_id, "configuration", version or GLOBAL, f"{action}_model", stored, body)
    reason = call.optional_body().get("reason")
    etag = await apply_change(call.services, change, call.author(reason if isinstance(reason, str) else None), also)
    await call.services.tenants_refresher.refresh()
    return answer(Document(call.tenant_id, CONFIGURATION_ID, {**body, "tenantId": call.tenant_id}, etag or ""))


# ---- experiments


@endpoint("cms_experiments")
async def experiments(request: func.HttpRequest, services: Services) -> func.HttpResponse:
    """`GET` lists, `POST` creates one that is not yet running."""
    call = authenticate(request, services)
    stored = await query_all(services.documents, TENANTS, call.tenant_id, "experiment:")
    if request.method == "GET":
        shown = [
            {**shown_experiment(each.body), "etag": quoted(each.etag)} for each in stored if without_tombstone(each)
        ]
        return json_response({"experiments": shown})
    form = checked(NewExperimentForm, call.body())
    before = next((each for each in stored if each.id == f"experiment:{form.id}"), None)
    if without_tombstone(before):
        raise already_exists("experiment")
    if sum(without_tombstone(each) is not None for each in stored) >= MAX_EXPERIMENTS:
        raise Problem(409, "too_many", f"A tenant has {MAX_EXPERIMENTS} experiments at the most: delete one first.")
    await _require_models(call, [arm.model_version for arm in form.arms])
    return await _save(call, form.id, before, experiment_document(form.id, form, call.now, call.author().who), "create")


@endpoint("cms_experiment")
async def experiment(request: func.HttpRequest, services: Services) -> func.HttpResponse:
    """`GET` one; `PUT` changes one that has not started; `DELETE` one that is not running."""
    call = authenticate(request, services)
    stored = await _stored(call)
    if request.method == "GET":
        return _answer(stored)
    if bare(stored.etag) != call.if_match():
        raise etag_mismatch()
    if stored.body["status"] == "running":
        raise Problem(409, "running", "The experiment is running: stop it first.")
    id = stored.body["experimentId"]
    if request.method == "DELETE":
        change = Change(TENANTS, call.tenant_id, "experiment", id, "delete", stored, None)
        await apply_change(services, change, call.author())
        await services.tenants_refresher.refresh()
        return func.HttpResponse(status_code=204)
    if stored.body["status"] != "draft":
        raise Problem(409, "already_ran", "The experiment has run: its arms stay as they were. Create another one.")
    form = checked(ExperimentForm, call.body())
    await _require_models(call, [arm.model_version for arm in form.arms])
    return await _save(call, id, stored, experiment_document(id, form, call.now, call.author().who), "update")


@endpoint("cms_experiment_start")
async def start_experiment(request: func.HttpRequest, services: Services) -> func.HttpResponse:
    """Deal users to its arms from now on. One experiment runs at a time."""
    call = authenticate(request, services)
    return await _retry_on_conflict(lambda: _start(call))


async def _start(call: CmsRequest) -> func.HttpResponse:
    """Start and take the tenant's one slot in the same batch: of two that saw it free, one is refused."""
    stored = await _stored(call)
    if stored.body["status"] != "draft":
        raise Problem(409, "already_ran", "Only an experiment that has not run can start.")
    slot = await _running_lock(call)
    others = await query_all(call.services.documents, TENANTS, call.tenant_id, "experiment:")
    running = any(without_tombstone(each) and each.body["status"] == "running" for each in others)
    if running or (slot and slot.body.get("experimentId")):
        raise Problem(409, "another_running", "Another experiment is running: stop it first.")
    id = stored.body["experimentId"]
    models = await _require_models(call, [arm.get("modelVersion") for arm in stored.body["arms"]])
    also = [
        _write_running_lock(slot, running_document(id, [each.body["version"] for each in models])),
        *(Replace(each.body, each.etag) for each in models),  # still there when this is written
    ]
    return await _save(call, id, stored, {**stored.body, "status": "running", "startedAt": call.now}, "start", also)


@endpoint("cms_experiment_stop")
async def stop_experiment(request: func.HttpRequest, services: Services) -> func.HttpResponse:
    """Show everybody what the tenant serves again."""
    call = authenticate(request, services)
    return await _retry_on_conflict(lambda: _stop(call))


async def _stop(call: CmsRequest) -> func.HttpResponse:
    stored = await _stored(call)
    if stored.body["status"] != "running":
        raise Problem(409, "not_running", "The experiment is not running.")
    slot = await _running_lock(call)
    also = [_write_running_lock(slot, running_document(None, ()))]
    body = {**stored.body, "status": "stopped", "stoppedAt": call.now}
    return await _save(call, body["experimentId"], stored, body, "stop", also)


@endpoint("cms_experiment_report")
async def report(request: func.HttpRequest, services: Services) -> func.HttpResponse:
    """What the arms achieved, as last worked out from attributed events; `report` null before that."""
    call = authenticate(request, services)
    stored = await _stored(call)
    found = await services.documents.read(
        TENANTS, call.tenant_id, f"experiment-report:{stored.body['experimentId']}", latest=True
    )
    known = without_tombstone(found)
    return json_response(
        {"experiment": shown_experiment(stored.body), "report": known.body["report"] if known else None}
    )


async def _stored(call: CmsRequest) -> Document:
    id = call.path("id", SLUG)
    stored = without_tombstone(
        await call.services.documents.read(TENANTS, call.tenant_id, f"experiment:{id}", latest=True)
    )
    if stored is None:
        raise not_found("experiment")
    return stored


async def _stored_model(call: CmsRequest, version: str) -> Document:
    stored = without_tombstone(
        await call.services.documents.read(TENANTS, call.tenant_id, f"model:{version}", latest=True)
    )
    if stored is None:
        raise not_found("model")
    return stored


async def _require_models(call: CmsRequest, versions: Sequence[str | None]) -> list[Document]:
    """The stored models that the arms name, each once. Raises a 422 `Problem` for arms whose model is not there."""
    found: dict[str, Document] = {}
    faults = []
    for at, version in enumerate(versions):
        if version is None or version in found:
            continue
        stored = without_tombstone(
            await call.services.documents.read(TENANTS, call.tenant_id, f"model:{version}", latest=True)
        )
        if stored is None:
            field = f"arms[{at}].modelVersion"
            faults.append(Fault(field, "unknown_model", f"{field} names a model version that is not stored."))
        else:
            found[version] = stored
    if faults:
        raise refused(faults)
    return list(found.values())


async def _running_lock(call: CmsRequest) -> Document | None:
    """Which experiment runs. Whoever decides by it writes it back with its ETag, so that no two decide at once."""
    return await call.services.documents.read(TENANTS, call.tenant_id, RUNNING_ID, latest=True)


def _write_running_lock(slot: Document | None, body: Json) -> Operation:
    return Create(body) if slot is None else Replace(body, slot.etag)


async def _retry_on_conflict(attempt: Callable[[], Awaitable[Outcome]]) -> Outcome:
    """Decide anew whenever somebody else was first, so that the answer says what they did. Raises a `Problem`."""
    for _ in range(ATTEMPTS):
        try:
            return await attempt()
        except Problem as problem:
            if problem.code not in ("stale_etag", "already_exists"):
                raise
    raise Problem(409, "conflict", "Others keep changing it at the same time. Read it again and repeat.")


async def _save(
    call: CmsRequest, id: str, before: Document | None, body: Json, action: str, also: Sequence[Operation] = ()
) -> func.HttpResponse:
    change = Change(TENANTS, call.tenant_id, "experiment", id, action, before, body)
    etag = await apply_change(call.services, change, call.author(), also)
    await call.services.tenants_refresher.refresh()
    saved = Document(call.tenant_id, body["id"], body, etag or "")
    return _answer(saved, 201 if action == "create" else 200)


def _answer(stored: Document, status: int = 200) -> func.HttpResponse:
    return json_response(shown_experiment(stored.body), status, headers={"ETag": quoted(stored.etag)})
