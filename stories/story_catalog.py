"""In-memory stories of the tenants this process serves, loaded on a tenant's first request, then kept by change feed.

Stories live at most 48 hours, so a tenant has few. They are not copied to followers (no fan-out on write): a post costs
one write, even for an author with millions of followers. Before the first request about stories nothing is loaded and
no change feed is read.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from shared.adapters.documents.port import (
    FROM_NOW,
    STORIES,
    Document,
    DocumentStore,
    StoreRefused,
    StoreUnavailable,
    query_all,
)
from shared.adapters.refresh import Refresher
from shared.adapters.retry import with_timeout
from shared.domain.records import MAX_STORY_HOURS
from shared.observability.metrics import Telemetry
from shared.settings import Settings
from stories.story import HOUR_SECONDS, STORY_ID, Story, bucket_of, buckets_between
from stories.story_columns import StoryColumns
from stories.story_totals import TOTALS, StoryTotals

MAX_STORIES = 100_000
"""Active stories of one tenant, about 100 MB; further posts are refused."""
STORIES_IN_MEMORY = 400_000
"""Stories of all tenants together; above that, the tenants not read for longest are evicted."""
BUCKETS_AT_ONCE = 16
SLICE = 200
"""Documents applied before yielding to the event loop."""
STALE_SECONDS = 30.0


class StoryCatalogs:
    """Story columns by tenant. `clock` gives seconds since the epoch, `elapsed` seconds that never go back."""

    def __init__(
        self,
        documents: DocumentStore,
        settings: Settings,
        telemetry: Telemetry,
        clock: Callable[[], float],
        elapsed: Callable[[], float],
    ) -> None:
        self._documents = documents
        self._settings = settings
        self._clock = clock
        self._telemetry = telemetry
        self._columns: OrderedDict[str, StoryColumns] = OrderedDict()
        self._loads: dict[str, asyncio.Task[StoryColumns]] = {}
        self._loading: dict[str, dict[str, Story | StoryTotals]] = {}
        self._token: str | None = None
        self._beginning = asyncio.Lock()
        self._elapsed = elapsed
        self._refresher: Refresher | None = None

    def age(self) -> float | None:
        """Return the seconds since the last successful pull of changes; None before the first."""
        return None if self._refresher is None else self._refresher.age()

    async def get(self, tenant_id: str) -> StoryColumns:
        """Return a tenant's stories. Raises `StoreUnavailable` if the first load does not finish in time.

        Stories that are loaded are served however old they are.
        """
        columns = self._columns.get(tenant_id)
        if columns is not None and self._refresher is not None:
            self._columns.move_to_end(tenant_id)
            await self._refresher.ensure_fresh(STALE_SECONDS, self._settings.signals_budget_ms / 1000)
            return columns
        load = self._loads.get(tenant_id)
        if load is None:
            load = self._loads[tenant_id] = asyncio.create_task(self._load(tenant_id))
            load.add_done_callback(lambda _: self._loads.pop(tenant_id, None))
        try:
            return await with_timeout(self._settings.catalog_budget_ms / 1000, asyncio.shield(load), StoreUnavailable)
        except StoreRefused as error:
            raise StoreUnavailable(str(error)) from error

    async def find(self, tenant_id: str, story_id: str) -> Story | None:
        """Return one story; reads the store for one that this process does not have yet."""
        columns = await self.get(tenant_id)
        if not STORY_ID.matches(story_id):
            return None
        return columns.get(story_id) or await self.stored(tenant_id, story_id)

    async def stored(self, tenant_id: str, story_id: str) -> Story | None:
        """Read one story from the store."""
        document = await self._documents.read(STORIES, bucket_of(tenant_id, story_id), story_id, latest=True)
        return None if document is None else Story.from_document(document.body)

    def apply(self, tenant_id: str, story: Story | StoryTotals) -> None:
        """Apply a story or totals that this process has just written or pulled."""
        if (columns := self._columns.get(tenant_id)) is not None:
            _put(columns, story)
        if (loading := self._loading.get(tenant_id)) is not None:
            loading[story.id if isinstance(story, Story) else TOTALS + story.story_id] = story

    async def refresh(self) -> bool:
        """Pull changes now, ahead of schedule; return whether it succeeded."""
        return self._refresher is None or await self._refresher.refresh()

    def forget(self, tenant_id: str) -> None:
        """Drop a removed tenant from memory."""
        self._columns.pop(tenant_id, None)

    async def close(self) -> None:
        """Stop pulling changes."""
        if self._refresher is not None:
            await self._refresher.stop()

    async def _load(self, tenant_id: str) -> StoryColumns:
        await self._begin()
        changed: dict[str, Story | StoryTotals] = {}
        self._loading[tenant_id] = changed
        try:
            now, turns = self._clock(), asyncio.Semaphore(BUCKETS_AT_ONCE)

            async def bucket(partition: str) -> list[Document]:
                async with turns:
                    return await query_all(self._documents, STORIES, partition)

            begin = now - (MAX_STORY_HOURS + 1) * HOUR_SECONDS
            found = await asyncio.gather(*map(bucket, buckets_between(tenant_id, begin, now + HOUR_SECONDS)))
            columns = StoryColumns()
            for documents in found:
                for at, document in enumerate(documents):
                    found_here = _read(document)
                    if isinstance(found_here, StoryTotals) or (found_here and found_here.expires_at > now):
                        _put(columns, found_here)
                    if at % SLICE == SLICE - 1:
                        await asyncio.sleep(0)
            for each in changed.values():  # what was written while the buckets were read
                _put(columns, each)
            self._columns[tenant_id] = columns
            self._evict()
        finally:
            del self._loading[tenant_id]
        return columns

    def _evict(self) -> None:
        held = sum(map(len, self._columns.values()))
        while held > STORIES_IN_MEMORY and len(self._columns) > 1:
            _, idle = self._columns.popitem(last=False)
            held -= len(idle)
            self._telemetry.count("story_catalogs_evicted")

    async def _begin(self) -> None:
        """Read the change feed's position before the first load, so no change is missed, and start pulling."""
        async with self._beginning:
            if self._token is None:
                self._token = (await self._documents.changes(STORIES, FROM_NOW)).token
            if self._refresher is None:
                every = self._settings.content_refresh_seconds
                self._refresher = Refresher("stories", self._pull, every, self._elapsed, self._telemetry)
                await self._refresher.refresh()
                self._refresher.start()

    async def _pull(self) -> None:
        while True:
            changes = await self._documents.changes(STORIES, self._token)
            for at, document in enumerate(changes.documents):
                found = _read(document)
                if found is not None:
                    self.apply(document.partition.partition("/")[0], found)
                if at % SLICE == SLICE - 1:
                    await asyncio.sleep(0)
            self._token = changes.token
            if not changes.more:
                break
        now = self._clock()
        for columns in self._columns.values():
            columns.drop_ended(now)


def _read(document: Document) -> Story | StoryTotals | None:
    """Parse a document of a bucket: a story, or a story's totals, whose ids sort after the stories."""
    if document.id.startswith(TOTALS):
        return StoryTotals.from_document(document.body)
    return Story.from_document(document.body)


def _put(columns: StoryColumns, found: Story | StoryTotals) -> None:
    if isinstance(found, StoryTotals):
        columns.take_totals(found)
    else:
        columns.apply(found)
