"""`/v1/cms/configuration`: read, change, and prepare a change as a draft that is published or thrown away."""

from __future__ import annotations

from typing import Any

import azure.functions as func

from bootstrap import Services
from cms.changes import Author, Change, apply_change, etag_mismatch, not_found, without_tombstone
from cms.configuration.models import (
    ConfigurationForm,
    editable,
    raised_maturity,
    require_confirmation,
    shown,
    to_document,
)
from cms.forms import checked, iso
from cms.request import CmsRequest, authenticate, bare, quoted
from shared.adapters.documents.port import TENANTS, Delete, Document, Json, Operation, WriteRejected
from shared.adapters.tenant_directory import CONFIGURATION_ID
from shared.domain.records import Tenant
from shared.web.endpoint import endpoint, json_response
from shared.web.problems import Problem, bad_request

DRAFT_ID = "draft:configuration"


@endpoint("cms_configuration")
async def configuration(request: func.HttpRequest, services: Services) -> func.HttpResponse:
    """`GET` reads; `PUT` replaces the whole, `PATCH` changes the fields it names. Both need `If-Match`."""
    call = authenticate(request, services)
    stored = await stored_configuration(call)
    if request.method == "GET":
        return answer(stored)
    if bare(stored.etag) != call.if_match():
        raise etag_mismatch()
    form, why = _form(call, stored)
    return await save_configuration(call, stored, form, call.author(why), "update")


@endpoint("debug_personalization")
async def set_personalization(request: func.HttpRequest, services: Services) -> func.HttpResponse:
    """An operator switches the tenant's own `usePersonalization`; instances follow within their refresh."""
    call = authenticate(request, services, "ops")
    enable = (request.params.get("enable") or "").lower()
    if enable not in ("true", "false"):
        raise bad_request("invalid_enable", "enable must be true or false.")
    stored = without_tombstone(await services.documents.read(TENANTS, call.tenant_id, CONFIGURATION_ID, latest=True))
    if stored is None:
        raise Problem(404, "no_configuration", "This tenant has no configuration.")
    body = {**stored.body, "usePersonalization": enable == "true"}
    change = Change(TENANTS, call.tenant_id, "configuration", "configuration", "switch_personalization", stored, body)
    try:
        await apply_change(services, change, call.author())
    except Problem as problem:
        if problem.code != "stale_etag":
            raise
        raise Problem(409, "conflict", "Somebody else changed the configuration. Try again.") from None
    await services.tenants_refresher.refresh()
    return json_response({"tenantId": call.tenant_id, "usePersonalization": enable == "true"})


@endpoint("cms_configuration_draft")
async def draft(request: func.HttpRequest, services: Services) -> func.HttpResponse:
    """`GET` reads the draft, `PUT` or `PATCH` saves one over the live configuration, `DELETE` throws it away."""
    call = authenticate(request, services)
    kept = await call.services.documents.read(TENANTS, call.tenant_id, DRAFT_ID, latest=True)
    if request.method == "DELETE":
        if kept is not None:
            await _write(call, [Delete(DRAFT_ID, kept.etag)])
        return func.HttpResponse(status_code=204)
    stored = await stored_configuration(call)
    if request.method in ("PUT", "PATCH"):
        given = call.optional_if_match()
        if (bare(kept.etag) if kept else None) != given:
            raise etag_mismatch()
        form, _ = _form(call, stored, kept)
        body = {
            "id": DRAFT_ID,
            "kind": "draft",
            "configuration": form.model_dump(by_alias=True),
            "basedOn": bare(stored.etag),
            "savedAt": call.now,
            "savedBy": call.author().who,
        }
        change = Change(TENANTS, call.tenant_id, "configuration draft", "configuration", "save_draft", kept, body)
        etag = await apply_change(services, change, call.author())
        kept = Document(call.tenant_id, DRAFT_ID, body, etag or "")
    if kept is None:
        raise not_found("draft")
    return _answer_draft(kept, stored)


@endpoint("cms_configuration_publish")
async def publish(request: func.HttpRequest, services: Services) -> func.HttpResponse:
    """Make the draft the live configuration, unless the live one has changed since the draft was begun."""
    call = authenticate(request, services)
    kept = await services.documents.read(TENANTS, call.tenant_id, DRAFT_ID, latest=True)
    if kept is None:
        raise not_found("draft")
    stored = await stored_configuration(call)
    if kept.body.get("basedOn") != bare(stored.etag):
        raise Problem(412, "draft_outdated", "The configuration has changed since this draft was begun: save it again.")
    form = checked(ConfigurationForm, kept.body["configuration"])
    why = call.optional_body().get("reason")
    author = call.author(why if isinstance(why, str) else None)
    return await save_configuration(call, stored, form, author, "publish", [Delete(DRAFT_ID, kept.etag)])


async def stored_configuration(call: CmsRequest) -> Document:
    """The tenant's live configuration as stored now."""
    stored = without_tombstone(
        await call.services.documents.read(TENANTS, call.tenant_id, CONFIGURATION_ID, latest=True)
    )
    if stored is None:
        raise not_found("configuration")
    return stored


async def save_configuration(
    call: CmsRequest,
    stored: Document,
    form: ConfigurationForm,
    author: Author,
    action: str,
    also: list[Operation] | None = None,
) -> func.HttpResponse:
    """Write a checked configuration over the stored one. Raises a `Problem` when stronger ratings need a yes."""
    body = to_document(form, stored.body, call.tenant_id)
    raised = require_confirmation(Tenant.from_document(stored.body), Tenant.from_document(body), call.confirmed())
    change = Change(
        TENANTS,
        call.tenant_id,
        "configuration",
        "configuration",
        f"{action}_raising_maturity" if raised else action,
        stored,
        body,
    )
    etag = await apply_change(call.services, change, author, also or ())
    await call.services.tenants_refresher.refresh()
    return answer(Document(call.tenant_id, CONFIGURATION_ID, {**body, "tenantId": call.tenant_id}, etag or ""))


def answer(stored: Document) -> func.HttpResponse:
    """A configuration with its ETag."""
    return json_response(shown(stored.body), headers={"ETag": quoted(stored.etag)})


def _form(call: CmsRequest, stored: Document, draft: Document | None = None) -> tuple[ConfigurationForm, str | None]:
    payload = call.body()
    why = payload.pop("reason", None)
    if call.request.method == "PATCH":
        base: Json = draft.body["configuration"] if draft else editable(stored.body)
        payload = {**base, **payload}
    return checked(ConfigurationForm, payload), why if isinstance(why, str) else None


def _answer_draft(draft: Document, live: Document) -> func.HttpResponse:
    tenant = Tenant.from_document(live.body)
    proposed = Tenant.from_document({**live.body, **draft.body["configuration"]})
    now, then = editable(live.body), draft.body["configuration"]
    body: dict[str, Any] = {
        "configuration": then,
        "changes": {name: {"from": now[name], "to": then[name]} for name in now if now[name] != then.get(name)},
        "needsConfirmation": raised_maturity(tenant, proposed),
        "outdated": draft.body.get("basedOn") != bare(live.etag),
        "savedAt": iso(draft.body.get("savedAt")),
        "savedBy": draft.body.get("savedBy"),
    }
    return json_response(body, headers={"ETag": quoted(draft.etag)})


async def _write(call: CmsRequest, operations: list[Operation]) -> None:
    try:
        await call.services.documents.write(TENANTS, call.tenant_id, operations)
    except WriteRejected as refusal:
        raise etag_mismatch() from refusal
