"""Shared flow of CMS documents: read → If-Match → check → write with audit → refresh → respond with ETag.

`DocumentFlow` implements it for one container, `NamedDocuments` for a kind of document whose id callers choose,
`Drafts` for documents that are prepared and then published.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import azure.functions as func
from pydantic import BaseModel

from cms.changes import (
    Author,
    Change,
    Overtaken,
    already_exists,
    apply_change,
    audit_entry,
    etag_mismatch,
    not_found,
    without_tombstone,
)
from cms.forms import Fault, Form, checked, refused
from cms.guard import (
    ATTEMPTS,
    FIRST_PAUSE_SECONDS,
    GUARD_ID,
    LIMITS,
    LONGEST_PAUSE_SECONDS,
    limited_prefix,
    write_guard,
)
from cms.request import CmsRequest, bare, quoted
from shared.adapters.documents.port import (
    TENANTS,
    Container,
    Create,
    Delete,
    Document,
    DocumentStore,
    Json,
    Operation,
    WriteRejected,
    query_all,
)
from shared.adapters.retry import retry
from shared.domain.formats import SLUG, Format
from shared.web.endpoint import BASE_HEADERS, json_response
from shared.web.http_response import HttpResponse
from shared.web.problems import Problem, bad_request

Refresh = Callable[[str], Awaitable[object]]
Check = Callable[[], Awaitable[None]]
F = TypeVar("F", bound=Form)


class DocumentFlow:
    """Reads and writes the CMS documents of one container. A tombstone counts as a missing document.

    `refresh(tenant_id)` makes a change visible on this instance at once. Other instances see it at their next pull.
    """

    def __init__(self, documents: DocumentStore, container: Container, refresh: Refresh) -> None:
        self.store = documents
        self.container = container
        self._refresh = refresh

    async def stored(self, tenant_id: str, id: str) -> Document | None:
        """Read a document from the store, tombstones included; a write must be based on it."""
        return await self.store.read(self.container, tenant_id, id, latest=True)

    async def read(self, tenant_id: str, id: str) -> Document | None:
        """Read a document from the store; None if it is missing or a tombstone."""
        return without_tombstone(await self.stored(tenant_id, id))

    async def require(self, tenant_id: str, id: str, kind: str) -> Document:
        """Read a document. Raises a 404 `Problem` if it is missing; `kind` names it in the message."""
        found = await self.read(tenant_id, id)
        if found is None:
            raise not_found(kind)
        return found

    async def list(self, tenant_id: str, prefix: str) -> list[Document]:
        """Read every document whose id begins with `prefix`."""
        found = await query_all(self.store, self.container, tenant_id, prefix)
        return [each for each in found if without_tombstone(each)]

    async def write(
        self,
        tenant_id: str,
        kind: str,
        name: str,
        action: str,
        before: Document | None,
        after: Json | None,
        author: Author,
        also: Sequence[Operation] = (),
        check: Check | None = None,
    ) -> Document:
        """Write a change with its audit entry, then refresh; return the new document. `after` None deletes.

        `check` reads the store and raises a `Problem` to refuse the change. The guard (`cms/guard.py`) makes `check`
        and the limits hold when others write at the same time.

        Raises a `Problem`: 412 on a write conflict, 409 if the id is taken or a limit is reached.
        """
        change = Change(self.container, tenant_id, kind, name, action, before, after)
        if check is None and not self._changes_a_number(change, also):
            etag = await apply_change(self.store, change, author, also)
        else:
            etag = await self._write_guarded(change, author, also, check)
        await self._refresh(tenant_id)
        body = after if after is not None else {}
        return Document(tenant_id, str(body.get("id", "")), body, etag or "")

    def _changes_a_number(self, change: Change, also: Sequence[Operation]) -> bool:
        """Return whether the change creates or deletes a document whose kind can be limited."""
        is_there, will_be = without_tombstone(change.before) is not None, change.after is not None
        return self.container is TENANTS and (is_there != will_be or bool(_created(also)))

    async def _write_guarded(
        self, change: Change, author: Author, also: Sequence[Operation], check: Check | None
    ) -> str | None:
        """Write a change together with the tenant's guard, which is read before everything the change depends on."""
        is_new = without_tombstone(change.before) is None and change.after is not None
        new = [*_created(also), *([str((change.after or {}).get("id"))] if is_new else [])]

        async def attempt() -> str | None:
            guard = await self.stored(change.tenant_id, GUARD_ID)
            await self._require_room(change.tenant_id, new)
            if check is not None:
                await check()
            return await apply_change(self.store, change, author, (*also, write_guard(guard)))

        try:
            return await retry(
                attempt,
                (Overtaken,),
                attempts=ATTEMPTS,
                first_pause=FIRST_PAUSE_SECONDS,
                longest_pause=LONGEST_PAUSE_SECONDS,
            )
        except Overtaken as problem:
            if without_tombstone(change.before) is not None:
                raise
            raise Problem(
                409, "conflict", "Other changes were saved at the same time. Send the request again."
            ) from problem

    async def _require_room(self, tenant_id: str, new: Sequence[str]) -> None:
        """Raise a 409 `Problem` if the new documents of these ids would exceed a limit of the tenant."""
        for prefix, (most, what) in LIMITS.items():
            more = sum(limited_prefix(id) == prefix for id in new)
            if (
                more
                and sum(limited_prefix(each.id) == prefix for each in await self.list(tenant_id, prefix)) + more > most
            ):
                raise Problem(409, "too_many", f"A tenant can have at most {most} {what}: delete one first.")


