"""`/v1/cms/rules` and `/v1/cms/playlists`: named documents of a tenant, each with its ETag; rules also have drafts.

Both work alike, so the flow is written once and `Kind` says what differs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import azure.functions as func

from bootstrap import Services
from cms.changes import Change, already_exists, apply_change, etag_mismatch, not_found, without_tombstone
from cms.forms import Form, checked, iso
from cms.request import CmsRequest, authenticate, bare, quoted
from cms.rules.models import (
    MAX_PLAYLISTS,
    MAX_RULES,
    NewPlaylistForm,
    NewRuleForm,
    PlaylistForm,
    RuleForm,
    editable_playlist,
    editable_rule,
    playlist_document,
    rule_document,
    shown_playlist,
    shown_rule,
    uses_playlist,
)
from feed.pipeline import Feed
from shared.adapters.documents.port import TENANTS, Delete, Document, Json, StoreUnavailable, query_all
from shared.web.endpoint import endpoint, json_response
from shared.web.problems import Problem, bad_request

SLUG = r"[a-z0-9][a-z0-9_-]{0,63}"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of named document: its forms, how it is stored, and how many a tenant may have."""

    name: str
    form: type[Form]
    new_form: type[Form]
    to_document: Callable[[str, Any, float, str], Json]
    editable: Callable[[Json], dict[str, Any]]
    most: int

    def document_id(self, id: str) -> str:
        return f"{self.name}:{id}"

    def draft_id(self, id: str) -> str:
        return f"draft:{self.name}:{id}"


RULE = Kind("rule", RuleForm, NewRuleForm, rule_document, editable_rule, MAX_RULES)
PLAYLIST = Kind("playlist", PlaylistForm, NewPlaylistForm, playlist_document, editable_playlist, MAX_PLAYLISTS)


@endpoint("cms_rules")
async def rules(request: func.HttpRequest, services: Services) -> func.HttpResponse:
    """`GET` lists every rule, the most important first, each with its draft if it has one; `POST` creates."""
    call = authenticate(request, services)
    return await (_list_rules(call) if request.method == "GET" else _create(call, RULE))


@endpoint("cms_rule")
async def rule(request: func.HttpRequest, services: Services) -> func.HttpResponse:
    """`GET`, `PUT`, `PATCH` or `DELETE` one rule."""
    return await _one(authenticate(request, services), RULE)


@endpoint("cms_rule_draft")
async def rule_draft(request: func.HttpRequest, services: Services) -> func.HttpResponse:
    """`GET`, `PUT` or `DELETE` the draft of a rule, which may be one that does not exist yet."""
    call = authenticate(request, services)
    id = call.path("id", SLUG)
    documents = services.documents
    kept = await documents.read(TENANTS, call.tenant_id, RULE.draft_id(id), latest=True)
    if request.method == "PUT":
        if (bare(kept.etag) if kept else None) != call.optional_if_match():
            raise etag_mismatch()
        payload = call.body()
        form = checked(RuleForm, payload)
        live = without_tombstone(await documents.read(TENANTS, call.tenant_id, RULE.document_id(id), latest=True))
        body = {
            "id": RULE.draft_id(id),
            "kind": "draft",
            "rule": rule_document(id, form, call.now, call.author().who),
            "basedOn": bare(live.etag) if live else None,
        }
        change = Change(TENANTS, call.tenant_id, "rule draft", id, "save_draft", kept, body)
        etag = await apply_change(services, change, call.author())
        kept = Document(call.tenant_id, RULE.draft_id(id), body, etag or "")
    if kept is None:
        raise not_found("draft")
    if request.method == "DELETE":
        await documents.write(TENANTS, call.tenant_id, [Delete(kept.id)])
        return func.HttpResponse(status_code=204)
    return json_response(shown_rule(kept.body["rule"], call.now), headers={"ETag": quoted(kept.etag)})


@endpoint("cms_rule_publish")
async def publish_rule(request: func.HttpRequest, services: Services) -> func.HttpResponse:
    """Make a rule's draft live, unless the live rule has changed since."""
    call = authenticate(request, services)
    id = call.path("id", SLUG)
    kept = await services.documents.read(TENANTS, call.tenant_id, RULE.draft_id(id), latest=True)
    if kept is None:
        raise not_found("draft")
    stored = await services.documents.read(TENANTS, call.tenant_id, RULE.document_id(id), latest=True)
    live = without_tombstone(stored)
    if kept.body.get("basedOn") != (bare(live.etag) if live else None):
        raise Problem(412, "draft_outdated", "The rule has changed since this draft was begun: save the draft again.")
    if live is None:
        await _require_room(call, RULE)
    author = call.author(_reason(call.optional_body()))
    body = {**kept.body["rule"], "updatedAt": call.now, "updatedBy": author.who}
    change = Change(TENANTS, call.tenant_id, "rule", id, "publish", stored, body)
    etag = await apply_change(services, change, author, [Delete(kept.id, kept.etag)])
    await services.tenants_refresher.refresh()
    return await _answer(call, RULE, Document(call.tenant_id, RULE.document_id(id), body, etag or ""))


@endpoint("cms_playlists")
async def playlists(request: func.HttpRequest, services: Services) -> func.HttpResponse:
    """`GET` lists every playlist; `POST` creates."""
    call = authenticate(request, services)
    if request.method != "GET":
        return await _create(call, PLAYLIST)
    documents = await query_all(services.documents, TENANTS, call.tenant_id, "playlist:")
    known = await _known_videos(call)
    shown = [
        {**shown_playlist(document.body, known), "etag": quoted(document.etag)}
        for document in documents
        if without_tombstone(document)
    ]
    return json_response({"playlists": shown})


