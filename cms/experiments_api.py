"""`/v1/cms/models` and `/v1/cms/experiments`: versions that never change, a pointer that moves, and comparisons."""

from __future__ import annotations

import re
from typing import Any

import azure.functions as func

from cms.call import Call, bare, open_call, quoted
from cms.changes import Change, apply_change, missing, present, stale, taken
from cms.configuration_api import answer, stored_configuration
from cms.experiments import (
    MAX_EXPERIMENTS,
    MAX_HISTORY,
    MAX_MODELS,
    ExperimentForm,
    NewExperimentForm,
    experiment_document,
    model_document,
    shown_experiment,
    shown_model,
)
from cms.forms import Fault, checked, refused
from ranking.model import InvalidModel, global_model, parse
from shared.http import endpoint, json_response
from shared.problems import Problem
from shared.records import Tenant
from shared.services import Services
from shared.stores.documents import TENANTS, Document, query_all
from shared.tenants import CONFIGURATION_ID

VERSION = r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}"
SLUG = r"[a-z0-9][a-z0-9_-]{0,63}"
GLOBAL = "global"


@endpoint("cms_models")
async def models(request: func.HttpRequest, services: Services) -> func.HttpResponse:
    """`GET` lists the global model and the tenant's own versions; `POST` stores a version, which then never changes."""
    call = open_call(request, services)
    stored = await query_all(services.documents, TENANTS, call.tenant_id, "model:")
    live = Tenant.from_document((await stored_configuration(call)).body)
    if request.method == "GET":
        shown = [shown_model(each.body, live.model_version) for each in stored if present(each)]
        base = {**shown_model(global_model().to_document(), None), "live": live.model_version is None, "global": True}
        return json_response({"models": [base, *shown], "live": live.model_version, "history": live.model_history})
    try:
        model = parse(call.body())
    except InvalidModel as error:
        raise refused([Fault("", "invalid_model", str(error))]) from None
    if not re.fullmatch(VERSION, model.version) or model.version == GLOBAL:
        raise refused(
            [Fault("version", "format", "version must be 1 to 64 letters, digits or . _ + -, but not global.")]
        )
    if len(stored) >= MAX_MODELS:
        raise Problem(409, "too_many", f"A tenant has {MAX_MODELS} model versions at the most.")
    author = call.author()
    body = model_document(model.to_document(), call.now, author.who)
    known = next((each for each in stored if each.id == body["id"]), None)
    if known is not None:
        if known.body["weights"] == body["weights"]:
            return json_response(shown_model(known.body, live.model_version))
        raise Problem(409, "already_exists", "This version is stored with other weights, and versions never change.")
    change = Change(TENANTS, call.tenant_id, "model", model.version, "upload", None, body)
    await apply_change(services, change, author)
    await services.tenants_refresher.refresh()
    return json_response(shown_model(body, live.model_version), 201)


@endpoint("cms_model_promote")
async def promote(request: func.HttpRequest, services: Services) -> func.HttpResponse:
    """Serve a version from now on; the version `global` goes back to the shipped model."""
    call = open_call(request, services)
    version = call.path("version", VERSION)
    if version != GLOBAL:
        stored = await services.documents.read(TENANTS, call.tenant_id, f"model:{version}", latest=True)
        if present(stored) is None:
            raise missing("model")
    return await _point(call, None if version == GLOBAL else version, "promote")


@endpoint("cms_model_rollback")
async def rollback(request: func.HttpRequest, services: Services) -> func.HttpResponse:
    """Serve the version before the one that is served now."""
    call = open_call(request, services)
    history = Tenant.from_document((await stored_configuration(call)).body).model_history
    if not history:
        raise Problem(409, "nothing_to_roll_back", "No version was promoted before this one.")
    return await _point(call, history[0], "rollback")


async def _point(call: Call, version: str | None, action: str) -> func.HttpResponse:
    stored = await stored_configuration(call)
    wanted = call.optional_if_match()
    if wanted is not None and wanted != bare(stored.etag):
        raise stale()
    tenant = Tenant.from_document(stored.body)
    if action == "rollback":
        history = list(tenant.model_history[1:])
    elif tenant.model_version == version:
        return answer(stored)
    else:
        history = [tenant.model_version, *tenant.model_history][:MAX_HISTORY]
    body = {**stored.body, "modelVersion": version, "modelHistory": history}
    change = Change(TENANTS, call.tenant_id, "configuration", version or GLOBAL, f"{action}_model", stored, body)
    reason = call.optional_body().get("reason")
    etag = await apply_change(call.services, change, call.author(reason if isinstance(reason, str) else None))
    await call.services.tenants_refresher.refresh()
    return answer(Document(call.tenant_id, CONFIGURATION_ID, {**body, "tenantId": call.tenant_id}, etag or ""))


