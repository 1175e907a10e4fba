"""Facts about videos for the event consumers: read on demand, kept up to date by the change feed, bounded in memory.

Event consumers run on other instances than the feed and need few videos at a time, so they do not load whole catalogs.
They keep what they have read for a day, and check the change feed once a minute.
"""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from sys import intern

from shared.adapters.documents.port import FROM_NOW, VIDEOS, Document, DocumentStore, StoreError
from shared.domain.records import Video
from shared.domain.series_place import NO_SERIES, SeriesPlace
from shared.domain.tenant_cache import ENTRY_BYTES, TenantCache

REMEMBER_SECONDS = 86_400.0
"""How long facts are kept without a change in the change feed, varied by a tenth so that they do not all expire
together. A shorter time would cost every instance a read for every watched video."""
LOOK_SECONDS = 60.0
"""Interval of checks of the change feed: a change takes effect this soon."""
PAGES_A_LOOK = 20
"""One check takes at most 10,000 changes. After a larger import the next check continues."""
REMEMBER_ABSENT_SECONDS = 45.0
"""How long an id counts as no video. A newly created video counts within a minute of its first event."""
MAX_ABSENT_OF_TENANT = 10_000
"""Ids without a video are kept separately for each tenant, at about 200 bytes each. So invented ids displace neither
real videos nor another tenant's ids."""
MAX_TENANTS_ABSENT = 50
"""Limits the memory for these ids to 100 MB."""
MAX_REMEMBERED = 250_000
"""Limit for all tenants together; one tenant can use half of it. Below the number of watched videos, an instance would
read some of them again and again."""
FACTS_BYTES = 280
"""Size of facts beside their cache entry: 120 MB for all."""
READS_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Facts:
    """A video as signals see it. `duration_seconds` is 0 when unknown; `place` is its position in a series."""

    category: str
    tags: tuple[str, ...]
    creator: str
    duration_seconds: float
    place: SeriesPlace = NO_SERIES


class VideoFacts:
    """Facts by tenant and video, read through the document port. `clock` gives seconds and never goes back."""

    def __init__(self, documents: DocumentStore, clock: Callable[[], float]) -> None:
        self._documents = documents
        self._clock = clock
        self.known = TenantCache[str, tuple[Facts, float]](MAX_REMEMBERED * (FACTS_BYTES + ENTRY_BYTES), share=0.5)
        self._absent: OrderedDict[str, OrderedDict[str, float]] = OrderedDict()
        self._reading = asyncio.Semaphore(READS_AT_ONCE)
        self._beginning = asyncio.Lock()
        self._token: str | None = None
        self._look_at = float("-inf")
        self._just_changed: set[tuple[str, str]] = set()
        """Tenant and video of the last changes: a read can still return the version before."""

    async def get(self, tenant_id: str, video_ids: Iterable[str]) -> dict[str, Facts]:
        """Return the facts of the videos that exist, by id. Raises `StoreUnavailable`.

        A taken-down video still has its facts, since events about it still count.
        """
        now = self._clock()
        await self._look_for_changes(now)
        asked = set(video_ids) - {""}  # events about no video
        known = self.known.get_all(tenant_id, asked)
        found = {video_id: facts for video_id, (facts, until) in known.items() if until >= now}
        absent: Mapping[str, float] = self._absent.get(tenant_id, {})
        missing = [video_id for video_id in asked - found.keys() if absent.get(video_id, now) <= now]
        if missing:
            facts = await asyncio.gather(*(self._read(tenant_id, id) for id in missing))
            for video_id, read in zip(missing, facts, strict=True):
                if read is not None:
                    keep = REMEMBER_SECONDS * random.uniform(0.9, 1.1)  # noqa: S311
                    if (tenant_id, video_id) in self._just_changed:
                        keep = LOOK_SECONDS
                    self.known.put(tenant_id, video_id, (read, now + keep), FACTS_BYTES)
                    found[video_id] = read
            self._remember_absent(tenant_id, [id for id in missing if id not in found], now + REMEMBER_ABSENT_SECONDS)
        return found

    def _remember_absent(self, tenant_id: str, video_ids: Iterable[str], until: float) -> None:
        absent = self._absent.setdefault(tenant_id, OrderedDict())
        self._absent.move_to_end(tenant_id)
        for video_id in video_ids:
            absent[video_id] = until
            absent.move_to_end(video_id)
        while len(absent) > MAX_ABSENT_OF_TENANT:
            absent.popitem(last=False)
        while len(self._absent) > MAX_TENANTS_ABSENT:
            self._absent.popitem(last=False)

    async def _look_for_changes(self, now: float) -> None:
        """Apply the changes since the last check, if that was long enough ago.

        The first check only finds the current position of the change feed; all callers wait for it. Any later check is
        made by one caller. If it fails, the known facts stay until the next one.
        """
        if now < self._look_at:
            return
        if self._token is None:
            async with self._beginning:
                if self._token is None:
                    self._token = (await self._documents.changes(VIDEOS, FROM_NOW)).token
                    self._look_at = now + LOOK_SECONDS
            return
        self._look_at = now + LOOK_SECONDS
        with suppress(StoreError):  # the adapter counts it
            await self._take_changes(self._token)

    async def _take_changes(self, token: str) -> None:
        self._just_changed.clear()
        for _ in range(PAGES_A_LOOK):
            changes = await self._documents.changes(VIDEOS, token)
            for document in changes.documents:
                self._take(document)
            self._token = token = changes.token
            if not changes.more:
                return
        self._look_at = float("-inf")

    def _take(self, document: Document) -> None:
        """Apply a changed video. Facts that were never requested are not kept."""
        tenant_id, video_id = document.partition, document.id
        self._just_changed.add((tenant_id, video_id))
        if (absent := self._absent.get(tenant_id)) is not None:
            absent.pop(video_id, None)
        known = self.known.get(tenant_id, video_id)
        if known is None:
            return
        facts = _facts_of(document)
        if facts is None:
            self.known.drop(tenant_id, video_id)
        else:
            self.known.put(tenant_id, video_id, (facts, known[1]), FACTS_BYTES)

    async def _read(self, tenant_id: str, video_id: str) -> Facts | None:
        async with self._reading:
            document = await self._documents.read(VIDEOS, tenant_id, video_id)
        return None if document is None else _facts_of(document)


def _facts_of(document: Document) -> Facts | None:
    """Return the facts; None if the document is no video or cannot be read."""
    if document.body.get("kind") != "video":
        return None
    try:
        video = Video.from_document(document.body)
    except Exception:  # a damaged video counts as unknown
        return None
    tags = tuple(intern(tag) for tag in video.tags)
    return Facts(intern(video.category), tags, intern(video.creator), video.duration_seconds, video.place)
