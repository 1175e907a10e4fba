"""`/v1/cms/audit`: who changed what, when and why, the newest first, for 90 days; and taking a change back."""

from __future__ import annotations

from typing import Any

import azure.functions as func

from bootstrap import Services
from cms.changes import AUDIT_ID, AUDIT_PREFIX, Change, apply_change, kept_body, not_found, without_tombstone
from cms.configuration.models import require_confirmation
from cms.forms import iso
from cms.request import CmsRequest, authenticate, cursor_after
from cms.videos.api import show_soon
from cms.videos.models import TAKEN_DOWN, time_to_live
from shared.adapters.documents.port import TENANTS, VIDEOS, Container, Document, Json, Operation, Replace
from shared.domain.records import Tenant
from shared.web.endpoint import endpoint, json_response
from shared.web.problems import Problem, bad_request

CONTAINERS = (TENANTS, VIDEOS)
REVERTIBLE = ("configuration", "rule", "playlist", "video")
_STAMPS = ("updatedAt", "updatedBy", "tenantId", "ttl")


@endpoint("cms_audit")
async def audit(request: func.HttpRequest, services: Services) -> func.HttpResponse:
    """`GET` a page of entries; `resource` and `name` narrow it down."""
    call = authenticate(request, services)
    limit, after = call.page()
    if after is not None and not AUDIT_ID.fullmatch(after):
        raise bad_request("invalid_cursor", "The cursor is not one of ours. Start again without it.")
    wanted = {name: request.params.get(name) for name in ("resource", "name")}
    entries: list[Document] = []
    more = False
    for container in CONTAINERS:
        page = await services.documents.query(
            container, call.tenant_id, id_prefix=AUDIT_PREFIX, after=after, limit=limit
        )
        entries += page.documents
        more = more or page.next is not None
    entries.sort(key=lambda entry: entry.id)
    more = more or len(entries) > limit
    entries = entries[:limit]
    shown = [
        _shown(entry.body)
        for entry in entries
        if all(value is None or entry.body.get(name) == value for name, value in wanted.items())
    ]
    return json_response({"entries": shown, "nextCursor": cursor_after(entries[-1].id) if more and entries else None})


@endpoint("cms_revert")
async def revert(request: func.HttpRequest, services: Services) -> func.HttpResponse:
    """Put back what one change replaced. Refused when somebody changed it again since, unless `force` says so."""
    call = authenticate(request, services)
    body = call.optional_body()
    container, entry = await _entry(call)
    if entry["resource"] not in REVERTIBLE or not entry.get("whole") or entry.get("count") is not None:
        raise Problem(409, "not_revertible", "This kind of change cannot be taken back here.")
    stored = await services.documents.read(container, call.tenant_id, entry["documentId"], latest=True)
    now_there = without_tombstone(stored)
    if body.get("force") is not True and not _same(now_there.body if now_there else None, entry["after"]):
        raise Problem(
            409, "changed_since", 'It was changed again since. Look at the later changes, or send {"force": true}.'
        )
    back = _restored(entry, now_there, call)
    if entry["resource"] == "configuration" and now_there and back:
        before, after = Tenant.from_document(now_there.body), Tenant.from_document({**now_there.body, **back})
        require_confirmation(before, after, call.confirmed())
    if back is None and now_there is None:
        raise Problem(409, "changed_since", "It is gone already.")
    reason = body.get("reason")
    author = call.author(reason if isinstance(reason, str) else f"takes back the change of {iso(entry['at'])}")
    change = Change(container, call.tenant_id, entry["resource"], entry["name"], "revert", stored, back)
    also = await _model_it_needs(call, back) if entry["resource"] == "configuration" else []
    await apply_change(services, change, author, also)
    await services.tenants_refresher.refresh()
    await show_soon(services, call.tenant_id)
    return json_response({"reverted": entry["id"], "resource": entry["resource"], "name": entry["name"]})


async def _entry(call: CmsRequest) -> tuple[Container, Json]:
    id = AUDIT_PREFIX + call.path("id", r"[0-9]{14}[0-9a-f]{8}")
    for container in CONTAINERS:
        found = await call.services.documents.read(container, call.tenant_id, id, latest=True)
        if found is not None:
            return container, found.body
    raise not_found("audit entry")


async def _model_it_needs(call: CmsRequest, back: Json | None) -> list[Operation]:
    """The version a configuration points to must still be there when that configuration is written."""
    version = (back or {}).get("modelVersion")
    if version is None:
        return []
    stored = without_tombstone(
        await call.services.documents.read(TENANTS, call.tenant_id, f"model:{version}", latest=True)
    )
    if stored is None:
        raise Problem(409, "not_revertible", "The model version that was served then has been deleted.")
    return [Replace(stored.body, stored.etag)]


def _restored(entry: Json, stored: Document | None, call: CmsRequest) -> Json | None:
    """The document as it was before the change, None when there was none. A created video is taken down instead."""
    stamp = {"updatedAt": call.now, "updatedBy": call.author().who}
    if entry["before"] is not None:
        lives = time_to_live(entry["before"].get("expiresAt"), call.now) if entry["resource"] == "video" else {}
        return {**entry["before"], **stamp, **lives}
    if entry["resource"] == "video" and stored is not None:
        return {**stored.body, **stamp, "status": TAKEN_DOWN}
    return None


def _same(stored: Json | None, written: Json | None) -> bool:
    if stored is None or written is None:
        return stored is written
    kept = kept_body(stored) or stored
    return {k: v for k, v in kept.items() if k not in _STAMPS} == {k: v for k, v in written.items() if k not in _STAMPS}


def _shown(entry: Json) -> dict[str, Any]:
    before, after = entry.get("before") or {}, entry.get("after") or {}
    fields = [
        name
        for name in {**before, **after}
        if name not in (*_STAMPS, "createdAt", "id", "kind", "ruleId", "playlistId", "experimentId", "salt")
        and before.get(name) != after.get(name)
    ]
    return {
        "id": entry["id"].removeprefix(AUDIT_PREFIX),
        "at": iso(entry["at"]),
        "who": entry["who"],
        "why": entry.get("why"),
        "action": entry["action"],
        "resource": entry["resource"],
        "name": entry["name"],
        "count": entry.get("count"),
        "changes": [{"field": name, "from": before.get(name), "to": after.get(name)} for name in fields],
        "revertible": entry["resource"] in REVERTIBLE and bool(entry.get("whole")) and entry.get("count") is None,
    }
