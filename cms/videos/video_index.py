"""In-memory index of all videos that a tenant's editors can see, for search and lists.

It is loaded from the store when a tenant's list is first requested, then updated by the changes that the catalogs read
anyway. Memory is bounded: unused tenants are evicted. An index older than a day is loaded again.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Collection

from cms.videos.video_search import IndexedVideo
from feed.catalog import Catalogs, stored_videos
from shared.adapters.documents.port import Document, DocumentStore, StoreRefused, StoreUnavailable
from shared.adapters.retry import with_timeout

LOAD_SECONDS = 20.0
"""How long a call waits for a tenant's first load. The load continues after that."""
VIDEOS_HELD = 150_000
"""Videos of all tenants in memory, about 1 kB each. A single tenant can have more."""
IDLE_SECONDS = 3_600.0
"""A tenant without requests for this long is evicted."""
MAX_AGE_SECONDS = 86_400.0
"""Age at which an index is loaded again, because the store deletes expired videos without a change event."""
SLICE = 100
"""Documents applied before yielding to the event loop."""


class _Index:
    """One tenant's videos by id. `overtaken`: ids that changed during the load."""

    def __init__(self, now: float) -> None:
        self.rows: dict[str, IndexedVideo] = {}
        self.overtaken: set[str] = set()
        self.loaded_at = self.used_at = now

    def apply(self, document: Document) -> None:
        row = _row(document)
        if row is None:
            self.rows.pop(document.id, None)
        else:
            self.rows[row.id] = row


class VideoIndexes:
    """Indexes of the tenants whose editors this process serves. `clock` gives seconds and never goes back."""

    def __init__(self, documents: DocumentStore, catalogs: Catalogs, clock: Callable[[], float]) -> None:
        self._documents = documents
        self._catalogs = catalogs
        self._clock = clock
        self._indexes: OrderedDict[str, _Index] = OrderedDict()
        self._loading: dict[str, _Index] = {}
        self._loads: dict[str, asyncio.Task[None]] = {}
        catalogs.follow(self)

    async def get(self, tenant_id: str) -> Collection[IndexedVideo]:
        """Return a tenant's videos, unordered. Do not keep them across an await. Raises `StoreUnavailable`."""
        now = self._clock()
        index = self._indexes.get(tenant_id)
        if index is not None and now - index.loaded_at > MAX_AGE_SECONDS:
            del self._indexes[tenant_id]
            index = None
        if index is None:
            load = self._loads.get(tenant_id)
            if load is None:
                load = self._loads[tenant_id] = asyncio.create_task(self._load(tenant_id))
                load.add_done_callback(lambda _: self._loads.pop(tenant_id, None))
            try:
                await with_timeout(LOAD_SECONDS, asyncio.shield(load), StoreUnavailable)
            except StoreRefused as error:  # the caller did not choose these reads, so report an outage
                raise StoreUnavailable(str(error)) from error
            index = self._indexes.get(tenant_id)
            if index is None:  # the tenant was removed meanwhile
                return ()
        index.used_at = now
        self._indexes.move_to_end(tenant_id)
        self._evict(now)
        return index.rows.values()

    # ---- changes from the catalogs

    def holds(self, tenant_id: str) -> bool:
        """Return whether a tenant is in memory or being loaded."""
        return tenant_id in self._indexes or tenant_id in self._loading

    def apply(self, document: Document) -> None:
        """Apply the current version of a document of any tenant."""
        if (loading := self._loading.get(document.partition)) is not None:
            loading.overtaken.add(document.id)
            loading.apply(document)
        if (held := self._indexes.get(document.partition)) is not None:
            held.apply(document)

    def row(self, tenant_id: str, id: str) -> IndexedVideo | None:
        """Return a tenant's video in memory."""
        held = self._indexes.get(tenant_id)
        return None if held is None else held.rows.get(id)

    def learn(self, tenant_id: str, seen: IndexedVideo | None, stored: Document | None) -> IndexedVideo | None:
        """Replace the row `seen` by the stored document (None: deleted), unless a newer change has replaced it already.

        Returns the stored document as a row; None if it is not a video.
        """
        row = None if stored is None else _row(stored)
        held = self._indexes.get(tenant_id)
        if held is not None and seen is not None and held.rows.get(seen.id) is seen:
            if row is None:
                del held.rows[seen.id]
            else:
                held.rows[seen.id] = row
        return row

    def forget(self, tenant_id: str) -> None:
        """Drop a removed tenant from memory."""
        self._indexes.pop(tenant_id, None)

    async def _load(self, tenant_id: str) -> None:
        await self._catalogs.begin()
        index = self._loading[tenant_id] = _Index(self._clock())
        try:
            found = await stored_videos(self._documents, tenant_id)
            for at, document in enumerate(found):
                if document.id not in index.overtaken:
                    index.apply(document)
                if at % SLICE == SLICE - 1:
                    await asyncio.sleep(0)
            index.overtaken.clear()
            self._indexes[tenant_id] = index
        finally:
            del self._loading[tenant_id]

    def _evict(self, now: float) -> None:
        held = sum(len(index.rows) for index in self._indexes.values())
        while len(self._indexes) > 1:
            tenant_id, oldest = next(iter(self._indexes.items()))
            if held <= VIDEOS_HELD and now - oldest.used_at <= IDLE_SECONDS:
                return
            held -= len(oldest.rows)
            del self._indexes[tenant_id]


def _row(document: Document) -> IndexedVideo | None:
    try:
        return IndexedVideo.from_document(document)
    except Exception:  # a damaged document must not affect other videos
        return None
