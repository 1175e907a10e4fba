"""Stored documents and views of import jobs. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, Field

from cms.changes import Author
from cms.imports.rows import REJECTED, STATUSES, Outcome
from cms.views import FaultView, one_of
from shared.adapters.documents.port import DAY_SECONDS, Document, Json
from shared.domain.formats import Format, iso_time, iso_time_or_none
from shared.domain.records import AFTER_VIDEOS
from shared.web.responses import Count, Time, View

JOB_ID = Format(r"[0-9a-f]{24}", "24 lower-case hex digits")
KEEP_SECONDS = 30 * DAY_SECONDS
"""How long a job is stored after it was queued."""


@dataclass(frozen=True, slots=True)
class JobKind:
    """A kind of job over files. `name` is used in ids, in the audit and in metrics.

    `repeatable`: a file whose job is done can be imported again. `in_turn`: jobs of one tenant run one after another,
    in the order in which they were queued. `earlier`: id prefixes of jobs stored by earlier releases.
    """

    name: str
    keep_seconds: int
    repeatable: bool = True
    in_turn: bool = False
    earlier: tuple[str, ...] = ()

    @property
    def document_kind(self) -> str:
        return f"{self.name}-job"

    @property
    def prefixes(self) -> tuple[str, ...]:
        """Id prefixes of its documents, those of earlier releases first."""
        return (*self.earlier, f"{self.document_kind}:")


IMPORT = JobKind("import", KEEP_SECONDS, earlier=("import:",))
"""Imports of videos. Jobs stored by earlier releases have the prefix `import:`."""


class ImportFile(BaseModel):
    """A file of videos as JSON."""  # only for the OpenAPI document; rows are validated one by one

    videos: Annotated[list[Any], Field(description="Each in the form of the body that creates a video.")]


@dataclass(frozen=True, slots=True)
class Job:
    """A job over an uploaded file. `author`: who uploaded it and when; `failure`: why it was given up, else None."""

    tenant_id: str
    id: str
    rows: int
    author: Author
    kind: JobKind = IMPORT
    failure: str | None = None
    failed_at: float | None = None

    @classmethod
    def from_document(cls, document: Document, kind: JobKind = IMPORT) -> Job:
        """Parse a stored job."""
        body = document.body
        author = Author(str(body.get("who", "")), float(body["queuedAt"]), body.get("why"))
        failure, failed_at = body.get("failure"), body.get("failedAt")
        return cls(document.partition, str(body["jobId"]), int(body["rows"]), author, kind, failure, failed_at)

    def to_document(self) -> Json:
        """Build the document of a newly queued job."""
        return {
            "id": self.document_id,
            "kind": self.kind.document_kind,
            "jobId": self.id,
            "state": "queued",
            "rows": self.rows,
            "queuedAt": self.author.at,
            "who": self.author.who,
            "why": self.author.why,
            "ttl": self.kind.keep_seconds,
        }

    @property
    def document_id(self) -> str:
        return f"{self.kind.prefixes[-1]}{self.id}"

    @property
    def blob(self) -> str:
        return f"{self.tenant_id}/{self.id}.ndjson"

    @property
    def progress_id(self) -> str:
        return f"{AFTER_VIDEOS}{self.kind.name}:{self.id}"


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A job and its stored progress, {} before the first run."""

    job: Job
    progress: Json


def state_of(status: JobStatus) -> str:
    """Return a job's state: queued, processing, done or failed."""
    if status.job.failure:
        return "failed"
    if status.progress.get("finishedAt") is not None:
        return "done"
    return "processing" if status.progress.get("processed") else "queued"


class ImportRow(View):
    """Outcome of a row. `row` is its number in the file: spreadsheet row, line, or position in the list, from 1."""

    row: Annotated[int, Field(ge=1)]
    id: Annotated[str | None, Field(description="null: the row has no readable id.")]
    status: Annotated[str, Field(json_schema_extra=one_of(*STATUSES))]
    errors: Annotated[list[FaultView], Field(description="Why it was rejected.")] = []
    notes: Annotated[
        list[FaultView], Field(description="Fields that were not applied although the row was accepted.")
    ] = []


class ReportCounts(View):
    """Number of rows by status. A status without rows is left out."""

    created: Count = 0
    updated: Count = 0
    unchanged: Count = 0
    rejected: Count = 0


class ImportReport(View):
    """Outcome of each row of a small file."""

    rows: list[ImportRow]
    counts: ReportCounts


class JobCounts(View):
    """Number of rows by status."""

    created: Count
    updated: Count
    unchanged: Count
    rejected: Count


class ImportJob(View):
    """Progress of the import of a large file."""

    id: str
    state: Annotated[str, Field(json_schema_extra=one_of("queued", "processing", "done", "failed"))]
    failure: Annotated[str | None, Field(description="Why it failed. Rows processed before the failure are written.")]
    rows: Count
    processed: Count
    counts: Annotated[JobCounts, Field(description="Number of processed rows by status.")]
    rejected: Annotated[list[ImportRow], Field(description="The first rejected rows.")]
    rejected_not_listed: Count
    noted: Annotated[list[ImportRow], Field(description="The first accepted rows with notes.")]
    noted_not_listed: Count
    queued_at: Time
    started_at: Time | None
    finished_at: Time | None
    who: Annotated[str, Field(description="The name of the key that sent the file.")]


class ImportJobs(View):
    """The jobs of the last 30 days."""

    imports: Annotated[list[ImportJob], Field(description="The latest first.")]


def report_view(outcomes: Sequence[Outcome]) -> ImportReport:
    """Build the report of a small file."""
    counts = Counter(outcome.status for outcome in outcomes)
    return ImportReport.unchecked(
        rows=[ImportRow.unchecked(**outcome.to_json()) for outcome in outcomes],
        counts=ReportCounts.unchecked(**counts),
    )


def job_view(status: JobStatus) -> ImportJob:
    """Build the view of a job."""
    job, progress = status.job, status.progress
    processed = int(progress.get("processed", 0))
    counts = {name: int((progress.get("counts") or {}).get(name, 0)) for name in STATUSES}
    rejections, noted = progress.get("rejections") or [], progress.get("noted") or []
    return ImportJob.unchecked(
        id=job.id,
        state=state_of(status),
        failure=job.failure,
        rows=job.rows,
        processed=processed,
        counts=JobCounts.unchecked(**counts),
        rejected=[ImportRow.unchecked(**row) for row in rejections],
        rejectedNotListed=max(0, counts[REJECTED] - len(rejections)),
        noted=[ImportRow.unchecked(**row) for row in noted],
        notedNotListed=max(0, int(progress.get("notes", 0)) - len(noted)),
        queuedAt=iso_time(job.author.at),
        startedAt=iso_time_or_none(progress.get("startedAt")),
        finishedAt=iso_time_or_none(job.failed_at or progress.get("finishedAt")),
        who=job.author.who,
    )
