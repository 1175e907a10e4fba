"""Imports videos in bulk: up to 1,000 rows at once, more as a job that resumes after a crash and counts each row once.

A job writes its progress in one atomic batch with the rows that it counts. So a slice is both written and counted, or
neither, and the next worker continues where the count stopped.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence

from cms.changes import Author, Change, audit_entry, without_tombstone
from cms.imports.files import read_line
from cms.imports.job_queue import JobParts, JobQueue, Progress, kept_rows
from cms.imports.models import IMPORT, Job
from cms.imports.rows import REJECTED, Outcome, apply_row
from shared.adapters.documents.port import VIDEOS, Create, Document, Json, Operation, Replace, WriteRejected
from shared.adapters.retry import retry
from shared.domain.clocks import elapsed_seconds
from shared.web.problems import Problem

SLICE_ROWS = 90
"""Rows per batch: with progress and audit, below the limit of operations in a batch."""
SLICE_BYTES = 1_000_000
"""Size of the videos in a batch. A batch can have 2 MB with progress and audit."""
READS_AT_ONCE = 16
ATTEMPTS = 8
PAUSE_SECONDS = 0.02
"""Pause between slices, so viewers' requests come first."""
ROWS_BETWEEN_YIELDS = 15
"""Rows processed before yielding to the event loop: about a millisecond."""


class Importer(JobQueue):
    """Imports files at once or as jobs, and runs the jobs of all tenants, one at a time per process."""

    def __init__(self, parts: JobParts) -> None:
        super().__init__(IMPORT, parts)

    # ---- at once

    async def import_now(self, tenant_id: str, lines: bytes, author: Author, *, audited: bool = True) -> list[Outcome]:
        """Write the rows; return each row's outcome. A row with faults does not stop the others.

        `audited`: write audit entries; False for the local import of a data set, which no editor made.

        Raises a 409 `Problem` if other writers keep changing the same videos.
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

    async def go_on(self, job: Job, lines: bytes, progress: Progress, until: float) -> bool:
        """Write the remaining rows until `until`; return whether all are written."""
        rows = lines.split(b"\n")
        while progress.body["processed"] < len(rows):
            if elapsed_seconds() >= until:
                return False
            await self._import_counted_slice(job, rows, progress)
            await asyncio.sleep(PAUSE_SECONDS)
        return True

    async def _import_counted_slice(self, job: Job, rows: Sequence[bytes], progress: Progress) -> None:
        """Write the next rows in one batch with the progress, which also renews the lease."""
        done = progress.body

        async def write() -> None:
            operations, outcomes = await self._apply_slice(job.tenant_id, rows, done["processed"], job.author)
            rejected = [outcome.to_json() for outcome in outcomes if outcome.status == REJECTED]
            noted = [outcome.to_json() for outcome in outcomes if outcome.notes]
            counted = {
                "processed": done["processed"] + len(outcomes),
                "counts": dict(Counter(done["counts"]) + Counter(outcome.status for outcome in outcomes)),
                "rejections": kept_rows(done["rejections"], rejected),
                "noted": kept_rows(done.get("noted", []), noted),
                "notes": done.get("notes", 0) + len(noted),
            }
            await progress.write(counted, operations)

        try:  # a refused write means that a video was edited meanwhile
            await retry(write, (WriteRejected,), attempts=ATTEMPTS)
        except WriteRejected as refusal:
            raise _conflict() from refusal

    # ---- both

    async def _apply_slice(
        self, tenant_id: str, rows: Sequence[bytes], start: int, author: Author, audited: bool = True
    ) -> tuple[list[Operation], list[Outcome]]:
        """Build the writes of up to `SLICE_ROWS` rows, with one audit entry for all; also return each row's outcome."""
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
        """Read those of the videos that are stored, tombstones included."""
        limit = asyncio.Semaphore(READS_AT_ONCE)

        async def read(id: str) -> Document | None:
            async with limit:
                return await self._documents.read(VIDEOS, tenant_id, id, latest=True)

        found = await asyncio.gather(*(read(id) for id in sorted(ids)))
        return {document.id: document for document in found if document is not None}


def stored_bytes(document: Json) -> int:
    """Return the length of a document as sent to the store: each non-ASCII character takes six or twelve bytes."""
    return len(json.dumps(document))


def _body(document: Document | None) -> Json | None:
    known = without_tombstone(document)
    return known.body if known else None


def _conflict() -> Problem:
    return Problem(
        409,
        "conflict",
        "Other changes to the same videos were saved during the import. Send the file again in a few minutes.",
    )
