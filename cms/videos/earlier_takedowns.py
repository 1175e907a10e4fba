"""Finds the status before a takedown in the audit, for takedowns by earlier releases that did not store it."""

from __future__ import annotations

from cms.changes import AUDIT_PREFIX
from cms.videos.takedowns import ACTIVE, INACTIVE, TAKEN_DOWN
from shared.adapters.documents.port import Container, DocumentStore

MAX_ENTRIES = 5_000
"""Audit entries that are searched, the newest first."""
ENTRIES_A_PAGE = 200


async def status_before_takedown(store: DocumentStore, container: Container, tenant_id: str, id: str) -> str | None:
    """Return the status that the video's latest takedown in the audit replaced; None if the audit has none."""
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
