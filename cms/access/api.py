"""`/v1/cms/tenants`, `/v1/cms/keys` and `/v1/cms/user-token-keys`: who may come in. Scope `ops`.

A tenant's own `ops` key looks after that tenant's keys; only the platform's open more than one door. Every instance
follows within its refresh of tenants (five seconds unless set otherwise).
"""

from __future__ import annotations

from typing import Any

import azure.functions as func

from bootstrap import Services
from cms.access.models import (
    KeyNameForm,
    NewKeyForm,
    NewTenantForm,
    RotationForm,
    UserTokenKeyForm,
    new_key,
    new_key_id,
    shown_key,
    user_token_key_document,
)
from cms.changes import Author, Change, already_exists, apply_change, not_found, without_tombstone
from cms.configuration.models import shown as shown_configuration
from cms.forms import Fault, checked, iso, refused
from cms.request import MAX_BODY_BYTES, CmsRequest, authenticate, read_json
from shared.adapters.documents.port import TENANTS, Create, Document, query_all
from shared.adapters.tenant_directory import CONFIGURATION_ID, KEY_PREFIX, PLATFORM, ApiKey, Caller
from shared.domain.records import Tenant
from shared.web.endpoint import endpoint, json_response
from shared.web.problems import Problem, forbidden

MOST_KEYS = 100
ACTIVE_PER_NAME = 2


@endpoint("cms_tenants")
async def tenants(request: func.HttpRequest, services: Services) -> func.HttpResponse:
    """`GET` lists every tenant, `POST` creates one with a first key. For the platform's own keys only."""
    now = services.clock()
    who = services.tenants.authenticate_operator(request.headers, now)
    if request.method == "GET":
        known = [services.tenants.get(id) for id in sorted(services.tenants.ids())]
        return json_response({"tenants": [_shown_tenant(tenant) for tenant in known if tenant]})
    form = checked(NewTenantForm, read_json(request, MAX_BODY_BYTES))
    stored = await services.documents.read(TENANTS, form.tenant_id, CONFIGURATION_ID, latest=True)
    if without_tombstone(stored):
        raise already_exists("tenant")
    author = Author(f"{who} (operator)", now)
    tenant = Tenant(form.tenant_id, form.maturity_policy)
    key, record = _issue(services, NewKeyForm(name=form.key_name, scopes=["cms"]), author)
    change = Change(TENANTS, tenant.id, "tenant", tenant.id, "create", stored, tenant.to_document())
    await apply_change(services, change, author, [Create(record.to_document())])
    await services.tenants_refresher.refresh()
    return json_response({**_shown_tenant(tenant), "key": key, "keyInfo": shown_key(record, now)}, 201)


@endpoint("cms_keys")
async def keys(request: func.HttpRequest, services: Services) -> func.HttpResponse:
    """`GET` lists the tenant's keys by name; `POST` issues one, which only this answer ever shows."""
    call = _open(request, services)
    stored = await _keys(call)
    if request.method == "GET":
        return json_response({"keys": [shown_key(ApiKey.from_document(each.body), call.now) for each in stored]})
    form = checked(NewKeyForm, call.body())
    if form.expires_at is not None and form.expires_at <= call.now:
        raise refused([Fault("expiresAt", "in_the_past", "expiresAt lies in the past.")])
    if "ops" in form.scopes and not call.caller.operator:
        raise forbidden("ops of the platform")
    if len(stored) >= MOST_KEYS:
        raise Problem(409, "too_many", f"A tenant has {MOST_KEYS} keys at the most: revoke one first.")
    _require_free_name(stored, form.name, call.now)
    return await _store_new(call, form, "issue")


@endpoint("cms_key")
async def key(request: func.HttpRequest, services: Services) -> func.HttpResponse:
    """`PATCH` renames a key, `DELETE` revokes it, also one that nobody can read any more."""
    call = _open(request, services)
    stored = await _key(call)
    if request.method == "PATCH":
        if _record(stored) is None:
            raise not_found("key")
        form = checked(KeyNameForm, call.body())
        body = {**stored.body, "name": form.name}
        await _apply(call, "rename", stored, body)
        return json_response(shown_key(ApiKey.from_document(body), call.now))
    if call.tenant_id == PLATFORM and not _others_stay(await _keys(call), stored.id):
        raise Problem(409, "last_key", "This is the last key of the platform: issue another one first.")
    await _apply(call, "revoke", stored, None)
    return func.HttpResponse(status_code=204)


@endpoint("cms_key_rotation")
async def rotate_key(request: func.HttpRequest, services: Services) -> func.HttpResponse:
    """Issue a key's successor of the same name and scopes; the old one goes on for `overlapHours`, then it is over."""
    call = _open(request, services)
    form = checked(RotationForm, call.optional_body())
    stored = await _key(call)
    old = _record(stored)
    if old is None:
        raise not_found("key")
    if "ops" in old.scopes and not call.caller.operator:
        raise forbidden("ops of the platform")
    _require_free_name(await _keys(call), old.name, call.now, allowed=ACTIVE_PER_NAME - 1)
    ends_at = call.now + form.overlap_hours * 3_600.0
    if old.expires_at is not None:
        ends_at = min(ends_at, old.expires_at)
    key, record = _issue(services, NewKeyForm(name=old.name, scopes=sorted(old.scopes)), call.author())  # type: ignore[arg-type]
    await _apply(call, "rotate", stored, {**stored.body, "expiresAt": ends_at}, Create(record.to_document()))
    return json_response({"key": key, **shown_key(record, call.now), "oldKeyEndsAt": iso(ends_at)}, 201)


