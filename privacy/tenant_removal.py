"""Removes tenants: every document, blob and dead letter, step by step, as a job that survives a crash.

The job is the document that the request created in the tenant's partition (`shared/domain/removal_receipt.py`). It
stays as the receipt. When an instance has read it, the tenant's keys are invalid there, and messages about the tenant
are dropped. Each step deletes what it finds and can be repeated. Passes are repeated until one finds nothing. Counts
are written with or after the deletes, so a crash can leave one page uncounted, but never undeleted.

Each user's documents are in a partition of their own, and nothing lists these partitions by tenant. Signals, tombstones
and receipt markers name their tenant, so the container's change feed finds them. An index would cost something with
every fold.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence

from events.dead_letters import purge_dead_letters_of_tenant
from events.erasures import partition_of_erasures
from shared.adapters.blobs.port import BLOB_CONTAINERS, Blobs, BlobsError
from shared.adapters.bus.port import Bus, BusError
from shared.adapters.documents.port import (
    PEOPLE,
    STORIES,
    STORY_ACTIVITY,
    TENANTS,
    USER_ACTIVITY,
    VIDEO_STATS,
    VIDEOS,
    Container,
    Delete,
    Document,
    DocumentStore,
    Failure,
    Json,
    Replace,
    StoreError,
    WriteRejected,
)
from shared.adapters.refresh import Refresher
from shared.adapters.tenant_directory import TenantDirectory
from shared.domain.clocks import elapsed_seconds
from shared.domain.removal_receipt import DONE, GRACE_SECONDS, REMOVAL_ID
from shared.observability.logs import log_event
from shared.observability.metrics import Telemetry

log = logging.getLogger("feed.removals")

DELETED_AT_ONCE = 90
BLOBS_AT_ONCE = 32
CHANGES_A_PAGE = 500
LEASE_SECONDS = 60.0
"""A worker that has not written for this long counts as dead, and another can continue."""
RUN_SECONDS = 60.0
_DEAD_LETTERS = "deadLetters"


class _TakenOver(Exception):
    """Another worker has taken over this removal."""


class _Job:
    """A removal and its progress. `save` renews the worker's lease."""

    def __init__(self, documents: DocumentStore, stored: Document, worker: str, clock: Callable[[], float]) -> None:
        self.tenant_id = stored.partition
        self.body: Json = {**stored.body, "state": "removing", "worker": worker}
        self._documents, self._etag, self._clock = documents, stored.etag, clock

    async def save(self, *deleted: Delete) -> None:
        """Write the job, with deletes in its own partition in the same batch. Raises `_TakenOver`."""
        self.body["leasedUntil"] = self._clock() + LEASE_SECONDS
        try:
            written = await self._documents.write(TENANTS, self.tenant_id, [Replace(self.body, self._etag), *deleted])
        except WriteRejected as refused:
            if 0 in refused.failures:
                raise _TakenOver from refused
            raise
        self._etag = written[0] or ""

    def count(self, name: str, amount: int) -> None:
        removed = self.body["removed"]
        self.body["removed"] = {**removed, name: removed.get(name, 0) + amount}
        self.body["foundInPass"] += amount


_Step = Callable[[_Job, float], Awaitable[bool]]
"""Continues a job until a time by `elapsed_seconds`; returns whether the step is complete."""