def _created(operations: Sequence[Operation]) -> list[str]:
    """Return the ids of new documents whose kind is limited."""
    ids = [str(each.body["id"]) for each in operations if isinstance(each, Create)]
    return [id for id in ids if limited_prefix(id)]


def require_match(call: CmsRequest, stored: Document) -> None:
    """Raise a `Problem` unless `If-Match` names the stored version: 400 if it is missing, 412 if it is stale."""
    if bare(stored.etag) != call.if_match():
        raise etag_mismatch()


def require_match_if_given(call: CmsRequest, stored: Document | None) -> None:
    """Raise a 412 `Problem` if `If-Match` names another version than `stored` (None: missing).

    Does nothing without the header.
    """
    given = call.optional_if_match()
    if given is not None and (stored is None or given != bare(stored.etag)):
        raise etag_mismatch()


def with_etag(view: BaseModel, document: Document, status: int = 200) -> func.HttpResponse:
    """Build a JSON response with the document's ETag."""
    return json_response(view, status, headers={"ETag": quoted(document.etag)})


def no_content() -> func.HttpResponse:
    """Build a 204 response."""
    return HttpResponse(status_code=204, headers={**BASE_HEADERS, "Cache-Control": "no-store"})


def reason_of(payload: Mapping[str, Any]) -> str | None:
    """Return the `reason` of a body. Raises a 400 `Problem` if it is not text."""
    given = payload.get("reason")
    if given is None or isinstance(given, str):
        return given
    raise bad_request("invalid_reason", "reason must be text.")


def take_reason(payload: dict[str, Any]) -> str | None:
    """Remove and return the `reason` of a body, so only the document's fields remain."""
    reason = reason_of(payload)
    payload.pop("reason", None)
    return reason


def reason_if_text(payload: Mapping[str, Any]) -> str | None:
    """Return the `reason` of a body if it is text, else None."""
    given = payload.get("reason")
    return given if isinstance(given, str) else None


def require_own_id(payload: Mapping[str, Any], id: str) -> None:
    """Raise a 422 `Problem` if the body's `id` differs from the id in the path."""
    if payload.get("id") not in (None, id):
        raise refused([Fault("id", "another_id", "id must equal the id in the URL: an id cannot change.")])


# ---- named documents


@dataclass(frozen=True, slots=True)
class Kind(Generic[F]):
    """A kind of named document: its forms and its stored shape.

    `to_document(id, form, now, who, before)` builds the stored body; `before` is the stored one, or None.
    `editable(body)` returns the fields that an editor can send back.
    """

    name: str
    form: type[F]
    new_form: type[Form]
    to_document: Callable[[str, Any, float, str, Json | None], Json]
    editable: Callable[[Json], dict[str, Any]]
    prefix: str
    id_format: Format = SLUG

    def document_id(self, id: str) -> str:
        return f"{self.prefix}{id}"


