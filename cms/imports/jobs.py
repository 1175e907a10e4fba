"""Bulk imports: a thousand rows at once, more as a job that goes on after a crash and counts every row once.

A job has two documents. The ticket, in the container `tenants`, tells every instance that there is work. The progress,
in the container `videos`, is written in the same atomic batch as the rows it counts, so a slice is either written and
counted or neither; whoever goes on begins where the counting stopped. The same file sent again is the same job.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from cms.changes import Author, Change, apply_change, audit_entry, without_tombstone
from cms.imports.rows import Outcome, count_rows, judge, parse_row
from shared.adapters.blobs.port import UPLOADS, Blobs, BlobsUnavailable
from shared.adapters.documents.port import (
    DAY_SECONDS,
    TENANTS,
    VIDEOS,
    Create,
    Document,
    DocumentStore,
    Json,
    Operation,
    Replace,
    StoreUnavailable,
    Upsert,
    WriteRejected,
)
from shared.adapters.refresh import Refresher
from shared.adapters.retry import retry
from shared.adapters.tenant_directory import TenantDirectory
from shared.domain.formats import VIDEO_ID, iso_time_or_none
from shared.domain.records import AFTER_VIDEOS
from shared.observability.metrics import Telemetry
from shared.web.problems import Problem

SLICE_ROWS = 90
"""Rows a batch: with progress and audit, below what a batch may hold."""
READS_AT_ONCE = 16
ATTEMPTS = 8
LEASE_SECONDS = 30.0
"""A worker that has not written for this long is dead; another may go on."""
RUN_SECONDS = 240.0
PAUSE_SECONDS = 0.02
"""Between slices, so that requests of viewers come first."""
KEPT_REJECTIONS = 500
KEEP_SECONDS = 30 * DAY_SECONDS
JUDGED_AT_A_TIME = 15
"""Rows before the event loop gets its turn: about a millisecond."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a ticket says. `author` is who uploaded the file."""

    tenant_id: str
    id: str
    rows: int
    author: Author

    @property
    def blob(self) -> str:
        return f"{self.tenant_id}/{self.id}.ndjson"

    @property
    def progress_id(self) -> str:
        return f"{AFTER_VIDEOS}import:{self.id}"


def ticket_id(job_id: str) -> str:
    """The id of a job's ticket."""
    return f"import:{job_id}"


def _digest(tenant_id: str, key: str, lines: bytes) -> str:
    digest = hashlib.blake2b(f"{tenant_id}\n{key}\n".encode(), digest_size=12)
    digest.update(lines)
    return digest.hexdigest()


def read_ticket(ticket: Document) -> Job:
    """The job of a stored ticket."""
    body = ticket.body
    author = Author(str(body.get("who", "")), float(body["queuedAt"]), body.get("why"))
    return Job(ticket.partition, str(body["jobId"]), int(body["rows"]), author)


def shown_job(ticket: Document, progress: Document | None) -> dict[str, Any]:
    """A job as the API answers it."""
    done = progress.body if progress else {}
    processed = int(done.get("processed", 0))
    finished = done.get("finishedAt") is not None
    job = read_ticket(ticket)
    return {
        "id": job.id,
        "state": "done" if finished else "processing" if processed else "queued",
        "rows": job.rows,
        "processed": processed,
        "counts": {name: int((done.get("counts") or {}).get(name, 0)) for name in STATUSES},
        "rejected": done.get("rejections") or [],
        "rejectedNotListed": max(
            0, int((done.get("counts") or {}).get("rejected", 0)) - len(done.get("rejections") or [])
        ),
        "queuedAt": iso_time_or_none(job.author.at),
        "startedAt": iso_time_or_none(done.get("startedAt")),
        "finishedAt": iso_time_or_none(done.get("finishedAt")),
        "who": job.author.who,
    }


STATUSES = ("created", "updated", "unchanged", "rejected")


class TakenOver(Exception):
    """Another worker goes on with this import."""


