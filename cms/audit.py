"""CMS endpoints of the audit: list changes of the last 90 days (who, what, when, why), and revert a change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import azure.functions as func
from pydantic import Field

from cms.changes import AUDIT_PREFIX, not_found, without_tombstone
from cms.configuration.models import ConfigurationForm, editable, require_confirmation
from cms.configuration.privileges import require_may_change
from cms.documents import DocumentFlow, require_match_if_given
from cms.endpoint import (
    CONFIRM,
    CURSOR,
    LIMIT,
    OPTIONAL_IF_MATCH,
    OPTIONAL_IF_MATCH_PROBLEMS,
    PAGE_PROBLEMS,
    REASON,
    cms_endpoint,
    query,
)
from cms.experiments.models import model_id
from cms.feeds.api import FEED
from cms.forms import Fault, Form, checked
from cms.request import CmsRequest, cursor_after
from cms.reverts import STAMPS, content, puts_only_on_air, reverted, reverted_video, same_content
from cms.rules.api import PLAYLIST, RULE
from cms.videos.api import VIDEO
from cms.videos.models import with_time_to_live
from cms.videos.takedowns import INACTIVE, TAKEN_DOWN, after_sending, with_status
from cms.views import FaultView, NextCursor
from shared.adapters.documents.port import Document, Json, Operation, Replace
from shared.domain.formats import AUDIT_ENTRY_ID, iso_time
from shared.domain.records import Tenant
from shared.web.declaration import ANY_OBJECT
from shared.web.endpoint import Edge, json_response
from shared.web.problems import Problem, bad_request
from shared.web.responses import Count, Time, View

REVERTIBLE: dict[str, tuple[type[Form], Callable[[Json], dict[str, Any]]]] = {
    "configuration": (ConfigurationForm, editable),
    **{kind.name: (kind.form, kind.editable) for kind in (RULE, PLAYLIST, FEED, VIDEO)},
}
"""Kinds whose changes can be reverted → the form that validates the result, and the document's fields to validate."""
_NOT_SHOWN = (*STAMPS, "createdAt", "id", "kind", "ruleId", "playlistId", "feedId", "experimentId", "salt")


class AuditedField(View):
    """A field that a change modified."""

    field: str
    before: Annotated[Any, Field(alias="from", description="The value before the change; null: none.")]
    after: Annotated[Any, Field(alias="to", description="The value after the change; null: none.")]


class AuditEntry(View):
    """One change."""

    id: Annotated[str, Field(description="Id of the entry; `POST audit/{id}/revert` reverts the change.")]
    at: Time
    who: Annotated[str, Field(description="The name of the key that made the change.")]
    why: str | None
    action: Annotated[str, Field(description="Such as create, update, publish.")]
    resource: Annotated[str, Field(description="The kind of resource, such as video or rule.")]
    name: Annotated[str, Field(description="The resource's id or name. For an import, the number of videos.")]
    count: Annotated[Count | None, Field(description="Videos that an import wrote; null for a single change.")]
    changes: list[AuditedField]
    revertible: bool


class Audit(View):
    """A page of entries, the newest first."""

    entries: list[AuditEntry]
    next_cursor: NextCursor


class Reverted(View):
    """The change that was reverted."""

    reverted: Annotated[str, Field(description="The id of the reverted entry.")]
    resource: str
    name: str
    notes: Annotated[list[FaultView], Field(description="Fields that were not restored, and why.")]


