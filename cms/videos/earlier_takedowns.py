"""Finds out which status a video had before a takedown by a release that did not remember it."""

from __future__ import annotations

from cms.changes import AUDIT_PREFIX
from cms.videos.takedowns import ACTIVE, INACTIVE, TAKEN_DOWN
from shared.adapters.documents.port import Container, DocumentStore

MAX_ENTRIES = 5_000
"""Entries of the history that are looked through, the newest first."""
ENTRIES_A_PAGE = 200


async def status_before_takedown(store: DocumentStore, container: Container, tenant_id: str, id: str) -> str | None:
    """The status that the latest takedown in the history replaced; None when the history does not know."""
    after: str | None = None
    for _ in range(MAX_ENTRIES // ENTRIES_A_PAGE):
        page = await store.query(container, tenant_id, id_prefix=AUDIT_PREFIX, after=after, limit=ENTRIES_A_PAGE)
        for entry in page.documents:
            if entry.body.get("documentId") == id and (entry.body.get("after") or {}).get("status") == TAKEN_DOWN:
                status = (entry.body.get("before") or {}).get("status")
                if status in (ACTIVE, INACTIVE):
                    return str(status)
        after = page.next
        if after is None:
            break
    return None
