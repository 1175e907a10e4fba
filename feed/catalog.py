"""A tenant's content in memory: columns for ranking, each video's JSON ready to send, and its statistics.

Loaded completely on a tenant's first request (once for concurrent requests), then kept up to date from the change feed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import NamedTuple, Protocol

import orjson

from ranking.catalog_stats import CatalogStats
from ranking.columns import VideoColumns
from ranking.stats import STATS_PREFIX, StatsTable, UnreadableStats, merged
from ranking.table_file import Tables
from ranking.unreadable_table import UnreadableTable
from shared.adapters.blobs.port import TABLES, Blobs, BlobsError, BlobsUnavailable
from shared.adapters.documents.port import (
    FROM_NOW,
    VIDEO_STATS,
    VIDEOS,
    Container,
    Document,
    DocumentStore,
    Json,
    StoreRefused,
    StoreUnavailable,
    query_all,
)
from shared.adapters.refresh import Refresher
from shared.adapters.retry import with_timeout
from shared.domain.cowatch_pointer import POINTER_ID, blob_of
from shared.domain.player_media import EMPTY, NO_MEDIA, PlayerMedia
from shared.domain.records import AFTER_VIDEOS, Video
from shared.observability.metrics import Telemetry
from shared.settings import Settings

SLICE = 50
"""Documents applied before the event loop continues: a few milliseconds."""
VIDEOS_A_PAGE = 200
STALE_SECONDS = 30.0
"""If content is older, a request waits for one refresh: the process was probably suspended."""


class _Entry(NamedTuple):
    """A video as a catalog stores it."""

    video: Video
    item: bytes
    included: dict[str, bytes]


class Catalog:
    """One tenant's videos and statistics.

    `items[row]` is the video's JSON without its closing brace. `digests[row]` is eight bytes that change with the
    video. `included[row]` has the members of `INCLUDES` as they are added to an item on request; it has only rows of
    videos that have such members.
    """

    def __init__(self, tenant_id: str = "", telemetry: Telemetry | None = None) -> None:
        self.tenant_id = tenant_id
        self._telemetry = telemetry or Telemetry()
        self._unreadable = self._telemetry.unreadable
        self.columns = VideoColumns()
        self.items: list[bytes] = []
        self.digests: list[bytes] = []
        self.included: dict[int, dict[str, bytes]] = {}
        self.stats = CatalogStats(self.columns)
        self._shards: dict[str, StatsTable] = {}
        self._overtaken: set[str] = set()
        self._adding_up = asyncio.Lock()

    def apply(self, document: Document) -> None:
        """Apply one video document: new, changed, taken down or deleted. An unreadable video is removed, even if an
        older version was readable: the new one could forbid showing it."""
        body = document.body
        if body and body.get("kind") != "video":
            return
        try:
            if body.get("deleted"):
                self.columns.remove(document.id)
            else:
                self._put(body)
        except Exception:  # a damaged body must only affect this video
            self.columns.remove(document.id)
            self._unreadable.found(VIDEOS.name, document.partition, document.id)
            return
        if self._unreadable:
            self._unreadable.readable(VIDEOS.name, document.partition, document.id)

    def apply_all(self, documents: Sequence[Document]) -> None:
        """Apply several documents of different videos, at a fraction of the cost."""
        entries: list[_Entry] = []
        for document in documents:
            body = document.body
            if not self._unreadable and body.get("kind") == "video" and not body.get("deleted"):
                with contextlib.suppress(Exception):  # a damaged body must only affect this video
                    entries.append(self._entry(body))
                    continue
            self.apply(document)
        try:
            self._put_all(entries)
        except Exception:  # a video that the columns cannot store
            for document in documents:
                self.apply(document)

    def _put(self, body: Json) -> None:
        self._put_all([self._entry(body)])

    def _entry(self, body: Json) -> _Entry:
        video = Video.from_document(body)
        if not video.playback_url:  # strict clients refuse a whole page with one invalid link
            self._telemetry.count("unreadable_links", "playback")
            video = replace(video, active=False)
        if body.get("thumbnailUrl") and video.thumbnail_url is None:
            self._telemetry.count("unreadable_links", "thumbnail")
        return _Entry(video, _item_json(video), _included_json(video.media) if video.media is not NO_MEDIA else {})

    def _put_all(self, entries: Sequence[_Entry]) -> None:
        rows = self.columns.upsert_all([entry.video for entry in entries])
        missing = len(self.columns) - len(self.items)
        self.items += [b""] * missing
        self.digests += [b""] * missing
        for row, (_, item, included) in zip(rows, entries, strict=True):
            self.items[row] = item
            self.digests[row] = blake2b(item + b"".join(included.values()), digest_size=8).digest()
            if included:
                self.included[row] = included
            else:
                self.included.pop(row, None)

    def apply_change(self, document: Document) -> None:
        """Apply one video from the change feed, which is newer than the results of a running query."""
        self._overtaken.add(document.id)
        self.apply(document)

    def apply_queried(self, documents: Sequence[Document]) -> None:
        """Apply videos of the first load, except those that the change feed has changed since."""
        self.apply_all([document for document in documents if document.id not in self._overtaken])

    def end_of_load(self) -> None:
        """End the first load. From now on every document comes from the change feed."""
        self._overtaken.clear()

    async def apply_stats(self, documents: Iterable[Document]) -> None:
        """Apply the statistics of some shards. They are unpacked and summed in a thread."""
        async with self._adding_up:
            await self._add_up(documents)

    async def apply_stats_change(self, documents: Sequence[Document]) -> None:
        """Apply statistics from the change feed, which are newer than the results of a running query."""
        self._overtaken.update(document.id for document in documents)
        await self.apply_stats(documents)

    async def apply_queried_stats(self, documents: Sequence[Document]) -> None:
        """Apply the statistics of the first load, except those that the change feed has changed since."""
        async with self._adding_up:
            await self._add_up(self.not_overtaken(documents))

    def not_overtaken(self, documents: Sequence[Document]) -> list[Document]:
        """Return the documents of the first load that the change feed has not changed since."""
        return [document for document in documents if document.id not in self._overtaken]

    async def _add_up(self, documents: Iterable[Document]) -> None:
        packed = {d.id: d.body.get("packed") for d in documents if d.body.get("kind") == "stats"}
        if packed:
            self._shards, total = await asyncio.to_thread(_unpacked, self._shards, packed)
            self.stats.replace(total)

    async def use_tables(self, content: bytes) -> None:
        """Load a nightly file. Raises `UnreadableTable`."""
        self.stats.use_tables(await asyncio.to_thread(Tables.from_bytes, content))


def _unpacked(shards: dict[str, StatsTable], bodies: dict[str, object]) -> tuple[dict[str, StatsTable], StatsTable]:
    shards = dict(shards)
    for id, packed in bodies.items():
        try:
            shards[id] = StatsTable.unpack(packed if isinstance(packed, str) else "")
        except UnreadableStats:
            continue  # a newer release's format: keep the old statistics until this instance is replaced too
    return shards, merged(shards.values())


def _item_json(video: Video) -> bytes:
    return orjson.dumps(
        {
            "videoId": video.id,
            "playbackUrl": video.playback_url,
            "thumbnailUrl": video.thumbnail_url,
            "title": video.title,
            "mainTag": video.category,
            "tags": list(video.tags),
            "durationSeconds": video.duration_seconds,
            "maturityRating": video.maturity_rating,
            **video.media.shown(),
            **video.place.shown(),
        }
    )[:-1]


def _member(name: str, value: object) -> bytes:
    return b",%b" % orjson.dumps({name: value})[1:-1]


NOTHING_INCLUDED = {name: _member(name, value) for name, value in EMPTY.items()}
"""The requested members of an item whose video has none."""


def _included_json(media: PlayerMedia) -> dict[str, bytes]:
    """Return the parts of a video that a page can include; {} if it has none."""
    found = {name: value for name, value in media.included().items() if value}
    return {name: _member(name, value) for name, value in found.items()}


async def stored_videos(documents: DocumentStore, tenant_id: str) -> list[Document]:
    """Read every video of a tenant. In id order, other documents of the partition come after the videos and are not
    read."""
    found: list[Document] = []
    after: str | None = None
    while True:
        page = await documents.query(VIDEOS, tenant_id, after=after, limit=VIDEOS_A_PAGE)
        found += [document for document in page.documents if not document.id.startswith(AFTER_VIDEOS)]
        if page.next is None or page.next.startswith(AFTER_VIDEOS):
            return found
        after = page.next


async def _stored_statistics(documents: DocumentStore, tenant_id: str) -> list[Document]:
    """Read the shards of a tenant's statistics and the pointer to its nightly file. The partition has more
    documents."""
    shards = await query_all(documents, VIDEO_STATS, tenant_id, STATS_PREFIX)
    pointer = await documents.read(VIDEO_STATS, tenant_id, POINTER_ID)
    return [*shards, pointer] if pointer else shards


class Follower(Protocol):
    """Keeps videos in another form, and gets changes from `Catalogs`, which reads the change feed anyway."""

    def holds(self, tenant_id: str) -> bool:
        """Tell whether a change of this tenant's videos matters to it."""
        ...

    def apply(self, document: Document) -> None:
        """Apply one changed document of the container `videos`, of any tenant. Must not raise."""
        ...

    def forget(self, tenant_id: str) -> None:
        """Drop the data of a removed tenant."""
        ...


