"""Jobs over files, of any kind: queued with their file, worked off one at a time, followed up after a crash.

A job has two documents. The job document, in the container `tenants`, tells every instance that there is work. The
progress document, in the container `videos`, says how far it is, and which worker has it for the next seconds.
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
"""A worker that has not written for this long is dead; another can go on."""
RUN_SECONDS = 240.0
KEPT_REJECTIONS = 500
KEPT_BYTES = 300_000
"""Of rejections, and of notes: they are written with every slice."""
FAILURES_ALLOWED = 3
"""Runs that can end in an error before a job counts as one that cannot succeed."""


class TakenOver(Exception):
    """Another worker goes on with this job."""


class Progress:
    """A job's progress document, leased to this worker; each write renews the lease."""

    def __init__(self, documents: DocumentStore, stored: Document, clock: Callable[[], float]) -> None:
        self._documents, self._stored, self._clock = documents, stored, clock

    @property
    def body(self) -> Json:
        return self._stored.body

    async def write(self, changes: Json, operations: Sequence[Operation] = ()) -> None:
        """Write the progress with some fields changed, in one batch with operations of the tenant's videos.

        Raises `TakenOver` when another worker wrote it, and `WriteRejected` when only another operation was refused.
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
    """What a queue of jobs is built from. `clock` gives seconds since the epoch."""

    documents: DocumentStore
    blobs: Blobs
    tenants: TenantDirectory
    tenants_refresher: Refresher
    telemetry: Telemetry
    clock: Callable[[], float]


class JobQueue(ABC):
    """The jobs of one kind, of every tenant; one at a time in a process."""

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
        """How often each job ended in an error of its own, in this process."""

    # ---- what is asked for

    async def queue(self, tenant_id: str, lines: bytes, author: Author, idempotency_key: str = "") -> str:
        """Store the file and its job; the job's id.

        The same file is the same job until that is done, and with the same idempotency key for as long as the job is
        kept. Without a key, a file that is sent again later is imported again, where the kind of job allows it; else
        only one that failed goes on from where it stopped.
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
            if problem.code != "already_exists":  # else the same file was sent twice at the same time
                raise
        await self._tenants_refresher.refresh()
        return job.id

    async def _begin_again(self, job: Job, stored: Document, lines: bytes) -> None:
        """Queue a job once more that failed; one that succeeded stays as it is."""
        if stored.body.get("failure") is None:
            return
        await self._blobs.write(UPLOADS, job.blob, lines)
        queued = {**stored.body, "state": "queued", "failure": None, "failedAt": None}
        with contextlib.suppress(WriteRejected):  # then somebody else has sent it again
            await self._documents.write(TENANTS, job.tenant_id, [Replace(queued, stored.etag)])
        await self._tenants_refresher.refresh()

    async def jobs(self, tenant_id: str) -> list[JobStatus]:
        """Every job that is kept, with its progress."""
        found: list[Document] = []
        for prefix in self._kind.prefixes:
            found += await query_all(self._documents, TENANTS, tenant_id, prefix)
        return [await self._status(each) for each in found if without_tombstone(each)]

    async def job(self, tenant_id: str, id: str) -> JobStatus:
        """One job. Raises a 404 `Problem` when there is none."""
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
        """Go on with a file from where `progress` stands until `until` (`elapsed_seconds`); whether it is done."""

    async def run(self) -> int:
        """Work off the queued jobs that no other worker has, for a few minutes; how many were finished."""
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
        """The jobs in the order in which they were queued."""
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
            pass  # its videos kept changing, or another worker goes on: the next run looks again
        except Exception as error:
            await self._failed(tenant_id, id, error)
        return False

    async def _failed(self, tenant_id: str, id: str, error: Exception) -> None:
        """Log why a job did not go on; after `FAILURES_ALLOWED` times end it, for it will not succeed."""
        error_id = secrets.token_hex(8)
        log.error("an import failed, error id %s\n%s", error_id, traceback_without_values(error))
        self._failures[tenant_id, id] += 1
        if self._failures[tenant_id, id] < FAILURES_ALLOWED:
            return
        with contextlib.suppress(StoreError):  # then the next run tries to say so
            await self._give_up(tenant_id, id, f"Its rows could not be written. Quote the error id {error_id}.")

    async def _give_up(self, tenant_id: str, id: str, reason: str) -> None:
        """End a job for good, with a reason that its reader sees."""
        stored = await self._documents.read(TENANTS, tenant_id, id, latest=True)
        if stored is not None and stored.body.get("state") != "done":
            failed = {**stored.body, "state": "done", "failure": reason, "failedAt": self._clock()}
            await self._documents.write(TENANTS, tenant_id, [Replace(failed, stored.etag)])
            await self._tenants_refresher.refresh()
        self._failures.pop((tenant_id, id), None)

    async def _work(self, tenant_id: str, id: str, until: float) -> bool:
        """Go on with a job until `until`; whether it is finished now."""
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
        await self._blobs.delete(UPLOADS, job.blob)  # first: of a job that is done nobody would
        await self._documents.write(TENANTS, tenant_id, [Upsert({**stored.body, "state": "done"})])
        await self._tenants_refresher.refresh()
        return True

    async def _take_lease(self, job: Job) -> Progress | None:
        """The progress document, leased to this worker; None while another worker holds the lease."""
        now = self._clock()
        stored = await self._documents.read(VIDEOS, job.tenant_id, job.progress_id, latest=True)
        if stored is not None:
            owner, until = stored.body.get("worker"), float(stored.body.get("leasedUntil", 0.0))
            if owner != self._worker and now < until <= now + 2 * LEASE_SECONDS:  # beyond, a clock was set back
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
    """The first rows of a list that stays within `KEPT_REJECTIONS` and `KEPT_BYTES`."""
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
