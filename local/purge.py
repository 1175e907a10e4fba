"""Daily purge of the local host: deletes expired documents, archived events from day 90 on, and abandoned uploads.

In Azure the containers' time to live and lifecycle rules of the storage account do this.
"""

from __future__ import annotations

from bootstrap import Services
from events.archive import is_due
from shared.adapters.blobs.port import ARCHIVE, UPLOAD_DAYS, UPLOADS
from shared.adapters.documents.port import DAY_SECONDS
from shared.adapters.documents.sqlite import SqliteStore


async def purge_expired(services: Services) -> tuple[int, int]:
    """Remove what is past its time; how many documents and how many blobs went."""
    documents = 0
    purge = getattr(services.documents, SqliteStore.purge.__name__, None)
    while purge is not None and (gone := await purge()):
        documents += gone
    now = services.clock()
    due = [(ARCHIVE, blob.name) async for blob in services.blobs.list(ARCHIVE) if is_due(blob.name, now)]
    forgotten = now - UPLOAD_DAYS * DAY_SECONDS
    due += [(UPLOADS, blob.name) async for blob in services.blobs.list(UPLOADS) if blob.modified_at < forgotten]
    for container, name in due:
        await services.blobs.delete(container, name)
    return documents, len(due)