class Catalogs:
    """The catalogs of the tenants that this process serves. `clock` gives seconds and never goes back."""

    def __init__(
        self,
        documents: DocumentStore,
        blobs: Blobs,
        settings: Settings,
        telemetry: Telemetry,
        clock: Callable[[], float],
    ) -> None:
        self._documents = documents
        self._blobs = blobs
        self._settings = settings
        self._telemetry = telemetry
        self._catalogs: OrderedDict[str, Catalog] = OrderedDict()
        self._applying: dict[str, Catalog] = {}
        self._loads: dict[str, asyncio.Task[Catalog]] = {}
        self._tokens: dict[Container, str] = {}
        self._beginning = asyncio.Lock()
        self._followers: list[Follower] = []
        self._refresher = Refresher("content", self._pull, settings.content_refresh_seconds, clock, telemetry)

    def age(self) -> float | None:
        """Return how many seconds ago content was known to be current; None before the first pull."""
        return self._refresher.age()

    async def get(self, tenant_id: str) -> Catalog:
        """Return a tenant's catalog, loaded on its first request. Raises `StoreUnavailable` when loading fails or takes
        too long.

        A loaded catalog is served however old it is; the response contains its age.
        """
        settings = self._settings
        catalog = self._catalogs.get(tenant_id)
        if catalog is not None:
            self._catalogs.move_to_end(tenant_id)
            await self._refresher.ensure_fresh(STALE_SECONDS, settings.signals_budget_ms / 1000)
            return catalog
        load = self._loads.get(tenant_id)
        if load is None:
            load = self._loads[tenant_id] = asyncio.create_task(self._load(tenant_id))
            load.add_done_callback(lambda _: self._loads.pop(tenant_id, None))
        try:
            return await with_timeout(settings.catalog_budget_ms / 1000, asyncio.shield(load), StoreUnavailable)
        except StoreRefused as error:  # the request did not cause this read: report the store as down
            raise StoreUnavailable(str(error)) from error

    def follow(self, follower: Follower) -> None:
        """Add a follower, which gets every change from now on. It must call `begin` before it reads stored videos."""
        self._followers.append(follower)

    async def refresh(self) -> bool:
        """Pull changes now."""
        return await self._refresher.refresh()

    async def refresh_if_loaded(self, tenant_id: str) -> None:
        """Pull changes now if this process holds the tenant. Otherwise its first load reads what is stored anyway."""
        if tenant_id in self._catalogs or any(each.holds(tenant_id) for each in self._followers):
            await self._refresher.refresh()

    def forget(self, tenant_id: str) -> None:
        """Drop a removed tenant: the change feed does not show deletes."""
        self._catalogs.pop(tenant_id, None)
        for follower in self._followers:
            follower.forget(tenant_id)

    async def close(self) -> None:
        """Stop pulling."""
        await self._refresher.stop()

    async def _load(self, tenant_id: str) -> Catalog:
        await self.begin()
        documents = self._documents
        catalog = self._applying[tenant_id] = Catalog(tenant_id, self._telemetry)
        try:
            videos = await stored_videos(documents, tenant_id)
            statistics = await _stored_statistics(documents, tenant_id)
            for start in range(0, len(videos), SLICE):
                catalog.apply_queried(videos[start : start + SLICE])
                await asyncio.sleep(0)
            await catalog.apply_queried_stats(statistics)
            await self._take_tables(catalog, catalog.not_overtaken(statistics))
            catalog.end_of_load()
            self._catalogs[tenant_id] = catalog
            self._evict()
        finally:
            del self._applying[tenant_id]
        return catalog

    def _evict(self) -> None:
        """Drop the least recently requested tenants while more videos are held than `videos_in_memory`."""
        held = sum(len(catalog.columns) for catalog in self._catalogs.values())
        while held > self._settings.videos_in_memory and len(self._catalogs) > 1:
            _, idle = self._catalogs.popitem(last=False)
            held -= len(idle.columns)
            self._telemetry.count("catalogs_evicted")

    async def begin(self) -> None:
        """Before the first load: find the position in the change feeds after which no change is missed."""
        async with self._beginning:
            for container in (VIDEOS, VIDEO_STATS):
                if container not in self._tokens:
                    found = await self._documents.changes(container, FROM_NOW)
                    self._tokens[container] = found.token
            if self._refresher.refreshed_at is None:
                await self._refresher.refresh()
                self._refresher.start()

    async def _pull(self) -> None:
        async for document in self._changed(VIDEOS):
            for follower in self._followers:
                follower.apply(document)
            for catalogs in (self._catalogs, self._applying):
                catalog = catalogs.get(document.partition)
                if catalog is not None:
                    catalog.apply_change(document) if catalogs is self._applying else catalog.apply(document)
        statistics: dict[str, list[Document]] = {}
        async for document in self._changed(VIDEO_STATS):
            statistics.setdefault(document.partition, []).append(document)
        for tenant_id, documents in statistics.items():
            if (loading := self._applying.get(tenant_id)) is not None:
                await loading.apply_stats_change(documents)
                await self._take_tables(loading, documents)
            if (loaded := self._catalogs.get(tenant_id)) is not None:
                await loaded.apply_stats(documents)
                await self._take_tables(loaded, documents)

    async def _take_tables(self, catalog: Catalog, documents: Sequence[Document]) -> None:
        """Load the nightly file that one of the documents points to, if any.

        Without the file a catalog ranks as before: a missing or damaged file is only counted.
        """
        blob = next((name for document in documents if (name := blob_of(document.body)) is not None), None)
        if blob is None:
            return
        try:
            content = await self._blobs.read(TABLES, blob)
            if content is None:
                raise BlobsUnavailable("the file is not there")
            await catalog.use_tables(content)
        except (BlobsError, UnreadableTable):
            self._telemetry.count("refresh_failures", "cowatch")

    async def _changed(self, container: Container) -> AsyncIterator[Document]:
        """Documents written since the last pull. Yields to the event loop every `SLICE` documents."""
        while True:
            changes = await self._documents.changes(container, self._tokens[container])
            for at, document in enumerate(changes.documents):
                yield document
                if at % SLICE == SLICE - 1:
                    await asyncio.sleep(0)
            self._tokens[container] = changes.token
            if not changes.more:
                return