@endpoint("cms_user_token_keys")
async def user_token_keys(request: func.HttpRequest, services: Services) -> func.HttpResponse:
    """`GET` lists the public keys for user tokens, `POST` adds one: several may be in use, so that they can rotate."""
    call = _open(request, services)
    stored = await query_all(services.documents, TENANTS, call.tenant_id, "user-token-key:")
    if request.method == "GET":
        return json_response({"keys": [_shown_public(each) for each in stored if without_tombstone(each)]})
    form = checked(UserTokenKeyForm, call.body())
    if sum(without_tombstone(each) is not None for each in stored) >= 10:
        raise Problem(409, "too_many", "A tenant has 10 public keys at the most: remove one first.")
    author = call.author()
    body = user_token_key_document(form, call.now, author.who)
    before = next((each for each in stored if each.id == body["id"]), None)
    if before is not None and without_tombstone(before):
        raise already_exists("public key")
    change = Change(TENANTS, call.tenant_id, "public key", form.key_id, "add", before, body)
    await apply_change(services, change, author)
    await services.tenants_refresher.refresh()
    return json_response(_shown_public(Document(call.tenant_id, body["id"], body, "")), 201)


@endpoint("cms_user_token_key")
async def user_token_key(request: func.HttpRequest, services: Services) -> func.HttpResponse:
    """`DELETE` removes a public key: tokens signed with it are refused from then on."""
    call = _open(request, services)
    key_id = call.path("id", r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
    stored = without_tombstone(
        await services.documents.read(TENANTS, call.tenant_id, f"user-token-key:{key_id}", latest=True)
    )
    if stored is None:
        raise not_found("public key")
    await apply_change(
        services, Change(TENANTS, call.tenant_id, "public key", key_id, "remove", stored, None), call.author()
    )
    await services.tenants_refresher.refresh()
    return func.HttpResponse(status_code=204)


def _open(request: func.HttpRequest, services: Services) -> CmsRequest:
    """A call for scope `ops`. An operator may also name the platform itself, to look after its own keys."""
    if request.headers.get("x-tenant-id") != PLATFORM:
        return authenticate(request, services, "ops")
    now = services.clock()
    who = services.tenants.authenticate_operator(request.headers, now)
    return CmsRequest(request, services, Caller(Tenant(PLATFORM), frozenset({"ops"}), who, operator=True), now)


def _issue(services: Services, form: NewKeyForm, author: Author) -> tuple[str, ApiKey]:
    key = new_key()
    record = ApiKey(
        new_key_id(),
        form.name,
        services.identity.api_key_hash(key),
        frozenset(form.scopes),
        form.expires_at,
        author.at,
        author.who,
    )
    return key, record


async def _store_new(call: CmsRequest, form: NewKeyForm, action: str) -> func.HttpResponse:
    author = call.author()
    key, record = _issue(call.services, form, author)
    change = Change(TENANTS, call.tenant_id, "key", record.name, action, None, record.to_document())
    await apply_change(call.services, change, author)
    await call.services.tenants_refresher.refresh()
    return json_response({"key": key, **shown_key(record, call.now)}, 201)


def _require_free_name(stored: list[Document], name: str, now: float, allowed: int = 0) -> None:
    """A name belongs to one holder, so it has one key, and two only while the first is being replaced."""
    records = [ApiKey.from_document(each.body) for each in stored]
    active = sum(each.name == name and (each.expires_at is None or now < each.expires_at) for each in records)
    if active > allowed:
        what = (
            "There is an active key of that name: rotate it, or choose another name."
            if not allowed
            else "Two keys of that name are active already: revoke one, or wait for the old one to end."
        )
        raise Problem(409, "already_active", what)


def _others_stay(stored: list[Document], id: str) -> bool:
    """Whether an operator's key without an end remains when one goes."""
    records = [ApiKey.from_document(each.body) for each in stored if each.id != id]
    return any("ops" in each.scopes and each.expires_at is None for each in records)


async def _keys(call: CmsRequest) -> list[Document]:
    """The tenant's keys by name, without those nobody can read and which therefore open nothing."""
    found = await query_all(call.services.documents, TENANTS, call.tenant_id, KEY_PREFIX)
    known = [(record.name, each.id, each) for each in found if without_tombstone(each) and (record := _record(each))]
    return [each for _, _, each in sorted(known, key=lambda entry: entry[:2])]


def _record(stored: Document) -> ApiKey | None:
    try:
        return ApiKey.from_document(stored.body)
    except ValueError:
        return None


async def _key(call: CmsRequest) -> Document:
    id = call.path("id", r"[\w .()@-]{1,80}")
    stored = without_tombstone(
        await call.services.documents.read(TENANTS, call.tenant_id, f"{KEY_PREFIX}{id}", latest=True)
    )
    if stored is None:
        raise not_found("key")
    return stored


async def _apply(call: CmsRequest, action: str, stored: Document, after: dict[str, Any] | None, *also: Create) -> None:
    change = Change(TENANTS, call.tenant_id, "key", str(stored.body.get("name")), action, stored, after)
    await apply_change(call.services, change, call.author(), also)
    await call.services.tenants_refresher.refresh()


def _shown_tenant(tenant: Tenant) -> dict[str, Any]:
    return shown_configuration(tenant.to_document() | {"tenantId": tenant.id})


def _shown_public(document: Document) -> dict[str, Any]:
    return {
        "keyId": document.body["keyId"],
        "publicKey": document.body["publicKey"],
        "addedAt": iso(document.body.get("updatedAt")),
        "addedBy": document.body.get("updatedBy"),
    }
