"""Import jobs: what is stored, what is answered. Pure."""

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
"""How long a job can be read after it was queued."""


@dataclass(frozen=True, slots=True)
class JobKind:
    """A kind of jobs over files. `name` stands in ids, in the audit and in metrics.

    `repeatable`: a file whose job is done can be sent again. `in_turn`: jobs of one tenant go one after another, in the
    order in which they were queued. `earlier`: what ids of jobs of earlier releases begin with.
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
        """What the ids of its documents begin with, earlier releases' first."""
        return (*self.earlier, f"{self.document_kind}:")


IMPORT = JobKind("import", KEEP_SECONDS, earlier=("import:",))
"""Files as an earlier release stored them have the first prefix."""


class ImportFile(BaseModel):
    """A file of videos as JSON."""  # for the document; the rows are read one by one

    videos: Annotated[list[Any], Field(description="Each as it is sent to create a video.")]


@dataclass(frozen=True, slots=True)
class Job:
    """A queued file. `author` is who uploaded it, and when; `failure` why it was given up, None while it was not."""

    tenant_id: str
    id: str
    rows: int
    author: Author
    kind: JobKind = IMPORT
    failure: str | None = None
    failed_at: float | None = None

    @classmethod
    def from_document(cls, document: Document, kind: JobKind = IMPORT) -> Job:
        """The job of a stored document."""
        body = document.body
        author = Author(str(body.get("who", "")), float(body["queuedAt"]), body.get("why"))
        failure, failed_at = body.get("failure"), body.get("failedAt")
        return cls(document.partition, str(body["jobId"]), int(body["rows"]), author, kind, failure, failed_at)

    def to_document(self) -> Json:
        """The job as it is stored when it is queued."""
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
    """A job and its stored progress, {} before the work began."""

    job: Job
    progress: Json


def state_of(status: JobStatus) -> str:
    """A job's state as it is answered."""
    if status.job.failure:
        return "failed"
    if status.progress.get("finishedAt") is not None:
        return "done"
    return "processing" if status.progress.get("processed") else "queued"


class ImportRow(View):
    """What became of a row. `row` is its number in the file: of the spreadsheet, the line or the place in the list."""

    row: Annotated[int, Field(ge=1)]
    id: Annotated[str | None, Field(description="null: the row has none that can be read.")]
    status: Annotated[str, Field(json_schema_extra=one_of(*STATUSES))]
    errors: Annotated[list[FaultView], Field(description="Why it was rejected.")] = []
    notes: Annotated[list[FaultView], Field(description="What did not happen although it was written.")] = []


class ReportCounts(View):
    """Rows by what became of them; a status that no row has is left out."""

    created: Count = 0
    updated: Count = 0
    unchanged: Count = 0
    rejected: Count = 0


class ImportReport(View):
    """What became of each row of a small file."""

    rows: list[ImportRow]
    counts: ReportCounts


class JobCounts(View):
    """Rows by what became of them."""

    created: Count
    updated: Count
    unchanged: Count
    rejected: Count


class ImportJob(View):
    """How far the import of a large file is."""

    id: str
    state: Annotated[str, Field(json_schema_extra=one_of("queued", "processing", "done", "failed"))]
    failure: Annotated[str | None, Field(description="Why it failed; rows processed until then are written.")]
    rows: Count
    processed: Count
    counts: Annotated[JobCounts, Field(description="Rows processed, by what became of them.")]
    rejected: Annotated[list[ImportRow], Field(description="The first of the rejected rows.")]
    rejected_not_listed: Count
    noted: Annotated[list[ImportRow], Field(description="The first of the accepted rows with notes.")]
    noted_not_listed: Count
    queued_at: Time
    started_at: Time | None
    finished_at: Time | None
    who: Annotated[str, Field(description="The name of the key that sent the file.")]


class ImportJobs(View):
    """The jobs of the last 30 days."""

    imports: Annotated[list[ImportJob], Field(description="The latest first.")]


def report_view(outcomes: Sequence[Outcome]) -> ImportReport:
    """The answer to a small file."""
    counts = Counter(outcome.status for outcome in outcomes)
    return ImportReport.unchecked(
        rows=[ImportRow.unchecked(**outcome.to_json()) for outcome in outcomes],
        counts=ReportCounts.unchecked(**counts),
    )


def job_view(status: JobStatus) -> ImportJob:
    """A job as it is answered."""
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
