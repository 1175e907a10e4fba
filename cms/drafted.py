"""Drafts of named documents: read, save, delete, publish. `NamedDocuments` handles the live ones."""

from __future__ import annotations

from typing import Generic, TypeVar

from cms.documents import (
    DocumentFlow,
    Drafts,
    Kind,
    reason_of,
    require_match,
    require_own_id,
)
from cms.forms import Form, checked
from cms.request import CmsRequest
from shared.adapters.documents.port import Document

F = TypeVar("F", bound=Form)


class DraftedDocuments(Generic[F]):
    """Drafts of one kind of document. A stored draft holds the document in a field named after its kind."""

    def __init__(self, flow: DocumentFlow, kind: Kind[F]) -> None:
        self._flow = flow
        self._kind = kind
        self._drafts = Drafts(flow, kind.name)

    async def by_live_id(self, tenant_id: str) -> dict[str, Document]:
        """Read every draft, by the id of its live document, which need not exist."""
        found = await self._drafts.list(tenant_id, self._kind.prefix)
        return {each.id.removeprefix("draft:"): each for each in found}

    async def get(self, call: CmsRequest) -> Document:
        """Read the draft in the path. Raises a 404 `Problem`."""
        return await self._drafts.require(call.tenant_id, self._kind.document_id(call.path("id", self._kind.id_format)))

    async def save(self, call: CmsRequest) -> Document:
        """Save the draft, replacing the one that `If-Match` names; the first one needs no `If-Match`."""
        kind, id = self._kind, call.path("id", self._kind.id_format)
        live_id = kind.document_id(id)
        kept = await self._drafts.read(call.tenant_id, live_id)
        self._drafts.require_match(call, kept)
        payload = call.body()
        require_own_id(payload, id)
        form = checked(kind.new_form, {**payload, "id": id}, kept.body[kind.name] if kept else None)
        live = await self._flow.read(call.tenant_id, live_id)
        content = {kind.name: kind.to_document(id, form, call.now, call.author().who, None)}
        return await self._drafts.save(call, live_id, id, kept, live, content)

    async def drop(self, call: CmsRequest) -> None:
        """Delete the draft that `If-Match` names."""
        kept = await self.get(call)
        require_match(call, kept)
        await self._drafts.drop(call, kept, call.path("id", self._kind.id_format))

    async def publish(self, call: CmsRequest) -> Document:
        """Make the draft that `If-Match` names live, unless the live document has changed since."""
        kind, id = self._kind, call.path("id", self._kind.id_format)
        kept = await self.get(call)
        require_match(call, kept)
        stored = await self._flow.stored(call.tenant_id, kind.document_id(id))
        live = await self._flow.read(call.tenant_id, kind.document_id(id)) if stored else None
        self._drafts.require_current(kept, live)
        author = call.author(reason_of(call.optional_body()))
        body = {**kept.body[kind.name], "updatedAt": call.now, "updatedBy": author.who}
        return await self._flow.write(
            call.tenant_id, kind.name, id, "publish", stored, body, author, self._drafts.dropping(kept)
        )
