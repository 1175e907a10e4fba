"""Bulk imports: a thousand rows at once, more as a job that survives a crash and counts every row once.

A job has two documents. The job document, in the container `tenants`, tells every instance that there is work. The
progress document, in the container `videos`, is written in one atomic batch with the rows it counts, so a slice is
either written and counted or neither; the next worker begins where the count stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import secrets
from collections import Counter
from collections.abc import Callable, Sequence

from cms.changes import Author, Change, apply_change, audit_entry, not_found, without_tombstone
from cms.imports.models import EARLIER_PREFIX, JOB_PREFIX, KEEP_SECONDS, Job, JobStatus, job_document_id
from cms.imports.rows import REJECTED, Outcome, apply_row, count_rows, read_line
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
from shared.adapters.retry import retry
from shared.adapters.tenant_directory import TenantDirectory
from shared.domain.clocks import elapsed_seconds
from shared.observability.metrics import Telemetry
from shared.observability.tracebacks import traceback_without_values
from shared.web.problems import Problem

log = logging.getLogger("feed.imports")

SLICE_ROWS = 90
"""Rows per batch: with progress and audit, below what a batch can hold."""
SLICE_BYTES = 1_000_000
"""Of the videos in a batch, which can have 2 MB with progress and audit."""
READS_AT_ONCE = 16
ATTEMPTS = 8
LEASE_SECONDS = 30.0
"""A worker that has not written for this long is dead; another can go on."""
RUN_SECONDS = 240.0
PAUSE_SECONDS = 0.02
"""Between slices, so that requests of viewers come first."""
KEPT_REJECTIONS = 500
KEPT_BYTES = 300_000
"""Of rejections, and of notes: they are written with every slice."""
FAILURES_ALLOWED = 3
"""Runs that can end in an error before a job counts as one that cannot succeed."""
ROWS_BETWEEN_YIELDS = 15
"""Rows before the event loop gets its turn: about a millisecond."""


class TakenOver(Exception):
    """Another worker goes on with this import."""


class Importer:
    """Imports files at once or as jobs, and works off the jobs of every tenant, one at a time in a process."""

    def __init__(
        self,
        *,
        documents: DocumentStore,
        blobs: Blobs,
        tenants: TenantDirectory,
        tenants_refresher: Refresher,
        telemetry: Telemetry,
        clock: Callable[[], float],
    ) -> None:
        self._documents = documents
        self._blobs = blobs
        self._tenants = tenants
        self._tenants_refresher = tenants_refresher
        self._telemetry = telemetry
        self._clock = clock
        self._worker = secrets.token_hex(6)
        self._running = asyncio.Lock()
        self._failures: Counter[tuple[str, str]] = Counter()
        """How often each job ended in an error of its own, in this process."""

    # ---- at once

    async def import_now(self, tenant_id: str, lines: bytes, author: Author, *, audited: bool = True) -> list[Outcome]:
        """Write the rows; each row's outcome. A row with faults does not stop the others.

        `audited`: the history tells of it. The local import of a data set is no editor's work.

        Raises a 409 `Problem` when other writers keep changing the same videos.
        """
        rows = lines.split(b"\n")
        outcomes: list[Outcome] = []
        while len(outcomes) < len(rows):
            outcomes += await self._import_slice(tenant_id, rows, len(outcomes), author, audited)
        return outcomes

    async def _import_slice(
        self, tenant_id: str, rows: Sequence[bytes], start: int, author: Author, audited: bool
    ) -> list[Outcome]:
        async def write() -> list[Outcome]:
            operations, outcomes = await self._apply_slice(tenant_id, rows, start, author, audited)
            if operations:
                await self._documents.write(VIDEOS, tenant_id, operations)
            return outcomes

        try:
            return await retry(write, (WriteRejected,), attempts=ATTEMPTS)
        except WriteRejected as refusal:
            raise _conflict() from refusal

    # ---- as a job

    async def queue(self, tenant_id: str, lines: bytes, author: Author, idempotency_key: str = "") -> str:
        """Store the file and its job; the job's id.

        The same file is the same job until that is done, and with the same idempotency key for as long as the job is
        kept. Without a key, a file that is sent again later is imported again.
        """
        job = Job(tenant_id, _digest(tenant_id, idempotency_key, lines), count_rows(lines), author)
        stored = await self._documents.read(TENANTS, tenant_id, job_document_id(job.id), latest=True)
        if stored is not None:
            if idempotency_key or stored.body.get("state") != "done":
                return job.id
            job = Job(tenant_id, _digest(tenant_id, f"again {author.at}", lines), job.rows, author)
        await self._blobs.write(UPLOADS, job.blob, lines)
        change = Change(TENANTS, tenant_id, "import", job.id, "queue", None, job.to_document())
        try:
            await apply_change(self._documents, change, author)
        except Problem as problem:
            if problem.code != "already_exists":  # else the same file was sent twice at the same time
                raise
        await self._tenants_refresher.refresh()
        return job.id

    async def jobs(self, tenant_id: str) -> list[JobStatus]:
        """Every job that is kept, with its progress."""
        found = await query_all(self._documents, TENANTS, tenant_id, EARLIER_PREFIX)
        found += await query_all(self._documents, TENANTS, tenant_id, JOB_PREFIX)
        return [await self._status(each) for each in found if without_tombstone(each)]

    async def job(self, tenant_id: str, id: str) -> JobStatus:
        """One job. Raises a 404 `Problem` when there is none."""
        stored = await self._documents.read(TENANTS, tenant_id, job_document_id(id), latest=True)
        if stored is None:
            stored = await self._documents.read(TENANTS, tenant_id, f"{EARLIER_PREFIX}{id}", latest=True)
        found = without_tombstone(stored)
        if found is None:
            raise not_found("import")
        return await self._status(found)

    async def _status(self, stored: Document) -> JobStatus:
        job = Job.from_document(stored)
        progress = await self._documents.read(VIDEOS, job.tenant_id, job.progress_id, latest=True)
        return JobStatus(job, progress.body if progress else {})

    # ---- the worker

    async def run(self) -> int:
        """Work off the queued jobs that no other worker has, for a few minutes; how many were finished."""
        if self._running.locked():
            return 0
        finished = 0
        async with self._running:
            until = elapsed_seconds() + RUN_SECONDS
            for tenant_id, id in self._tenants.waiting_imports():
                if elapsed_seconds() >= until:
                    break
                try:
                    finished += await self._work(tenant_id, id, until)
                except (StoreUnavailable, BlobsUnavailable):
                    self._telemetry.count("store_failures", "import")
                except (Problem, TakenOver):
                    continue  # its videos kept changing, or another worker goes on: the next run looks again
                except Exception as error:
                    await self._failed(tenant_id, id, error)
        return finished

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
        job = Job.from_document(stored)
        progress = await self._take_lease(job)
        if progress is None:
            return False
        if progress.body.get("finishedAt") is None:
            lines = await self._blobs.read(UPLOADS, job.blob)
            if lines is None:
                await self._give_up(tenant_id, id, "The file is gone. Send it again.")
                return True
            rows = lines.split(b"\n")
            while progress.body["processed"] < len(rows):
                if elapsed_seconds() >= until:
                    return False
                progress = await self._import_counted_slice(job, rows, progress)
                await asyncio.sleep(PAUSE_SECONDS)
            await self._finish(progress)
        await self._documents.write(TENANTS, tenant_id, [Upsert({**stored.body, "state": "done"})])
        await self._blobs.delete(UPLOADS, job.blob)
        await self._tenants_refresher.refresh()
        return True

    async def _take_lease(self, job: Job) -> Document | None:
        """The progress document, leased to this worker; None while another worker holds the lease."""
        now = self._clock()
        stored = await self._documents.read(VIDEOS, job.tenant_id, job.progress_id, latest=True)
        if stored is not None:
            owner, until = stored.body.get("worker"), float(stored.body.get("leasedUntil", 0.0))
            if owner != self._worker and now < until <= now + 2 * LEASE_SECONDS:  # beyond, a clock was set back
                return None
        body: Json = {
            "id": job.progress_id,
            "kind": "import-progress",
            "processed": 0,
            "counts": {},
            "rejections": [],
            "noted": [],
            "notes": 0,
            "startedAt": now,
            "finishedAt": None,
            "ttl": KEEP_SECONDS,
            **(stored.body if stored else {}),
            "worker": self._worker,
            "leasedUntil": now + LEASE_SECONDS,
        }
        try:
            operation = Replace(body, stored.etag) if stored else Create(body)
            etags = await self._documents.write(VIDEOS, job.tenant_id, [operation])
        except WriteRejected:
            return None
        return Document(job.tenant_id, job.progress_id, body, etags[0] or "")

    async def _import_counted_slice(self, job: Job, rows: Sequence[bytes], progress: Document) -> Document:
        """Write the next rows together with the count of them, which also renews the lease."""
        done = progress.body

        async def write() -> Document:
            operations, outcomes = await self._apply_slice(job.tenant_id, rows, done["processed"], job.author)
            rejected = [outcome.to_json() for outcome in outcomes if outcome.status == REJECTED]
            noted = [outcome.to_json() for outcome in outcomes if outcome.notes]
            body = {
                **done,
                "processed": done["processed"] + len(outcomes),
                "counts": dict(Counter(done["counts"]) + Counter(outcome.status for outcome in outcomes)),
                "rejections": _kept(done["rejections"], rejected),
                "noted": _kept(done.get("noted", []), noted),
                "notes": done.get("notes", 0) + len(noted),
                "leasedUntil": self._clock() + LEASE_SECONDS,
            }
            etags = await self._documents.write(VIDEOS, job.tenant_id, [Replace(body, progress.etag), *operations])
            return Document(progress.partition, progress.id, body, etags[0] or "")

        def video_edited(error: Exception) -> bool:
            """Whether a video was edited meanwhile, and not the progress, which comes first in the batch."""
            return isinstance(error, WriteRejected) and 0 not in error.failures

        try:
            return await retry(write, (WriteRejected,), when=video_edited, attempts=ATTEMPTS)
        except WriteRejected as refusal:
            raise (_conflict() if video_edited(refusal) else TakenOver()) from refusal

    async def _finish(self, progress: Document) -> None:
        body = {**progress.body, "finishedAt": self._clock(), "leasedUntil": 0.0}
        try:
            await self._documents.write(VIDEOS, progress.partition, [Replace(body, progress.etag)])
        except WriteRejected as refusal:
            raise TakenOver from refusal

    # ---- both

    async def _apply_slice(
        self, tenant_id: str, rows: Sequence[bytes], start: int, author: Author, audited: bool = True
    ) -> tuple[list[Operation], list[Outcome]]:
        """What to write for up to `SLICE_ROWS` rows, with one audit entry for all, and each row's outcome."""
        parsed = [read_line(line, start + at) for at, line in enumerate(rows[start : start + SLICE_ROWS])]
        stored = await self._read_videos(tenant_id, {row.id for row in parsed if row.id})
        now = self._clock()
        pending: dict[str, Json] = {}
        outcomes: list[Outcome] = []
        written = 0
        for at, row in enumerate(parsed):
            known = pending.get(row.id or "") or _body(stored.get(row.id or ""))
            outcome, document = apply_row(row, known, now, author.who)
            if document is not None:
                size = stored_bytes(document)
                if outcomes and written + size > SLICE_BYTES:
                    break
                pending[document["id"]], written = document, written + size
            outcomes.append(outcome)
            if at % ROWS_BETWEEN_YIELDS == ROWS_BETWEEN_YIELDS - 1:
                await asyncio.sleep(0)
        operations: list[Operation] = []
        for id, document in pending.items():
            before = stored.get(id)
            operations.append(Replace(document, before.etag) if before else Create(document))
        if operations and audited:
            change = Change(VIDEOS, tenant_id, "video", f"{len(operations)} videos", "import", None, None)
            operations.append(Create(audit_entry(change, author, count=len(operations))))
        return operations, outcomes

    async def _read_videos(self, tenant_id: str, ids: set[str]) -> dict[str, Document]:
        """Those of the videos that are stored, tombstones included."""
        limit = asyncio.Semaphore(READS_AT_ONCE)

        async def read(id: str) -> Document | None:
            async with limit:
                return await self._documents.read(VIDEOS, tenant_id, id, latest=True)

        found = await asyncio.gather(*(read(id) for id in sorted(ids)))
        return {document.id: document for document in found if document is not None}


def stored_bytes(document: Json) -> int:
    """How long a document is as the store gets it, every character beyond ASCII as six or twelve."""
    return len(json.dumps(document))


def _kept(before: list[Json], more: list[Json]) -> list[Json]:
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


def _body(document: Document | None) -> Json | None:
    known = without_tombstone(document)
    return known.body if known else None


def _conflict() -> Problem:
    return Problem(409, "conflict", "Somebody keeps changing the same videos. Send the file again in a while.")
