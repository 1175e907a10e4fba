"""Builds a tenant's nightly file from its archive: nightly by a timer, or by `python -m commands.build_cowatch`.

The file holds the co-watch table and the next-watch table. It is a new one each night, and the pointer is written last,
so a reader finds the old file or the new one. Older files are deleted a day later, when no instance can still be about
to load them.
"""

from __future__ import annotations

import asyncio
import logging
from array import array
from collections.abc import Callable
from dataclasses import replace
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
from ranking.columns import key64
from ranking.cowatch import build
from ranking.table_file import Tables
from ranking.watching import is_long_view
from shared.adapters.blobs.port import ARCHIVE, SAMPLES, TABLES, Blobs, BlobsError
from shared.adapters.documents.port import VIDEO_STATS, DocumentStore, StoreError, Upsert
from shared.adapters.tenant_directory import TenantDirectory
from shared.domain.cowatch_pointer import POINTER_ID, Pointer
from shared.domain.event_types import COMPLETE, PROGRESS, VIDEO_VIEW
from shared.domain.fingerprint import fingerprint
from shared.observability.metrics import Telemetry

log = logging.getLogger("feed.learning")

LOOK_BACK_DAYS = 30
MAX_LONG_VIEWS = 2_000_000
"""About 50 MB; a larger log is cut down to a hashed sample of its users."""
MAX_TRAINED = 500_000
"""Long views that the next-watch model learns from at most: about 10 s of CPU a pass. Beyond, a sample of users."""
TRAINING_SECONDS = 240.0
"""How long a run of all tenants trains, so that it ends within the ten minutes that a timer has."""
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

    def columns(self) -> tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.float64]]:
        """Users, videos and times."""
        return np.array(self.users, np.int64), np.array(self.keys, np.uint64), np.array(self.times)


class TableBuilder:
    """Builds nightly files from archived events. `elapsed` gives seconds and never goes back."""

    def __init__(
        self,
        *,
        documents: DocumentStore,
        blobs: Blobs,
        video_facts: VideoFacts,
        tenants: TenantDirectory,
        telemetry: Telemetry,
        clock: Callable[[], float],
        elapsed: Callable[[], float],
    ) -> None:
        self._documents = documents
        self._blobs = blobs
        self._video_facts = video_facts
        self._tenants = tenants
        self._telemetry = telemetry
        self._clock = clock
        self._elapsed = elapsed

    async def build_all(self) -> int:
        """A new file for each tenant; how many were built. One tenant's failure is counted and stops no other.

        Training begins with the tenants that were trained least lately and ends after `TRAINING_SECONDS`; the others
        keep the next-watch model they have.
        """
        built, started = 0, self._elapsed()
        for tenant_id in await self._least_lately_trained():
            try:
                built += await self.build(tenant_id, train=self._elapsed() - started < TRAINING_SECONDS)
            except (BlobsError, StoreError) as error:
                log.warning("the tables of tenant %s were not built: %s", tenant_id, type(error).__name__)
                self._telemetry.count("cowatch_tables", "failed")
        return built

    async def _least_lately_trained(self) -> list[str]:
        trained: dict[str, float] = {}
        for tenant_id in self._tenants.ids():
            try:
                trained[tenant_id] = (await self._pointer(tenant_id)).trained_until
            except StoreError:  # it is counted when its turn comes
                trained[tenant_id] = 0.0
        return sorted(trained, key=lambda tenant_id: trained[tenant_id])

    async def build(self, tenant_id: str, train: bool = True) -> bool:
        """Read the tenant's archive, build, write the files, then the pointer. False when nobody watched anything.

        Running a night again gives the same model: it goes on from where the night before ended. Raises `BlobsError` or
        `StoreError`.
        """
        now = self._clock()
        views = await self._long_views(tenant_id, now)
        if not len(views.keys):
            self._telemetry.count("cowatch_tables", "empty")
            return False
        old = await self._pointer(tenant_id)
        night = datetime.fromtimestamp(now, UTC).date().isoformat()
        again = old.night == night
        start, since = (old.training_before, old.trained_before) if again else (old.training, old.trained_until)
        training = await self._training(start if train else old.training)
        columns = views.columns()
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
            training = await asyncio.to_thread(train_night, training, _histories(*columns), seed, since)
        if self._tenants.drops(tenant_id, now):  # removed while they were built
            return False
        if train and training is not None:
            name = _blob(tenant_id, "next-watch-training", now)
            await self._blobs.write(TABLES, name, await asyncio.to_thread(training.to_bytes))
            pointer = replace(
                pointer,
                night=night,
                training=name,
                trained_until=now,
                training_before=start,
                trained_before=since,
            )
        tables = Tables(cowatch, None if training is None else training.table(now))
        await self._blobs.write(TABLES, pointer.blob, await asyncio.to_thread(tables.to_bytes))
        await self._documents.write(VIDEO_STATS, tenant_id, [Upsert(pointer.to_document())])
        await self._delete_old_files(tenant_id, pointer, now)
        self._telemetry.count("cowatch_tables", "built")
        log.info("tables of tenant %s: %d videos, %.3g of users", tenant_id, pointer.videos, views.sample)
        return True

    async def _pointer(self, tenant_id: str) -> Pointer:
        document = await self._documents.read(VIDEO_STATS, tenant_id, POINTER_ID)
        return (Pointer.from_document(document.body) if document else None) or Pointer("", 0.0, 0)

    async def _training(self, blob: str | None) -> Training | None:
        """The state of the next-watch model in a file; None, which starts it afresh, when it cannot be read."""
        content = None if blob is None else await self._blobs.read(TABLES, blob)
        if content is None:
            return None
        try:
            return await asyncio.to_thread(Training.from_bytes, content)
        except UnreadableTraining:
            self._telemetry.count("cowatch_tables", "unreadable_training")
            return None

    async def _long_views(self, tenant_id: str, now: float) -> LongViews:
        durations: dict[str, float | None] = {}
        views = LongViews()
        today = datetime.fromtimestamp(now, UTC)
        for days_ago in range(LOOK_BACK_DAYS, -1, -1):
            day = (today - timedelta(days=days_ago)).strftime("%Y/%m/%d")
            for container, prefix in ((ARCHIVE, f"{tenant_id}/{day}/"), (SAMPLES, f"{tenant_id}/{day}/{PART_PREFIX}")):
                async for blob in self._blobs.list(container, prefix):
                    content = await self._blobs.read(container, blob.name)
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

    async def _delete_old_files(self, tenant_id: str, pointer: Pointer, now: float) -> None:
        kept = (pointer.blob, pointer.training, pointer.training_before)
        old = [
            blob.name
            async for blob in self._blobs.list(TABLES, f"{tenant_id}/")
            if blob.name not in kept and blob.modified_at < now - OLD_FILE_SECONDS
        ]
        for name in old:
            await self._blobs.delete(TABLES, name)


def _blob(tenant_id: str, what: str, now: float) -> str:
    return f"{tenant_id}/{what}-{int(now * 1000):015d}.bin"


def _histories(users: NDArray[np.int64], keys: NDArray[np.uint64], times: NDArray[np.float64]) -> Histories:
    """What the next-watch model learns from: all long views, or those of a sample of users where there are too many."""
    mask = 0
    kept = np.ones(len(users), np.bool_)
    while kept.sum() > MAX_TRAINED:
        mask = mask << 1 | 1
        kept = (users >> 16) & mask == 0
    return histories_of(users[kept], keys[kept], times[kept])
