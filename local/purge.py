"""Daily purge of the local host: deletes expired documents, archived events after 90 days, and abandoned uploads.

On Azure, the containers' time to live and the storage account's lifecycle rules do this.
"""

from __future__ import annotations

from bootstrap import App
from events.archive import is_due
from events.sample import is_sample_due
from media.tickets import MEDIA_DAYS
from shared.adapters.blobs.port import (
    ARCHIVE,
    MEDIA,
    QUARANTINE,
    QUARANTINE_DAYS,
    SAMPLES,
    UPLOAD_DAYS,
    UPLOADS,
)
from shared.adapters.documents.port import DAY_SECONDS
from shared.adapters.documents.sqlite import SqliteStore


async def purge_expired(app: App) -> tuple[int, int]:
    """Delete expired documents and blobs. Return the number of each."""
    documents = 0
    purge = getattr(app.documents, SqliteStore.purge.__name__, None)
    while purge is not None and (gone := await purge()):
        documents += gone
    now = app.clock()
    due = [(ARCHIVE, blob.name) async for blob in app.blobs.list(ARCHIVE) if is_due(blob.name, now)]
    due += [(SAMPLES, blob.name) async for blob in app.blobs.list(SAMPLES) if is_sample_due(blob.name, now)]
    forgotten = now - UPLOAD_DAYS * DAY_SECONDS
    due += [(UPLOADS, blob.name) async for blob in app.blobs.list(UPLOADS) if blob.modified_at < forgotten]
    for container, name in due:
        await app.blobs.delete(container, name)
    return documents, len(due) + await _purge_media(app, now)


async def _purge_media(app: App, now: float) -> int:
    if app.media is None:
        return 0
    kept = ((QUARANTINE, QUARANTINE_DAYS), (MEDIA, MEDIA_DAYS))
    due = [
        (container, blob.name)
        for container, days in kept
        async for blob in app.media.list(container)
        if blob.modified_at < now - days * DAY_SECONDS
    ]
    for container, name in due:
        await app.media.delete(container, name)
    return len(due)
