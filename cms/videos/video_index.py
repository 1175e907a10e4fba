"""Every video of a tenant that editors can see, in memory, for search and lists.

Loaded whole from the store when a tenant's list is first asked for, then kept true by the changes that the catalogs
read anyway. Bounded: what nobody asks for goes, and so does what is too old to be trusted blindly.
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
"""How long a call waits for a tenant's first load, which goes on without it."""
VIDEOS_HELD = 150_000
"""Of all tenants together, about 1 kB each; one tenant alone may have more."""
IDLE_SECONDS = 3_600.0
"""A tenant that nobody asked for so long is let go of."""
MAX_AGE_SECONDS = 86_400.0
"""So long after its load a tenant is loaded again: the store forgets expired videos without telling."""
SLICE = 100
"""Documents taken in before the event loop gets its turn."""


class _Index:
    """One tenant's videos by id. `overtaken` are ids that changed while they were loaded."""

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
    """The indexes of the tenants whose editors this process serves. `clock` gives seconds and never goes back."""

    def __init__(self, documents: DocumentStore, catalogs: Catalogs, clock: Callable[[], float]) -> None:
        self._documents = documents
        self._catalogs = catalogs
        self._clock = clock
        self._indexes: OrderedDict[str, _Index] = OrderedDict()
        self._loading: dict[str, _Index] = {}
        self._loads: dict[str, asyncio.Task[None]] = {}
        catalogs.follow(self)

    async def get(self, tenant_id: str) -> Collection[IndexedVideo]:
        """A tenant's videos, in no order; do not keep them across a wait. Raises `StoreUnavailable`."""
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
            except StoreRefused as error:  # of reads that no caller chose: to whoever asks, the store is down
                raise StoreUnavailable(str(error)) from error
            index = self._indexes.get(tenant_id)
            if index is None:  # the tenant was removed meanwhile
                return ()
        index.used_at = now
        self._indexes.move_to_end(tenant_id)
        self._evict(now)
        return index.rows.values()

    # ---- what the catalogs tell

    def holds(self, tenant_id: str) -> bool:
        """Whether a tenant is held, or being loaded."""
        return tenant_id in self._indexes or tenant_id in self._loading

    def apply(self, document: Document) -> None:
        """Take in one document as it is now, of whatever tenant."""
        if (loading := self._loading.get(document.partition)) is not None:
            loading.overtaken.add(document.id)
            loading.apply(document)
        if (held := self._indexes.get(document.partition)) is not None:
            held.apply(document)

    def row(self, tenant_id: str, id: str) -> IndexedVideo | None:
        """A tenant's video as it is held now."""
        held = self._indexes.get(tenant_id)
        return None if held is None else held.rows.get(id)

    def learn(self, tenant_id: str, seen: IndexedVideo | None, stored: Document | None) -> IndexedVideo | None:
        """Take in what the store has, None: nothing, in place of a row, unless a change that came meanwhile is newer.

        Returns what is stored as a row, None where it is no video.
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
        """Let go of a tenant that is removed."""
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
    except Exception:  # whatever a body holds, it concerns this one video, which nobody can read
        return None
