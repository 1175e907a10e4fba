"""Builds a tenant's tables from its users' long views, each night or with `python -m commands.build_cowatch`.

The file has the co-watch table and the next-watch table. Each night writes a new file, then the pointer, so a reader
gets either the old or the new file. Old files are deleted a day later, when no instance can still be loading them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from events.archive import counted_before_ms, counts, from_lines
from events.history_parts import PART_PREFIX
from events.video_facts import VideoFacts
from learning.next_watch_training import (
    Histories,
    Training,
    UnreadableTraining,
    histories_of,
    seed_of,
    train_night,
)
from learning.rolling import LongViews, user_code
from learning.sample_files import SampleFiles
from learning.sample_lines import long_views_of
from learning.state_store import StateStore, load_videos
from learning.stopping import in_thread
from ranking.columns import key64
from ranking.cowatch import build
from ranking.table_file import Tables
from ranking.watching import is_long_view
from shared.adapters.blobs.port import ARCHIVE, SAMPLES, TABLES, Blobs
from shared.adapters.documents.port import VIDEO_STATS, DocumentStore, Upsert
from shared.adapters.tenant_directory import TenantDirectory
from shared.domain.cowatch_pointer import POINTER_ID, Pointer
from shared.domain.event_types import COMPLETE, PROGRESS, VIDEO_VIEW
from shared.observability.metrics import Telemetry

log = logging.getLogger("feed.learning")

LOOK_BACK_DAYS = 30
MAX_TRAINED = 300_000
"""Limit of long views that the next-watch model is trained on: about 6 s of CPU per pass, 16 passes for a new model.
Beyond it, a sample of users is used."""
OLD_FILE_SECONDS = 86_400.0
_WATCHED = (VIDEO_VIEW, PROGRESS, COMPLETE)


class TableBuilder:
    """Builds nightly files."""

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
        self._states = StateStore(documents, blobs, telemetry)
        self._samples = SampleFiles(blobs, telemetry)

    async def build(self, tenant_id: str, train: bool = True) -> bool:
        """Build from everything known until now: the state of the last night and the sample since, or the archive
        before the first night. False if nobody watched anything. Raises `BlobsError` or `StoreError`."""
        now = self._clock()
        views = await self.long_views(tenant_id, now)
        return await self.build_from(tenant_id, views, datetime.fromtimestamp(now, UTC).date().isoformat(), now, train)

    async def build_from(self, tenant_id: str, views: LongViews, night: str, until: float, train: bool = True) -> bool:
        """Build from long views; write the files, then the pointer. False if there are no long views.

        A repeated night (UTC date) gives the same model, since it starts from the previous night's state. `until`: end
        of the learned period. Raises `BlobsError` or `StoreError`.
        """
        now = self._clock()
        if not len(views):
            self._telemetry.count("cowatch_tables", "empty")
            return False
        old = await self.pointer(tenant_id)
        again = old.night == night
        start, since = (old.training_before, old.trained_before) if again else (old.training, old.trained_until)
        training = await self._training(start if train else old.training)
        columns = views.users, views.keys, views.times
        cowatch = await asyncio.to_thread(lambda: build(*columns, built_at=now))
        pointer = Pointer(
            _blob(tenant_id, "cowatch", now),
            now,
            len(cowatch.keys),
            old.night,
            old.training,
            old.trained_until,
            old.training_before,
            old.trained_before,
        )
        if train:
            seed = seed_of(tenant_id, night)
            training = await in_thread(train_night, training, _histories(*columns), seed, since)
        if self._tenants.drops(tenant_id, now):  # the tenant was removed meanwhile
            return False
        if train and training is not None:
            name = _blob(tenant_id, "next-watch-training", now)
            await self._blobs.write(TABLES, name, await asyncio.to_thread(training.to_bytes))
            pointer = replace(
                pointer,
                night=night,
                training=name,
                trained_until=until,
                training_before=start,
                trained_before=since,
            )
        tables = Tables(cowatch, None if training is None else training.table(now))
        await self._blobs.write(TABLES, pointer.blob, await asyncio.to_thread(tables.to_bytes))
        await self._documents.write(VIDEO_STATS, tenant_id, [Upsert(pointer.to_document())])
        self._telemetry.count("cowatch_tables", "built")
        log.info("tables of tenant %s: %d videos", tenant_id, pointer.videos)
        return True

    async def pointer(self, tenant_id: str) -> Pointer:
        document = await self._documents.read(VIDEO_STATS, tenant_id, POINTER_ID)
        return (Pointer.from_document(document.body) if document else None) or Pointer("", 0.0, 0)

    async def _training(self, blob: str | None) -> Training | None:
        """Read the training state from a file; None if it cannot be read, so that the model is trained from scratch."""
        content = None if blob is None else await self._blobs.read(TABLES, blob)
        if content is None:
            return None
        try:
            return await asyncio.to_thread(Training.from_bytes, content)
        except UnreadableTraining:
            self._telemetry.count("cowatch_tables", "unreadable_training")
            return None

    async def long_views(self, tenant_id: str, now: float) -> LongViews:
        """Return the long views for `build`. Raises `BlobsError` or `StoreError`."""
        kept = await self._states.load(tenant_id)
        if kept.state is None:
            return await self.archived_views(tenant_id, now)
        today = datetime.fromtimestamp(now, UTC).date().isoformat()
        read = await self._samples.read_new(tenant_id, today, kept.state.night, kept.state.merged)
        views, videos = kept.state.views, await load_videos(self._documents, tenant_id)
        for shown in read.shown:
            views = views.with_more(long_views_of(shown, videos), now)
        return views

    async def archived_views(self, tenant_id: str, now: float) -> LongViews:
        """Return the long views of the archive's last `LOOK_BACK_DAYS`, for a tenant's first night. Raises
        `BlobsError`."""
        durations: dict[str, float | None] = {}
        views, found = LongViews(), _Found()
        today = datetime.fromtimestamp(now, UTC)
        for days_ago in range(LOOK_BACK_DAYS, -1, -1):
            day = (today - timedelta(days=days_ago)).strftime("%Y/%m/%d")
            for container, prefix in ((ARCHIVE, f"{tenant_id}/{day}/"), (SAMPLES, f"{tenant_id}/{day}/{PART_PREFIX}")):
                async for blob in self._blobs.list(container, prefix):
                    content = await self._blobs.read(container, blob.name)
                    if content is not None:
                        await self._add_blob(tenant_id, content, durations, found)
            views, found = views.with_more(found.views(), now), _Found()
        return views

    async def _add_blob(
        self, tenant_id: str, content: bytes, durations: dict[str, float | None], found: _Found
    ) -> None:
        """Add the long views of one archived blob that count in statistics, of videos that the tenant has.

        A blob of another schema version is skipped and counted.
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
                continue  # an earlier event of the play made it long
            if line["type"] == COMPLETE or is_long_view(line["watchTimeMs"] or 0.0, duration):
                found.add(line["user"], video_id, line["timestamp"] / 1000)

    async def delete_old_files(self, tenant_id: str, also_kept: Sequence[str | None]) -> None:
        """Delete files that nothing refers to and that are a day old. Raises `BlobsError` or `StoreError`."""
        now, pointer = self._clock(), await self.pointer(tenant_id)
        kept = (pointer.blob, pointer.training, pointer.training_before, *also_kept)
        old = [
            blob.name
            async for blob in self._blobs.list(TABLES, f"{tenant_id}/")
            if blob.name not in kept and blob.modified_at < now - OLD_FILE_SECONDS
        ]
        for name in old:
            await self._blobs.delete(TABLES, name)


@dataclass(slots=True)
class _Found:
    """Long views found so far."""

    users: list[int] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    def add(self, user: str, video_id: str, at: float) -> None:
        self.users.append(user_code(user))
        self.keys.append(int(key64(video_id)))
        self.times.append(at)

    def views(self) -> LongViews:
        return LongViews(np.array(self.users, np.int64), np.array(self.keys, np.uint64), np.array(self.times))


def _blob(tenant_id: str, what: str, now: float) -> str:
    return f"{tenant_id}/{what}-{int(now * 1000):015d}.bin"


def _histories(users: NDArray[np.int64], keys: NDArray[np.uint64], times: NDArray[np.float64]) -> Histories:
    """Return the histories that the next-watch model is trained on: all long views, or those of a sample of users."""
    mask = 0
    kept = np.ones(len(users), np.bool_)
    while kept.sum() > MAX_TRAINED:
        mask = mask << 1 | 1
        kept = (users >> 16) & mask == 0
    return histories_of(users[kept], keys[kept], times[kept])
