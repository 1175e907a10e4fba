"""The stories of the tenants this process serves: loaded on a tenant's first request, then kept by the change feed.

They live a day, so a tenant's are few and there is nothing to copy into anybody's box: an author with millions of
followers costs one write. Nothing is loaded and no feed is followed before the first request about stories.
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
"""Of a tenant at a time, some 100 MB; more are refused."""
STORIES_IN_MEMORY = 400_000
BUCKETS_AT_ONCE = 16
SLICE = 200
"""Documents applied before the event loop gets its turn."""
STALE_SECONDS = 30.0


class StoryCatalogs:
    """Columns by tenant. `clock` gives seconds since the epoch, `elapsed` seconds that never go back."""

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
        """How many seconds ago stories were last known to be current, None before the first pull."""
        return None if self._refresher is None else self._refresher.age()

    async def get(self, tenant_id: str) -> StoryColumns:
        """A tenant's stories. Raises `StoreUnavailable` when they are not loaded yet and cannot be in time; those that
        are loaded are served however old."""
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
        """One story, also one that was posted elsewhere a moment ago."""
        columns = await self.get(tenant_id)
        if not STORY_ID.matches(story_id):
            return None
        return columns.get(story_id) or await self.stored(tenant_id, story_id)

    async def stored(self, tenant_id: str, story_id: str) -> Story | None:
        """One story as it is stored now."""
        document = await self._documents.read(STORIES, bucket_of(tenant_id, story_id), story_id, latest=True)
        return None if document is None else Story.from_document(document.body)

    def apply(self, tenant_id: str, story: Story | StoryTotals) -> None:
        """Take in what this process has just written."""
        if (columns := self._columns.get(tenant_id)) is not None:
            _put(columns, story)
        if (loading := self._loading.get(tenant_id)) is not None:
            loading[story.id if isinstance(story, Story) else TOTALS + story.story_id] = story

    async def refresh(self) -> bool:
        """Pull changes now, out of turn."""
        return self._refresher is None or await self._refresher.refresh()

    def forget(self, tenant_id: str) -> None:
        """Let go of a tenant that is removed."""
        self._columns.pop(tenant_id, None)

    async def close(self) -> None:
        """Stop pulling."""
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
        """Before the first load: find the place in the change feed from which nothing is missed."""
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
    """What a document of a bucket says: a story, or the totals of one, which stand behind it."""
    if document.id.startswith(TOTALS):
        return StoryTotals.from_document(document.body)
    return Story.from_document(document.body)


def _put(columns: StoryColumns, found: Story | StoryTotals) -> None:
    if isinstance(found, StoryTotals):
        columns.take_totals(found)
    else:
        columns.apply(found)
