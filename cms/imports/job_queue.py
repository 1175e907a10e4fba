"""Queue of background jobs over uploaded files: runs one job at a time per process, and resumes it after a crash.

A job has two documents. The job document, in the container `tenants`, announces the work to every instance. The
progress document, in the container `videos`, holds the progress and the worker's lease.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import secrets
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from cms.changes import Author, Change, apply_change, not_found, without_tombstone
from cms.imports.files import count_rows
from cms.imports.models import Job, JobKind, JobStatus
from shared.adapters.blobs.port import UPLOADS, Blobs, BlobsUnavailable
from shared.adapters.documents.port import (
    TENANTS,
    VIDEOS,
    Create,
    Document,
    DocumentStore,
    Json,
    Operation,
    Replace,
    StoreError,
    StoreUnavailable,
    Upsert,
    WriteRejected,
    query_all,
)
from shared.adapters.refresh import Refresher
from shared.adapters.tenant_directory import TenantDirectory
from shared.domain.clocks import elapsed_seconds
from shared.observability.metrics import Telemetry
from shared.observability.tracebacks import traceback_without_values
from shared.web.problems import Problem

log = logging.getLogger("feed.imports")

LEASE_SECONDS = 30.0
"""A worker that has not written for this long counts as dead, and another can take over."""
RUN_SECONDS = 240.0
KEPT_REJECTIONS = 500
KEPT_BYTES = 300_000
"""Size limit of the stored rejections, and of the stored notes, because every slice writes them again."""
FAILURES_ALLOWED = 3
"""Runs that can end in an error before the job is given up."""


class TakenOver(Exception):
    """Another worker has taken over this job."""


class Progress:
    """A job's progress document, leased to this worker. Each write renews the lease."""

    def __init__(self, documents: DocumentStore, stored: Document, clock: Callable[[], float]) -> None:
        self._documents, self._stored, self._clock = documents, stored, clock

    @property
    def body(self) -> Json:
        return self._stored.body

    async def write(self, changes: Json, operations: Sequence[Operation] = ()) -> None:
        """Write changed fields of the progress in one batch with operations on the tenant's videos.

        Raises `TakenOver` if another worker wrote the progress, `WriteRejected` if only another operation was refused.
        """
        body = {**self.body, "leasedUntil": self._clock() + LEASE_SECONDS, **changes}
        before = self._stored
        try:
            etags = await self._documents.write(VIDEOS, before.partition, [Replace(body, before.etag), *operations])
        except WriteRejected as refusal:
            if 0 in refusal.failures:
                raise TakenOver from refusal
            raise
        self._stored = Document(before.partition, before.id, body, etags[0] or "")


@dataclass(frozen=True, slots=True)
class JobParts:
    """Dependencies of a job queue. `clock` gives seconds since the epoch."""

    documents: DocumentStore
    blobs: Blobs
    tenants: TenantDirectory
    tenants_refresher: Refresher
    telemetry: Telemetry
    clock: Callable[[], float]


