"""What nobody may see any more leaves the disk: expired documents, and archived events by day 90.

In Azure the containers' time to live and a lifecycle rule of the storage account do this.
"""

from __future__ import annotations

from events.archive import is_due
from shared.blobs.port import ARCHIVE
from shared.services import Services
from shared.stores.sqlite import SqliteStore


async def purge_expired(services: Services) -> tuple[int, int]:
    """Remove what is past its time; how many documents and how many blobs went."""
    documents = 0
    purge = getattr(services.documents, SqliteStore.purge.__name__, None)
    while purge is not None and (gone := await purge()):
        documents += gone
    due = [blob.name async for blob in services.blobs.list(ARCHIVE) if is_due(blob.name, services.clock())]
    for name in due:
        await services.blobs.delete(ARCHIVE, name)
    return documents, len(due)