class AuditApi:
    """Lists and reverts changes. Audit entries are stored in the container of the changed document."""

    def __init__(self, edge: Edge, tenants: DocumentFlow, videos: DocumentFlow, stories: DocumentFlow) -> None:
        self.edge = edge
        self._tenants = tenants
        self._flows = (tenants, videos, stories)

    @cms_endpoint(
        "GET",
        "audit",
        "List changes: who, what, when, why",
        {200: Audit},
        parameters=(
            LIMIT,
            CURSOR,
            query("resource", "Only changes of this kind of resource."),
            query("name", "Only changes of the resource of this id or name."),
        ),
        platform=True,
        problems=PAGE_PROBLEMS,
    )
    async def list_changes(self, call: CmsRequest) -> func.HttpResponse:
        """Return a page of entries, the newest first. `resource` and `name` filter within each page."""
        limit, after = call.page()
        if after is not None and not _is_entry_id(after):
            raise bad_request("invalid_cursor", "The cursor is not valid. Start again without it.")
        wanted = {name: call.request.params.get(name) for name in ("resource", "name")}
        entries: list[Document] = []
        more = False
        for flow in self._flows:
            page = await flow.store.query(
                flow.container, call.tenant_id, id_prefix=AUDIT_PREFIX, after=after, limit=limit
            )
            entries += page.documents
            more = more or page.next is not None
        entries.sort(key=lambda entry: entry.id)
        more = more or len(entries) > limit
        entries = entries[:limit]
        shown = [
            _entry_view(entry.body)
            for entry in entries
            if all(value is None or entry.body.get(name) == value for name, value in wanted.items())
        ]
        next_cursor = cursor_after(entries[-1].id) if more and entries else None
        return json_response(Audit.unchecked(entries=shown, next_cursor=next_cursor))

    @cms_endpoint(
        "POST",
        "audit/{id}/revert",
        "Revert a change",
        {200: Reverted},
        body=ANY_OBJECT,
        example={"force": False},
        body_required=False,
        parameters=(OPTIONAL_IF_MATCH, REASON, CONFIRM),
        problems=(
            "not_revertible",
            "changed_since",
            "ops_only",
            "already_exists",
            "too_many",
            "conflict",
            "invalid_document",
            *OPTIONAL_IF_MATCH_PROBLEMS,
        ),
    )
    async def revert_change(self, call: CmsRequest) -> func.HttpResponse:
        """Restore the fields that a change modified, unless the document has changed again since.

        With `force` in the body it restores them even then; later changes of other fields stay. A revert never lifts a
        takedown and never activates a video. `If-Match` names the current version of the document.
        """
        body = call.optional_body()
        flow, entry = await self._entry(call)
        resource: str = entry["resource"]
        if not _is_revertible(entry):
            raise Problem(409, "not_revertible", "This kind of change cannot be reverted from the history.")
        stored = await flow.stored(call.tenant_id, entry["documentId"])
        live = without_tombstone(stored)
        current = live.body if live else None
        require_match_if_given(call, live)
        if body.get("force") is not True and not same_content(current, entry["after"]):
            raise Problem(
                409,
                "changed_since",
                'It was changed again after this entry. Check the later changes, or send {"force": true} to revert '
                "anyway.",
            )
        restored, notes = _restored(entry, current, call)
        if resource == "configuration" and current and restored:
            require_may_change(call.caller, editable(restored), current)
            before, after = Tenant.from_document(current), Tenant.from_document({**current, **restored})
            require_confirmation(before, after, call.confirmed())
        reason = body.get("reason")
        author = call.author(reason if isinstance(reason, str) else f"takes back the change of {iso_time(entry['at'])}")
        also = await self._keeping_model(call, restored) if resource == "configuration" else []
        await flow.write(call.tenant_id, resource, entry["name"], "revert", stored, restored, author, also)
        shown = [FaultView.unchecked(**note.to_json()) for note in notes]
        return json_response(
            Reverted.unchecked(reverted=entry["id"], resource=resource, name=entry["name"], notes=shown)
        )

    async def _entry(self, call: CmsRequest) -> tuple[DocumentFlow, Json]:
        """Return the entry in the path and the flow of its document. Raises a 404 `Problem`."""
        id = AUDIT_PREFIX + call.path("id", AUDIT_ENTRY_ID)
        for flow in self._flows:
            found = await flow.stored(call.tenant_id, id)
            if found is not None:
                return flow, found.body
        raise not_found("audit entry")

    async def _keeping_model(self, call: CmsRequest, configuration: Json | None) -> list[Operation]:
        """Return an operation that makes the write fail if the configuration's model version is deleted meanwhile.

        Raises a 409 `Problem` if it is deleted already.
        """
        version = (configuration or {}).get("modelVersion")
        if version is None:
            return []
        stored = await self._tenants.read(call.tenant_id, model_id(version))
        if stored is None:
            raise Problem(
                409,
                "not_revertible",
                "The model version that was live then has been deleted, so it cannot be made live again.",
            )
        return [Replace(stored.body, stored.etag)]


def _is_entry_id(id: str) -> bool:
    return id.startswith(AUDIT_PREFIX) and AUDIT_ENTRY_ID.matches(id.removeprefix(AUDIT_PREFIX))


def _is_revertible(entry: Json) -> bool:
    return entry["resource"] in REVERTIBLE and bool(entry.get("whole")) and entry.get("count") is None


def _restored(entry: Json, current: Json | None, call: CmsRequest) -> tuple[Json | None, tuple[Fault, ...]]:
    """Return the document without the change, and notes about fields that were not restored.

    The document is None (deleted) if the change created it; a created video is taken down instead. Raises a `Problem`
    if nothing is left to restore, or the result is not a valid document.
    """
    before, after, is_video = entry["before"], entry["after"], entry["resource"] == "video"
    stamp = {"updatedAt": call.now, "updatedBy": call.author().who}
    if current is None and (before is None or after is not None):
        raise Problem(409, "changed_since", "It was deleted after this entry. Revert the deletion first.")
    if before is None:
        if not is_video:
            return None, ()
        taken_down = with_status({**(current or {}), **stamp}, after_sending(TAKEN_DOWN, current))
        return with_time_to_live(taken_down, call.now), ()
    if current is None or after is None:
        whole = {**before, **stamp}
        if is_video:
            whole = with_time_to_live(with_status(whole, after_sending(INACTIVE, current)), call.now)
        return whole, ()
    restored, notes = reverted_video(entry, current, call.now) if is_video else (reverted(entry, current), ())
    if content(restored) == content(current):
        what = notes[0].message if notes else "What it changed has the values from before already."
        raise Problem(409, "not_revertible", what)
    if content(restored) != content(before):
        form, editable_fields = REVERTIBLE[entry["resource"]]
        checked(form, editable_fields(restored), restored)
    return {**restored, **stamp}, notes


def _entry_view(entry: Json) -> AuditEntry:
    before, after = entry.get("before") or {}, entry.get("after") or {}
    fields = [name for name in {**before, **after} if name not in _NOT_SHOWN and before.get(name) != after.get(name)]
    return AuditEntry.unchecked(
        id=entry["id"].removeprefix(AUDIT_PREFIX),
        at=iso_time(entry["at"]),
        who=entry["who"],
        why=entry.get("why"),
        action=entry["action"],
        resource=entry["resource"],
        name=entry["name"],
        count=entry.get("count"),
        changes=[AuditedField.unchecked(field=name, before=before.get(name), after=after.get(name)) for name in fields],
        revertible=_is_revertible(entry) and not puts_only_on_air(entry),
    )