class JobQueue(ABC):
    """The jobs of one kind, of all tenants. Runs one at a time per process."""

    def __init__(self, kind: JobKind, parts: JobParts) -> None:
        self._kind = kind
        self._documents = parts.documents
        self._blobs = parts.blobs
        self._tenants = parts.tenants
        self._tenants_refresher = parts.tenants_refresher
        self._telemetry = parts.telemetry
        self._clock = parts.clock
        self._worker = secrets.token_hex(6)
        self._running = asyncio.Lock()
        self._failures: Counter[tuple[str, str]] = Counter()
        """How often each job ended in an unexpected error in this process."""

    # ---- requests

    async def queue(self, tenant_id: str, lines: bytes, author: Author, idempotency_key: str = "") -> str:
        """Store a file and queue its job; return the job's id.

        The same file gets the same job until that job is done; with the same idempotency key, as long as the job is
        stored. Without a key, a file sent again after that is imported again if the kind of job is `repeatable`.
        Otherwise only a failed job is queued again, and continues where it stopped.
        """
        job = Job(tenant_id, _digest(tenant_id, idempotency_key, lines), count_rows(lines), author, self._kind)
        stored = await self._documents.read(TENANTS, tenant_id, job.document_id, latest=True)
        if stored is not None:
            if idempotency_key or stored.body.get("state") != "done":
                return job.id
            if not self._kind.repeatable:
                await self._begin_again(job, stored, lines)
                return job.id
            job = replace(job, id=_digest(tenant_id, f"again {author.at}", lines))
        await self._blobs.write(UPLOADS, job.blob, lines)
        change = Change(TENANTS, tenant_id, self._kind.name, job.id, "queue", None, job.to_document())
        try:
            await apply_change(self._documents, change, author)
        except Problem as problem:
            if problem.code != "already_exists":  # else the same file was sent twice concurrently
                raise
        await self._tenants_refresher.refresh()
        return job.id

    async def _begin_again(self, job: Job, stored: Document, lines: bytes) -> None:
        """Queue a failed job again. Does nothing for a job that succeeded."""
        if stored.body.get("failure") is None:
            return
        await self._blobs.write(UPLOADS, job.blob, lines)
        queued = {**stored.body, "state": "queued", "failure": None, "failedAt": None}
        with contextlib.suppress(WriteRejected):  # another call has queued it again
            await self._documents.write(TENANTS, job.tenant_id, [Replace(queued, stored.etag)])
        await self._tenants_refresher.refresh()

    async def jobs(self, tenant_id: str) -> list[JobStatus]:
        """Read every stored job with its progress."""
        found: list[Document] = []
        for prefix in self._kind.prefixes:
            found += await query_all(self._documents, TENANTS, tenant_id, prefix)
        return [await self._status(each) for each in found if without_tombstone(each)]

    async def job(self, tenant_id: str, id: str) -> JobStatus:
        """Read one job. Raises a 404 `Problem` if there is none."""
        for prefix in reversed(self._kind.prefixes):
            found = without_tombstone(await self._documents.read(TENANTS, tenant_id, f"{prefix}{id}", latest=True))
            if found is not None:
                return await self._status(found)
        raise not_found(self._kind.name)

    async def _status(self, stored: Document) -> JobStatus:
        job = Job.from_document(stored, self._kind)
        progress = await self._documents.read(VIDEOS, job.tenant_id, job.progress_id, latest=True)
        return JobStatus(job, progress.body if progress else {})

    # ---- the worker

    @abstractmethod
    async def go_on(self, job: Job, lines: bytes, progress: Progress, until: float) -> bool:
        """Continue a file from `progress` until `until` (of `elapsed_seconds`); return whether it is finished."""

    async def run(self) -> int:
        """Run queued jobs that no other worker has leased, for at most `RUN_SECONDS`; return how many were finished."""
        if self._running.locked():
            return 0
        finished = 0
        async with self._running:
            until = elapsed_seconds() + RUN_SECONDS
            for tenant_id, ids in self._tenants.waiting_jobs(self._kind.prefixes).items():
                for id in ids if not self._kind.in_turn else await self._in_turn(tenant_id, ids):
                    if elapsed_seconds() >= until:
                        return finished
                    done = await self._try(tenant_id, id, until)
                    finished += done
                    if self._kind.in_turn and not done:
                        break
        return finished

    async def _in_turn(self, tenant_id: str, ids: Sequence[str]) -> list[str]:
        """Sort jobs by the time at which they were queued."""
        queued: dict[str, float] = {}
        try:
            for id in ids:
                stored = await self._documents.read(TENANTS, tenant_id, id, latest=True)
                queued[id] = float(stored.body.get("queuedAt", 0.0)) if stored else 0.0
        except StoreUnavailable:
            self._telemetry.count("store_failures", self._kind.name)
            return []
        return sorted(queued, key=lambda id: (queued[id], id))

    async def _try(self, tenant_id: str, id: str, until: float) -> bool:
        try:
            return await self._work(tenant_id, id, until)
        except (StoreUnavailable, BlobsUnavailable):
            self._telemetry.count("store_failures", self._kind.name)
        except (Problem, TakenOver):
            pass  # its videos kept changing, or another worker took over: the next run tries again
        except Exception as error:
            await self._failed(tenant_id, id, error)
        return False

    async def _failed(self, tenant_id: str, id: str, error: Exception) -> None:
        """Log why a job failed; give it up after `FAILURES_ALLOWED` failures."""
        error_id = secrets.token_hex(8)
        log.error("an import failed, error id %s\n%s", error_id, traceback_without_values(error))
        self._failures[tenant_id, id] += 1
        if self._failures[tenant_id, id] < FAILURES_ALLOWED:
            return
        with contextlib.suppress(StoreError):  # the next run tries to write it again
            await self._give_up(tenant_id, id, f"Its rows could not be written. Quote the error id {error_id}.")

    async def _give_up(self, tenant_id: str, id: str, reason: str) -> None:
        """End a job for good, with a reason that clients see."""
        stored = await self._documents.read(TENANTS, tenant_id, id, latest=True)
        if stored is not None and stored.body.get("state") != "done":
            failed = {**stored.body, "state": "done", "failure": reason, "failedAt": self._clock()}
            await self._documents.write(TENANTS, tenant_id, [Replace(failed, stored.etag)])
            await self._tenants_refresher.refresh()
        self._failures.pop((tenant_id, id), None)

    async def _work(self, tenant_id: str, id: str, until: float) -> bool:
        """Continue a job until `until`; return whether it is finished."""
        stored = await self._documents.read(TENANTS, tenant_id, id, latest=True)
        if stored is None or stored.body.get("state") == "done":
            return False
        job = Job.from_document(stored, self._kind)
        progress = await self._take_lease(job)
        if progress is None:
            return False
        if progress.body.get("finishedAt") is None:
            lines = await self._blobs.read(UPLOADS, job.blob)
            if lines is None:
                await self._give_up(tenant_id, id, "The file is gone. Send it again.")
                return True
            if not await self.go_on(job, lines, progress, until):
                return False
            await progress.write({"finishedAt": self._clock(), "leasedUntil": 0.0})
        await self._blobs.delete(UPLOADS, job.blob)  # first, because no later run would delete the file of a done job
        await self._documents.write(TENANTS, tenant_id, [Upsert({**stored.body, "state": "done"})])
        await self._tenants_refresher.refresh()
        return True

    async def _take_lease(self, job: Job) -> Progress | None:
        """Lease the progress document to this worker; None while another worker holds the lease."""
        now = self._clock()
        stored = await self._documents.read(VIDEOS, job.tenant_id, job.progress_id, latest=True)
        if stored is not None:
            owner, until = stored.body.get("worker"), float(stored.body.get("leasedUntil", 0.0))
            if owner != self._worker and now < until <= now + 2 * LEASE_SECONDS:  # a later end: a clock was set back
                return None
        body: Json = {
            "id": job.progress_id,
            "kind": f"{self._kind.name}-progress",
            "processed": 0,
            "counts": {},
            "rejections": [],
            "noted": [],
            "notes": 0,
            "startedAt": now,
            "finishedAt": None,
            "ttl": self._kind.keep_seconds,
            **(stored.body if stored else {}),
            "worker": self._worker,
            "leasedUntil": now + LEASE_SECONDS,
        }
        try:
            operation = Replace(body, stored.etag) if stored else Create(body)
            etags = await self._documents.write(VIDEOS, job.tenant_id, [operation])
        except WriteRejected:
            return None
        return Progress(self._documents, Document(job.tenant_id, job.progress_id, body, etags[0] or ""), self._clock)


def kept_rows(before: list[Json], more: list[Json]) -> list[Json]:
    """Append rows to a list until it reaches `KEPT_REJECTIONS` or `KEPT_BYTES`."""
    kept = list(before)
    room = KEPT_BYTES - len(json.dumps(kept))
    for row in more:
        room -= len(json.dumps(row)) + 2
        if room < 0 or len(kept) >= KEPT_REJECTIONS:
            break
        kept.append(row)
    return kept


def _digest(tenant_id: str, key: str, lines: bytes) -> str:
    digest = hashlib.blake2b(f"{tenant_id}\n{key}\n".encode(), digest_size=12)
    digest.update(lines)
    return digest.hexdigest()