# ---- experiments


@endpoint("cms_experiments")
async def experiments(request: func.HttpRequest, services: Services) -> func.HttpResponse:
    """`GET` lists, `POST` creates one that is not yet running."""
    call = open_call(request, services)
    stored = await query_all(services.documents, TENANTS, call.tenant_id, "experiment:")
    if request.method == "GET":
        shown = [{**shown_experiment(each.body), "etag": quoted(each.etag)} for each in stored if present(each)]
        return json_response({"experiments": shown})
    form = checked(NewExperimentForm, call.body())
    before = next((each for each in stored if each.id == f"experiment:{form.id}"), None)
    if present(before):
        raise taken("experiment")
    if len(stored) >= MAX_EXPERIMENTS:
        raise Problem(409, "too_many", f"A tenant has {MAX_EXPERIMENTS} experiments at the most: delete one first.")
    await _require_models(call, form)
    return await _save(call, form.id, before, experiment_document(form.id, form, call.now, call.author().who), "create")


@endpoint("cms_experiment")
async def experiment(request: func.HttpRequest, services: Services) -> func.HttpResponse:
    """`GET` one; `PUT` changes one that has not started; `DELETE` one that is not running."""
    call = open_call(request, services)
    stored = await _stored(call)
    if request.method == "GET":
        return _answer(stored)
    if bare(stored.etag) != call.if_match():
        raise stale()
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
    await _require_models(call, form)
    return await _save(call, id, stored, experiment_document(id, form, call.now, call.author().who), "update")


@endpoint("cms_experiment_start")
async def start_experiment(request: func.HttpRequest, services: Services) -> func.HttpResponse:
    """Deal users to its arms from now on. One experiment runs at a time."""
    call = open_call(request, services)
    stored = await _stored(call)
    if stored.body["status"] != "draft":
        raise Problem(409, "already_ran", "Only an experiment that has not run can start.")
    others = await query_all(services.documents, TENANTS, call.tenant_id, "experiment:")
    running = [each.body["name"] for each in others if present(each) and each.body["status"] == "running"]
    if running:
        raise Problem(409, "another_running", "Another experiment is running: stop it first.")
    body = {**stored.body, "status": "running", "startedAt": call.now}
    return await _save(call, body["experimentId"], stored, body, "start")


@endpoint("cms_experiment_stop")
async def stop_experiment(request: func.HttpRequest, services: Services) -> func.HttpResponse:
    """Show everybody what the tenant serves again."""
    call = open_call(request, services)
    stored = await _stored(call)
    if stored.body["status"] != "running":
        raise Problem(409, "not_running", "The experiment is not running.")
    body = {**stored.body, "status": "stopped", "stoppedAt": call.now}
    return await _save(call, body["experimentId"], stored, body, "stop")


@endpoint("cms_experiment_report")
async def report(request: func.HttpRequest, services: Services) -> func.HttpResponse:
    """What the arms achieved, as last worked out from attributed events; `report` null before that."""
    call = open_call(request, services)
    stored = await _stored(call)
    found = await services.documents.read(
        TENANTS, call.tenant_id, f"experiment-report:{stored.body['experimentId']}", latest=True
    )
    known = present(found)
    return json_response(
        {"experiment": shown_experiment(stored.body), "report": known.body["report"] if known else None}
    )


async def _stored(call: Call) -> Document:
    id = call.path("id", SLUG)
    stored = present(await call.services.documents.read(TENANTS, call.tenant_id, f"experiment:{id}", latest=True))
    if stored is None:
        raise missing("experiment")
    return stored


async def _require_models(call: Call, form: ExperimentForm) -> None:
    faults = []
    for at, arm in enumerate(form.arms):
        if arm.model_version is None:
            continue
        stored = await call.services.documents.read(TENANTS, call.tenant_id, f"model:{arm.model_version}", latest=True)
        if present(stored) is None:
            field = f"arms[{at}].modelVersion"
            faults.append(Fault(field, "unknown_model", f"{field} names a model version that is not stored."))
    if faults:
        raise refused(faults)


async def _save(call: Call, id: str, before: Document | None, body: dict[str, Any], action: str) -> func.HttpResponse:
    change = Change(TENANTS, call.tenant_id, "experiment", id, action, before, body)
    etag = await apply_change(call.services, change, call.author())
    await call.services.tenants_refresher.refresh()
    saved = Document(call.tenant_id, body["id"], body, etag or "")
    return _answer(saved, 201 if action == "create" else 200)


def _answer(stored: Document, status: int = 200) -> func.HttpResponse:
    return json_response(shown_experiment(stored.body), status, headers={"ETag": quoted(stored.etag)})