class TenantRemovals:
    """Processes the requested removals, one at a time in a process."""

    def __init__(
        self,
        *,
        documents: DocumentStore,
        blobs: Blobs,
        bus: Bus,
        tenants: TenantDirectory,
        tenants_refresher: Refresher,
        telemetry: Telemetry,
        clock: Callable[[], float],
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        self._documents, self._blobs, self._bus = documents, blobs, bus
        self._tenants, self._tenants_refresher = tenants, tenants_refresher
        self._telemetry = telemetry
        self._clock = clock
        self._grace_seconds = grace_seconds
        self._worker = secrets.token_hex(6)
        self._running = asyncio.Lock()
        self._steps: tuple[_Step, ...] = (
            self._remove_partition(TENANTS),
            self._remove_partition(VIDEOS),
            self._remove_partition(VIDEO_STATS),
            self._remove_users,
            *(self._remove_partitions(container) for container in (STORIES, STORY_ACTIVITY, PEOPLE)),
            *(self._remove_blobs(container) for container in BLOB_CONTAINERS),
            self._remove_dead_letters,
        )

    async def run(self) -> int:
        """Continue removals that no other worker has, for a minute; return how many were finished."""
        if self._running.locked():
            return 0
        finished = 0
        async with self._running:
            until = elapsed_seconds() + RUN_SECONDS
            for tenant_id in self._tenants.waiting_removals():
                try:
                    finished += await self._work(tenant_id, until)
                except _TakenOver:
                    continue
                except (StoreError, BlobsError, BusError):  # the next run continues
                    self._telemetry.count("store_failures", "removal")
        return finished

    async def _work(self, tenant_id: str, until: float) -> bool:
        """Continue a removal until `until`; return whether it is finished."""
        stored = await self._documents.read(TENANTS, tenant_id, REMOVAL_ID, latest=True)
        now = self._clock()
        if stored is None or stored.body.get("state") == DONE:
            return False
        if now < stored.body["requestedAt"] + self._grace_seconds:
            return False
        if stored.body.get("worker") != self._worker and now < stored.body.get("leasedUntil", 0.0):
            return False
        job = _Job(self._documents, stored, self._worker, self._clock)
        await job.save()
        while True:
            while job.body["step"] < len(self._steps):
                if elapsed_seconds() >= until or not await self._steps[job.body["step"]](job, until):
                    return False
                job.body["step"] += 1
                await job.save()
            if not job.body["foundInPass"]:
                break
            job.body |= {"step": 0, "foundInPass": 0}
        await self._finish(job)
        return True

    async def _finish(self, job: _Job) -> None:
        job.body = {name: each for name, each in job.body.items() if not name.startswith("after.")}
        job.body |= {"state": DONE, "doneAt": self._clock(), "users": None, "worker": ""}
        await job.save()
        await self._tenants_refresher.refresh()
        log_event(log, logging.INFO, "tenant_removed", always=True, tenant=job.tenant_id)

    # ---- steps

    def _remove_partition(self, container: Container) -> _Step:
        async def remove(job: _Job, until: float) -> bool:
            """Delete every document of a tenant's partition except the removal itself."""
            while ids := await self._ids(container, job.tenant_id):
                if elapsed_seconds() >= until:
                    return False
                if container is TENANTS:
                    job.count(container.name, len(ids))
                    await job.save(*(Delete(id) for id in ids))
                else:
                    await self._delete(container, job.tenant_id, ids)
                    job.count(container.name, len(ids))
                    await job.save()
            return True

        return remove

    async def _remove_users(self, job: _Job, until: float) -> bool:
        """Delete the partitions of the tenant's users, which the change feed lists."""
        await self._empty(job, USER_ACTIVITY, partition_of_erasures(job.tenant_id))
        while True:
            if elapsed_seconds() >= until:
                return False
            changes = await self._documents.changes(USER_ACTIVITY, job.body["users"], limit=CHANGES_A_PAGE)
            partitions = {each.partition for each in changes.documents if each.body.get("tenantId") == job.tenant_id}
            for partition in sorted(partitions):
                await self._empty(job, USER_ACTIVITY, partition)
            job.body["users"] = changes.token
            await job.save()
            if not changes.more:
                return True

    def _remove_partitions(self, container: Container) -> _Step:
        token = f"after.{container.name}"

        async def remove(job: _Job, until: float) -> bool:
            """Delete the partitions whose key begins with the tenant's id, which the change feed lists."""
            while True:
                if elapsed_seconds() >= until:
                    return False
                changes = await self._documents.changes(container, job.body.get(token), limit=CHANGES_A_PAGE)
                named = {each.partition for each in changes.documents}
                mine = {each for each in named if each.partition("/")[0] == job.tenant_id}
                for partition in sorted(mine):
                    await self._empty(job, container, partition)
                job.body[token] = changes.token
                await job.save()
                if not changes.more:
                    return True

        return remove

    async def _empty(self, job: _Job, container: Container, partition: str) -> None:
        while ids := await self._ids(container, partition):
            await self._delete(container, partition, ids)
            job.count(container.name, len(ids))

    def _remove_blobs(self, container: str) -> _Step:
        async def remove(job: _Job, until: float) -> bool:
            """Delete every blob under the tenant's name."""
            while names := await self._names(container, job.tenant_id):
                if elapsed_seconds() >= until:
                    return False
                found = await asyncio.gather(*(self._blobs.delete(container, name) for name in names))
                job.count(container, sum(found))
                await job.save()
            return True

        return remove

    async def _remove_dead_letters(self, job: _Job, until: float) -> bool:
        """Drop the dead letters with the tenant's batches."""
        job.count(_DEAD_LETTERS, await purge_dead_letters_of_tenant(self._bus, job.tenant_id))
        return True

    async def _names(self, container: str, tenant_id: str) -> list[str]:
        """Return the tenant's first blobs, at most as many as are deleted at once."""
        names: list[str] = []
        async for blob in self._blobs.list(container, f"{tenant_id}/"):
            names.append(blob.name)
            if len(names) == BLOBS_AT_ONCE:
                break
        return names

    # ---- deletes

    async def _ids(self, container: Container, partition: str) -> list[str]:
        """Return the first documents of a partition to delete, including damaged ones."""
        after: str | None = None
        while True:
            page = await self._documents.query(container, partition, after=after, limit=DELETED_AT_ONCE)
            ids = [*(document.id for document in page.documents), *page.unreadable]
            found = [id for id in ids if container is not TENANTS or id != REMOVAL_ID]
            if found or page.next is None:
                return found
            after = page.next

    async def _delete(self, container: Container, partition: str, ids: Sequence[str]) -> None:
        try:
            await self._documents.write(container, partition, [Delete(id) for id in ids])
        except WriteRejected as refused:
            if set(refused.failures.values()) != {Failure.NOT_FOUND}:
                raise
            # One of them expired since it was listed: delete the others one at a time.
            for id in ids:
                try:
                    await self._documents.write(container, partition, [Delete(id)])
                except WriteRejected:
                    continue