class ImportJobs:
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
        self._busy = asyncio.Lock()

    async def import_now(self, tenant_id: str, lines: bytes, author: Author) -> list[Outcome]:
        """Write the rows and say what became of each. A row that is at fault sinks no other."""
        outcomes: list[Outcome] = []
        rows = lines.split(b"\n")
        while len(outcomes) < len(rows):
            outcomes += await self._write_slice(tenant_id, rows, len(outcomes), author)
        return outcomes

    async def queue(self, tenant_id: str, lines: bytes, author: Author, idempotency_key: str = "") -> Job:
        """Keep the file and its ticket, and return the job.

        The same file is the same job while that is under way, and with the same idempotency key for as long as it is
        remembered; without a key, a file that is sent again later is imported again.
        """
        job = Job(tenant_id, _digest(tenant_id, idempotency_key, lines), count_rows(lines), author)
        stored = await self._documents.read(TENANTS, tenant_id, ticket_id(job.id), latest=True)
        if stored is not None:
            if idempotency_key or stored.body.get("state") != "done":
                return read_ticket(stored)
            job = Job(tenant_id, _digest(tenant_id, f"again {author.at}", lines), job.rows, author)
        await self._blobs.write(UPLOADS, job.blob, lines)
        ticket = {
            "id": ticket_id(job.id),
            "kind": "import",
            "jobId": job.id,
            "state": "queued",
            "rows": job.rows,
            "queuedAt": author.at,
            "who": author.who,
            "why": author.why,
            "ttl": KEEP_SECONDS,
        }
        try:
            await apply_change(
                self._documents, Change(TENANTS, tenant_id, "import", job.id, "queue", None, ticket), author
            )
        except Problem as problem:
            if problem.code != "already_exists":
                raise
        await self._tenants_refresher.refresh()
        return job

    async def _write_slice(self, tenant_id: str, rows: Sequence[bytes], start: int, author: Author) -> list[Outcome]:
        async def once() -> list[Outcome]:
            operations, judged = await self._judge_slice(tenant_id, rows, start, author)
            if operations:
                await self._documents.write(VIDEOS, tenant_id, operations)
            return judged

        try:
            return await retry(once, (WriteRejected,), attempts=ATTEMPTS)
        except WriteRejected as refusal:
            raise _busy() from refusal

    async def run(self) -> int:
        """Go on with whatever waits and nobody else works on, for a few minutes; how many jobs were finished."""
        if self._busy.locked():
            return 0
        finished = 0
        async with self._busy:
            until = self._clock() + RUN_SECONDS
            for tenant_id, id in self._tenants.waiting_imports():
                if self._clock() >= until:
                    break
                try:
                    finished += await self._work(tenant_id, id, until)
                except (StoreUnavailable, BlobsUnavailable):
                    self._telemetry.count("store_failures", "import")
                except (Problem, TakenOver):
                    continue  # rows kept changing under us, or another worker goes on: the next run looks again
        return finished

    async def _work(self, tenant_id: str, id: str, until: float) -> bool:
        documents = self._documents
        ticket = await documents.read(TENANTS, tenant_id, id, latest=True)
        if ticket is None or ticket.body.get("state") == "done":
            return False
        job = read_ticket(ticket)
        progress = await self._lease(job)
        if progress is None:
            return False
        if progress.body.get("finishedAt") is None:
            lines = await self._blobs.read(UPLOADS, job.blob)
            rows = lines.split(b"\n") if lines else []
            while progress.body["processed"] < len(rows):
                if self._clock() >= until:
                    return False
                progress = await self._slice(job, rows, progress)
                await asyncio.sleep(PAUSE_SECONDS)
            await self._finish(progress)
        await documents.write(TENANTS, tenant_id, [Upsert({**ticket.body, "state": "done"})])
        await self._blobs.delete(UPLOADS, job.blob)
        await self._tenants_refresher.refresh()
        return True

    async def _lease(self, job: Job) -> Document | None:
        """The progress with our name on it; None while another worker is at it."""
        now = self._clock()
        documents = self._documents
        stored = await documents.read(VIDEOS, job.tenant_id, job.progress_id, latest=True)
        if stored is not None:
            owner, until = stored.body.get("worker"), float(stored.body.get("leasedUntil", 0.0))
            if owner != self._worker and now < until:
                return None
        body: Json = {
            "id": job.progress_id,
            "kind": "import-progress",
            "processed": 0,
            "counts": {},
            "rejections": [],
            "startedAt": now,
            "finishedAt": None,
            "ttl": KEEP_SECONDS,
            **(stored.body if stored else {}),
            "worker": self._worker,
            "leasedUntil": now + LEASE_SECONDS,
        }
        try:
            operation = Replace(body, stored.etag) if stored else Create(body)
            etags = await documents.write(VIDEOS, job.tenant_id, [operation])
        except WriteRejected:
            return None
        return Document(job.tenant_id, job.progress_id, body, etags[0] or "")

    async def _slice(self, job: Job, rows: Sequence[bytes], progress: Document) -> Document:
        """Write the next rows together with the count of them."""
        done = progress.body

        async def once() -> Document:
            operations, outcomes = await self._judge_slice(job.tenant_id, rows, done["processed"], job.author)
            rejected = [outcome.to_json() for outcome in outcomes if outcome.status == "rejected"]
            body = {
                **done,
                "processed": done["processed"] + len(outcomes),
                "counts": dict(Counter(done["counts"]) + Counter(outcome.status for outcome in outcomes)),
                "rejections": (done["rejections"] + rejected)[:KEPT_REJECTIONS],
                "leasedUntil": self._clock() + LEASE_SECONDS,
            }
            etags = await self._documents.write(VIDEOS, job.tenant_id, [Replace(body, progress.etag), *operations])
            return Document(progress.partition, progress.id, body, etags[0] or "")

        def edited(error: Exception) -> bool:
            """Whether somebody edited one of these videos, not the progress: judge the rows again."""
            return isinstance(error, WriteRejected) and 0 not in error.failures

        try:
            return await retry(once, (WriteRejected,), when=edited, attempts=ATTEMPTS)
        except WriteRejected as refusal:
            raise (_busy() if edited(refusal) else TakenOver()) from refusal

    async def _finish(self, progress: Document) -> None:
        body = {**progress.body, "finishedAt": self._clock(), "leasedUntil": 0.0}
        try:
            await self._documents.write(VIDEOS, progress.partition, [Replace(body, progress.etag)])
        except WriteRejected as refusal:
            raise TakenOver from refusal

    async def _judge_slice(
        self, tenant_id: str, rows: Sequence[bytes], start: int, author: Author
    ) -> tuple[list[Operation], list[Outcome]]:
        """What to write for up to `SLICE_ROWS` rows, with one audit entry for all, and each row's outcome."""
        parsed = [parse_row(line) for line in rows[start : start + SLICE_ROWS]]
        wanted = {id for id, _, _ in parsed if id and VIDEO_ID.matches(id)}
        stored = await self._read_all(tenant_id, wanted)
        now = self._clock()
        pending: dict[str, Json] = {}
        outcomes: list[Outcome] = []
        for at, (id, payload, faults) in enumerate(parsed):
            status, document = "rejected", None
            if payload is not None:
                known = pending.get(id or "") or _body(stored.get(id or ""))
                status, document, faults = judge(payload, known, now, author.who)
            if document is not None:
                pending[document["id"]] = document
            outcomes.append(Outcome(start + at + 1, id, status, tuple(faults)))
            if at % JUDGED_AT_A_TIME == JUDGED_AT_A_TIME - 1:
                await asyncio.sleep(0)
        operations: list[Operation] = []
        for id, document in pending.items():
            before = stored.get(id)
            operations.append(Replace(document, before.etag) if before else Create(document))
        if operations:
            change = Change(VIDEOS, tenant_id, "video", f"{len(operations)} videos", "import", None, None)
            operations.append(Create(audit_entry(change, author, count=len(operations))))
        return operations, outcomes

    async def _read_all(self, tenant_id: str, ids: set[str]) -> dict[str, Document]:
        gate = asyncio.Semaphore(READS_AT_ONCE)

        async def read(id: str) -> Document | None:
            async with gate:
                return await self._documents.read(VIDEOS, tenant_id, id, latest=True)

        found = await asyncio.gather(*(read(id) for id in sorted(ids)))
        return {document.id: document for document in found if document is not None}


def _body(document: Document | None) -> Json | None:
    known = without_tombstone(document)
    return known.body if known else None


def _busy() -> Problem:
    return Problem(409, "conflict", "Somebody keeps changing the same videos. Send the file again in a while.")
