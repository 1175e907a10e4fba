"""Builds a tenant's co-watch table from its archive: nightly by a timer, or by `python -m commands.build_cowatch`.

A table is a new file; the pointer is written last, so a reader finds the old table or the new one. Older files are
deleted a day later, when no instance can still be about to load them.
"""

from __future__ import annotations

import asyncio
import logging
from array import array
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np

from events.archive import counted_before_ms, counts, from_lines
from events.video_facts import VideoFacts
from ranking.columns import key64
from ranking.cowatch import CoWatchTable, build
from ranking.watching import is_long_view
from shared.adapters.blobs.port import ARCHIVE, TABLES, Blobs, BlobsError
from shared.adapters.documents.port import VIDEO_STATS, DocumentStore, StoreError, Upsert
from shared.adapters.tenant_directory import TenantDirectory
from shared.domain.cowatch_pointer import Pointer
from shared.domain.event_types import COMPLETE, PROGRESS, VIDEO_VIEW
from shared.domain.fingerprint import fingerprint
from shared.observability.metrics import Telemetry

log = logging.getLogger("feed.events")

LOOK_BACK_DAYS = 30
MAX_LONG_VIEWS = 2_000_000
"""About 50 MB; a larger log is cut down to a hashed sample of its users."""
OLD_FILE_SECONDS = 86_400.0
_WATCHED = (VIDEO_VIEW, PROGRESS, COMPLETE)


class LongViews:
    """Long views in memory, of a sample of users that is halved whenever there are too many.

    Users are sampled by a bit more of their pseudonym's fingerprint each time, so a user is in or out as a whole.
    """

    def __init__(self, most: int = MAX_LONG_VIEWS) -> None:
        self._most = most
        self._halvings = 0
        self.users, self.keys, self.times = array("q"), array("Q"), array("d")

    def add(self, user: str, video_id: str, at: float) -> None:
        """One long view; left out when its user is not in the sample."""
        code = fingerprint(user)
        if code & self._mask:
            return
        self.users.append(code)
        self.keys.append(key64(video_id))
        self.times.append(at)
        if len(self.users) > self._most:
            self._halve()

    @property
    def sample(self) -> float:
        """The share of users that is in."""
        return 0.5**self._halvings

    @property
    def _mask(self) -> int:
        return (1 << self._halvings) - 1

    def _halve(self) -> None:
        self._halvings += 1
        users = np.array(self.users, np.int64)
        kept = users & self._mask == 0
        self.users = array("q", users[kept].tolist())
        self.keys = array("Q", np.array(self.keys, np.uint64)[kept].tolist())
        self.times = array("d", np.array(self.times)[kept].tolist())

    def table(self, built_at: float) -> CoWatchTable:
        """The co-watch table of what was added."""
        return build(
            np.array(self.users, np.int64), np.array(self.keys, np.uint64), np.array(self.times), built_at=built_at
        )


class CoWatchBuilder:
    """Builds co-watch tables from archived events."""

    def __init__(
        self,
        *,
        documents: DocumentStore,
        blobs: Blobs,
        video_facts: VideoFacts,
        tenants: TenantDirectory,
        telemetry: Telemetry,
        clock: Callable[[], float],
    ) -> None:
        self._documents = documents
        self._blobs = blobs
        self._video_facts = video_facts
        self._tenants = tenants
        self._telemetry = telemetry
        self._clock = clock

    async def build_all(self) -> int:
        """A new table for each tenant; how many were built. One tenant's failure is counted and stops no other."""
        built = 0
        for tenant_id in self._tenants.ids():
            try:
                built += await self.build(tenant_id)
            except (BlobsError, StoreError) as error:
                log.warning("the co-watch table of tenant %s was not built: %s", tenant_id, type(error).__name__)
                self._telemetry.count("cowatch_tables", "failed")
        return built

    async def build(self, tenant_id: str) -> bool:
        """Read the tenant's archive, build, write the file, then the pointer. False when nobody watched anything.

        Raises `BlobsError` or `StoreError`.
        """
        now = self._clock()
        views = await self._long_views(tenant_id, now)
        table = await asyncio.to_thread(views.table, now)
        if not len(table.keys):
            self._telemetry.count("cowatch_tables", "empty")
            return False
        name = f"{tenant_id}/cowatch-{int(now * 1000):015d}.bin"
        await self._blobs.write(TABLES, name, table.to_bytes())
        pointer = Pointer(name, now, len(table.keys))
        await self._documents.write(VIDEO_STATS, tenant_id, [Upsert(pointer.to_document())])
        await self._delete_old_files(tenant_id, name, now)
        self._telemetry.count("cowatch_tables", "built")
        log.info("co-watch table of tenant %s: %d videos, %.3g of users", tenant_id, len(table.keys), views.sample)
        return True

    async def _long_views(self, tenant_id: str, now: float) -> LongViews:
        durations: dict[str, float | None] = {}
        views = LongViews()
        today = datetime.fromtimestamp(now, UTC)
        for days_ago in range(LOOK_BACK_DAYS, -1, -1):
            day = (today - timedelta(days=days_ago)).strftime("%Y/%m/%d")
            async for blob in self._blobs.list(ARCHIVE, f"{tenant_id}/{day}/"):
                content = await self._blobs.read(ARCHIVE, blob.name)
                if content is not None:
                    await self._add_blob(tenant_id, content, durations, views)
        return views

    async def _add_blob(
        self, tenant_id: str, content: bytes, durations: dict[str, float | None], views: LongViews
    ) -> None:
        """Add the long views of one archived blob that statistics count too, of videos that the tenant has.

        A blob of another schema version is left out, counted.
        """
        try:
            lines = await asyncio.to_thread(lambda: list(from_lines(content)))
        except (ValueError, OSError):
            self._telemetry.count("cowatch_tables", "unreadable_blob")
            return
        positive = [line for line in lines if line["user"] and line["type"] in _WATCHED and counts(line)]
        unknown = {line["videoId"] for line in positive} - durations.keys()
        if unknown:
            facts = await self._video_facts.get(tenant_id, unknown)
            durations.update({id: facts[id].duration_seconds if id in facts else None for id in unknown})
        for line in positive:
            video_id = line["videoId"]
            duration = durations[video_id]
            if duration is None:
                continue
            before = counted_before_ms(line)
            if before is not None and is_long_view(before, duration):
                continue  # the play was long before this event of it
            if line["type"] == COMPLETE or is_long_view(line["watchTimeMs"] or 0.0, duration):
                views.add(line["user"], video_id, line["timestamp"] / 1000)

    async def _delete_old_files(self, tenant_id: str, current: str, now: float) -> None:
        old = [
            blob.name
            async for blob in self._blobs.list(TABLES, f"{tenant_id}/cowatch-")
            if blob.name != current and blob.modified_at < now - OLD_FILE_SECONDS
        ]
        for name in old:
            await self._blobs.delete(TABLES, name)