@endpoint("cms_playlist")
async def playlist(request: func.HttpRequest, services: Services) -> func.HttpResponse:
    """`GET`, `PUT`, `PATCH` or `DELETE` one playlist."""
    return await _one(authenticate(request, services), PLAYLIST)


# ---- the flow of both


async def _create(call: CmsRequest, kind: Kind) -> func.HttpResponse:
    payload = call.body()
    why = _reason(payload, take=True)
    form = checked(kind.new_form, payload)
    id = form.id  # type: ignore[attr-defined]
    stored = await call.services.documents.read(TENANTS, call.tenant_id, kind.document_id(id), latest=True)
    if without_tombstone(stored):
        raise already_exists(kind.name)
    await _require_room(call, kind)
    return await _save(call, kind, id, stored, form, "create", why, 201)


async def _one(call: CmsRequest, kind: Kind) -> func.HttpResponse:
    id = call.path("id", SLUG)
    stored = without_tombstone(
        await call.services.documents.read(TENANTS, call.tenant_id, kind.document_id(id), latest=True)
    )
    if stored is None:
        raise not_found(kind.name)
    if call.request.method == "GET":
        return await _answer(call, kind, stored)
    if bare(stored.etag) != call.if_match():
        raise etag_mismatch()
    if call.request.method == "DELETE":
        return await _delete(call, kind, id, stored)
    payload = call.body()
    why = _reason(payload, take=True)
    if call.request.method == "PATCH":
        payload = {**kind.editable(stored.body), **payload}
    return await _save(call, kind, id, stored, checked(kind.form, payload), "update", why)


async def _save(
    call: CmsRequest,
    kind: Kind,
    id: str,
    stored: Document | None,
    form: Form,
    action: str,
    why: str | None,
    status: int = 200,
) -> func.HttpResponse:
    author = call.author(why)
    body = kind.to_document(id, form, call.now, author.who)
    etag = await apply_change(
        call.services, Change(TENANTS, call.tenant_id, kind.name, id, action, stored, body), author
    )
    await call.services.tenants_refresher.refresh()
    return await _answer(call, kind, Document(call.tenant_id, kind.document_id(id), body, etag or ""), status)


async def _delete(call: CmsRequest, kind: Kind, id: str, stored: Document) -> func.HttpResponse:
    if kind is PLAYLIST:
        rules_of_tenant = await query_all(call.services.documents, TENANTS, call.tenant_id, "rule:")
        users = [
            each.body["name"] for each in rules_of_tenant if without_tombstone(each) and uses_playlist(each.body, id)
        ]
        if users:
            raise Problem(409, "in_use", f"Rules use this playlist: {', '.join(users[:5])}. Change them first.")
    change = Change(TENANTS, call.tenant_id, kind.name, id, "delete", stored, None)
    await apply_change(call.services, change, call.author())
    await call.services.tenants_refresher.refresh()
    return func.HttpResponse(status_code=204)


async def _answer(call: CmsRequest, kind: Kind, document: Document, status: int = 200) -> func.HttpResponse:
    if kind is RULE:
        shown = shown_rule(document.body, call.now)
    else:
        shown = shown_playlist(document.body, await _known_videos(call))
    return json_response(shown, status, headers={"ETag": quoted(document.etag)})


async def _list_rules(call: CmsRequest) -> func.HttpResponse:
    documents = call.services.documents
    live = [each for each in await query_all(documents, TENANTS, call.tenant_id, "rule:") if without_tombstone(each)]
    drafts = {each.id: each for each in await query_all(documents, TENANTS, call.tenant_id, "draft:rule:")}
    shown = []
    for each in sorted(live, key=lambda each: (-each.body.get("priority", 0), each.id)):
        draft = drafts.pop(f"draft:{each.id}", None)
        entry = {**shown_rule(each.body, call.now), "etag": quoted(each.etag)}
        shown.append({**entry, "draft": _shown_draft(draft, call.now)})
    for draft in drafts.values():
        shown.append({"id": draft.body["rule"]["ruleId"], "state": "draft", "draft": _shown_draft(draft, call.now)})
    return json_response({"rules": shown, "now": iso(call.now)})


def _shown_draft(draft: Document | None, now: float) -> dict[str, Any] | None:
    return None if draft is None else {**shown_rule(draft.body["rule"], now), "etag": quoted(draft.etag)}


async def _require_room(call: CmsRequest, kind: Kind) -> None:
    stored = await query_all(call.services.documents, TENANTS, call.tenant_id, f"{kind.name}:")
    if sum(without_tombstone(each) is not None for each in stored) >= kind.most:
        raise Problem(409, "too_many", f"A tenant has {kind.most} {kind.name}s at the most: delete one first.")


async def _known_videos(call: CmsRequest) -> set[str] | None:
    try:
        catalog = await call.services.room(Feed).catalogs.get(call.tenant_id, call.now)
    except StoreUnavailable:
        return None
    return set(catalog.columns.ids)


def _reason(payload: dict[str, Any], take: bool = False) -> str | None:
    given = payload.pop("reason", None) if take else payload.get("reason")
    if given is None or isinstance(given, str):
        return given
    raise bad_request("invalid_reason", "reason must be text.")