class NamedDocuments(Generic[F]):
    """Creates, reads, replaces, changes and deletes the documents of one kind."""

    def __init__(self, flow: DocumentFlow, kind: Kind[F]) -> None:
        self.flow = flow
        self.kind = kind

    async def list(self, call: CmsRequest) -> list[Document]:
        return await self.flow.list(call.tenant_id, self.kind.prefix)

    async def get(self, call: CmsRequest) -> Document:
        """Read the document in the path. Raises a 404 `Problem`."""
        id = call.path("id", self.kind.id_format)
        stored = await self.flow.require(call.tenant_id, self.kind.document_id(id), self.kind.name)
        if stored.body.get("kind", self.kind.name) != self.kind.name:
            raise not_found(self.kind.name)
        return stored

    async def create(self, call: CmsRequest) -> Document:
        """Create a document from the body. Raises a `Problem`, 409 if the id is taken or a limit is reached."""
        payload, kind = call.body(), self.kind
        why = take_reason(payload)
        form = checked(kind.new_form, payload)
        id: str = form.id  # type: ignore[attr-defined]
        stored = await self.flow.stored(call.tenant_id, kind.document_id(id))
        if without_tombstone(stored):
            raise already_exists(kind.name)
        return await self._save(call, id, stored, form, "create", why)

    async def replace(self, call: CmsRequest) -> Document:
        """Replace the whole document. Raises a `Problem`."""
        return await self._update(call, partial=False)

    async def change(self, call: CmsRequest) -> Document:
        """Change the fields in the body (RFC 7396). Raises a `Problem`."""
        return await self._update(call, partial=True)

    async def delete(self, call: CmsRequest, stored: Document) -> None:
        """Delete a document. The caller has read it and called `require_match`. Raises a `Problem`."""
        id = call.path("id", self.kind.id_format)
        await self.flow.write(call.tenant_id, self.kind.name, id, "delete", stored, None, call.author())

    async def _update(self, call: CmsRequest, partial: bool) -> Document:
        stored = await self.get(call)
        require_match(call, stored)
        payload, id = call.body(), call.path("id", self.kind.id_format)
        why = take_reason(payload)
        require_own_id(payload, id)
        if partial:
            payload = {**self.kind.editable(stored.body), **payload}
        form = checked(self.kind.form, payload, stored.body)
        return await self._save(call, id, stored, form, "update", why)

    async def _save(
        self, call: CmsRequest, id: str, stored: Document | None, form: Form, action: str, why: str | None
    ) -> Document:
        author = call.author(why)
        known = without_tombstone(stored)
        body = self.kind.to_document(id, form, call.now, author.who, known.body if known else None)
        return await self.flow.write(call.tenant_id, self.kind.name, id, action, stored, body, author)


# ---- drafts


class Drafts:
    """Drafts: documents prepared next to the live ones, and published unless the live one has changed meanwhile.

    `kind` names the live document in messages. A draft's id is `draft:` followed by the live document's id.
    """

    def __init__(self, flow: DocumentFlow, kind: str) -> None:
        self._flow = flow
        self._kind = kind

    async def read(self, tenant_id: str, live_id: str) -> Document | None:
        return await self._flow.read(tenant_id, _draft_id(live_id))

    async def require(self, tenant_id: str, live_id: str) -> Document:
        """Read a draft. Raises a 404 `Problem` if there is none."""
        return await self._flow.require(tenant_id, _draft_id(live_id), "draft")

    async def list(self, tenant_id: str, live_prefix: str) -> list[Document]:
        return await self._flow.list(tenant_id, _draft_id(live_prefix))

    async def save(
        self, call: CmsRequest, live_id: str, name: str, kept: Document | None, live: Document | None, content: Json
    ) -> Document:
        """Save a draft of the document `live`, replacing the draft `kept`. The caller has checked `If-Match`."""
        body = {
            "id": _draft_id(live_id),
            "kind": "draft",
            **content,
            "basedOn": bare(live.etag) if live else None,
        }
        return await self._flow.write(
            call.tenant_id, f"{self._kind} draft", name, "save_draft", kept, body, call.author()
        )

    def require_match(self, call: CmsRequest, kept: Document | None) -> None:
        """Raise a `Problem` unless `If-Match` names the stored draft: 400 if it is missing, 412 if it is stale.

        If there is no draft, any `If-Match` is stale.
        """
        if kept is None:
            require_match_if_given(call, None)
        else:
            require_match(call, kept)

    async def drop(self, call: CmsRequest, kept: Document, name: str) -> None:
        """Delete a draft; the audit keeps its content. Raises a 412 `Problem` if it was saved meanwhile."""
        change = Change(self._flow.container, call.tenant_id, f"{self._kind} draft", name, "drop_draft", kept, None)
        operations: list[Operation] = [Delete(kept.id, kept.etag), Create(audit_entry(change, call.author()))]
        try:
            await self._flow.store.write(self._flow.container, call.tenant_id, operations)
        except WriteRejected as refusal:
            raise etag_mismatch() from refusal

    def is_outdated(self, kept: Document, live: Document | None) -> bool:
        """Return whether the live document has changed since the draft was saved."""
        return kept.body.get("basedOn") != (bare(live.etag) if live else None)

    def require_current(self, kept: Document, live: Document | None) -> None:
        """Raise a 412 `Problem` if the draft is outdated."""
        if self.is_outdated(kept, live):
            raise Problem(
                412,
                "draft_outdated",
                f"The {self._kind} changed after this draft was started. Check the draft, then save it again.",
            )

    def dropping(self, kept: Document) -> tuple[Operation, ...]:
        """Return the operation that deletes the draft; publishing writes it with the live document."""
        return (Delete(kept.id, kept.etag),)


def _draft_id(live_id: str) -> str:
    return f"draft:{live_id}"
