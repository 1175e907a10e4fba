"""Facts about videos for the consumers of events: read on demand, cached for a while, bounded.

Consumers of events run on other instances than the feed and touch few videos at a time, so they do not load whole
catalogs.
"""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from sys import intern

from shared.adapters.documents.port import VIDEOS, DocumentStore
from shared.domain.records import Video
from shared.domain.tenant_cache import ENTRY_BYTES, TenantCache

REMEMBER_SECONDS = 3_600.0
"""How long facts are believed, a tenth more or less, so that what was read together is not forgotten together.

What a video is about hardly ever changes; when it does, events are folded under what it was for up to so long. Asking
more often costs every instance a read for every video that is watched (`infra/capacity.py`).
"""
REMEMBER_ABSENT_SECONDS = 45.0
"""How long an id is taken for no video's. A video that is created counts within a minute of its first event."""
MAX_ABSENT_OF_TENANT = 10_000
"""Ids without a video are remembered apart, by tenant, at about 200 bytes each: no caller's inventions push out what
is known of real videos, or what is known of another tenant's."""
MAX_TENANTS_ABSENT = 50
"""With the bound above 100 MB at most."""
MAX_REMEMBERED = 250_000
"""Of all tenants, at most half of them of one. Below the number of videos that are watched, an instance would read some
of them over and over."""
FACTS_BYTES = 280
"""What facts take beside the entry that holds them: 120 MB for all."""
READS_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Facts:
    """A video as signals see it. `duration_seconds` is 0 when unknown."""

    category: str
    tags: tuple[str, ...]
    creator: str
    duration_seconds: float


class VideoFacts:
    """Facts by tenant and video, read through the document port. `clock` gives seconds and never goes back."""

    def __init__(self, documents: DocumentStore, clock: Callable[[], float]) -> None:
        self._documents = documents
        self._clock = clock
        self.known = TenantCache[str, tuple[Facts, float]](MAX_REMEMBERED * (FACTS_BYTES + ENTRY_BYTES), share=0.5)
        self._absent: OrderedDict[str, OrderedDict[str, float]] = OrderedDict()
        self._reading = asyncio.Semaphore(READS_AT_ONCE)

    async def get(self, tenant_id: str, video_ids: Iterable[str]) -> dict[str, Facts]:
        """Facts of the videos that exist, by id. Raises `StoreUnavailable`.

        A taken-down video still has its facts: what was watched was watched.
        """
        now = self._clock()
        asked = set(video_ids)
        known = self.known.get_all(tenant_id, asked)
        found = {video_id: facts for video_id, (facts, until) in known.items() if until >= now}
        absent: Mapping[str, float] = self._absent.get(tenant_id, {})
        missing = [video_id for video_id in asked - found.keys() if absent.get(video_id, now) <= now]
        if missing:
            facts = await asyncio.gather(*(self._read(tenant_id, id) for id in missing))
            for video_id, read in zip(missing, facts, strict=True):
                if read is not None:
                    keep = REMEMBER_SECONDS * random.uniform(0.9, 1.1)  # noqa: S311
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

    async def _read(self, tenant_id: str, video_id: str) -> Facts | None:
        async with self._reading:
            document = await self._documents.read(VIDEOS, tenant_id, video_id)
        if document is None or document.body.get("kind") != "video":
            return None
        try:
            video = Video.from_document(document.body)
        except Exception:  # whatever a body holds: a damaged video is one that nobody knows
            return None
        tags = tuple(intern(tag) for tag in video.tags)
        return Facts(intern(video.category), tags, intern(video.creator), video.duration_seconds)
