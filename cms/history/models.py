"""Request and response models of imports of past events. Pure."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field

from cms.imports.files import FileForm
from cms.imports.models import JobKind, JobStatus, state_of
from cms.imports.tables import Columns
from cms.views import FaultView, one_of
from shared.adapters.documents.port import DAY_SECONDS
from shared.domain.event_types import ABOUT_NO_VIDEO, EVENT_TYPES, PROGRESS
from shared.domain.formats import iso_time, iso_time_or_none
from shared.domain.history import EVENT_FIELDS, MAX_AGE_DAYS, OFF, PERSONALIZATION, STATUSES, USER
from shared.web.responses import Count, Time, View

KEEP_SECONDS = (MAX_AGE_DAYS + 1) * DAY_SECONDS
"""How long a job is kept: until none of its events could count, so the same file stays the same job."""
HISTORY = JobKind("history", KEEP_SECONDS, repeatable=False, in_turn=True)
HISTORY_FILE = FileForm(
    "events",
    Columns(
        names=(USER, *EVENT_FIELDS, PERSONALIZATION),
        numbers=("watchTimeMs", "rankPosition"),
        lists=(),
        objects=(),
        optional=("watchTimeMs", "rankPosition", "eventId", PERSONALIZATION),
        required=USER,
    ),
    max_rows=200_000,
)

_TYPES = [name for name in EVENT_TYPES if name not in (PROGRESS, *ABOUT_NO_VIDEO)]


class PastEvent(BaseModel):
    """A past event, in the form in which apps send events. Unknown fields are dropped."""

    user: Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="The hashed user id, as in `X-User`.")]
    type: Annotated[
        str,
        Field(json_schema_extra={"enum": _TYPES}),
    ]
    videoId: str
    timestamp: Annotated[int | float | str, Field(description="ISO 8601, or milliseconds since the epoch.")]
    watchTimeMs: Annotated[float | None, Field(description="Required for `video_view`.")] = None
    rankPosition: int | None = None
    eventId: Annotated[str | None, Field(description="The event's id, if the app sent or will send the event.")] = None
    personalization: Annotated[
        str | None, Field(json_schema_extra={"enum": ["on", OFF]}, description="`off`: the user opted out.")
    ] = None


class HistoryEvents(BaseModel):
    """A file of past events as JSON."""  # only for the OpenAPI document; rows are validated one by one

    events: Annotated[list[PastEvent], Field(min_length=1, max_length=HISTORY_FILE.max_rows)]


class HistoryCounts(View):
    """Number of processed rows by outcome."""

    counted: Count
    known: Annotated[Count, Field(description="Duplicates: same user, video, type and second as an earlier event.")]
    over_cap: Annotated[
        Count,
        Field(description="Counted in signals only: above the limit per user, video and day, or per minute."),
    ]
    day_full: Annotated[Count, Field(description="Not imported: the limit of imported rows for that day is reached.")]
    left_out: Annotated[Count, Field(description="Rows of users who opted out or were erased.")]
    rejected: Count


class RejectedRow(View):
    """A rejected row. `row` is its number in the file: spreadsheet row, line, or position in the list, from 1."""

    row: Annotated[int, Field(ge=1)]
    errors: list[FaultView]


class HistoryJob(View):
    """Progress of an import of past events."""

    id: str
    state: Annotated[str, Field(json_schema_extra=one_of("queued", "processing", "done", "failed"))]
    failure: Annotated[
        str | None, Field(description="Why it failed. Sending the same file again continues where it stopped.")
    ]
    rows: Count
    processed: Annotated[Count, Field(description="Number of rows processed.")]
    counts: HistoryCounts
    rejected: Annotated[list[RejectedRow], Field(description="The first rejected rows.")]
    rejected_not_listed: Count
    queued_at: Time
    started_at: Time | None
    finished_at: Time | None
    who: Annotated[str, Field(description="The name of the key that sent the file.")]


class HistoryJobs(View):
    """The jobs of the last 91 days."""

    jobs: Annotated[list[HistoryJob], Field(description="The latest first.")]


def history_view(status: JobStatus) -> HistoryJob:
    """Build the view of a job."""
    job, progress = status.job, status.progress
    counts: dict[str, Any] = {name: int((progress.get("counts") or {}).get(name, 0)) for name in STATUSES}
    rejected = progress.get("rejections") or []
    return HistoryJob.unchecked(
        id=job.id,
        state=state_of(status),
        failure=job.failure,
        rows=job.rows,
        processed=int(progress.get("processed", 0)),
        counts=HistoryCounts.unchecked(**counts),
        rejected=[RejectedRow.unchecked(**row) for row in rejected],
        rejectedNotListed=max(0, counts["rejected"] - len(rejected)),
        queuedAt=iso_time(job.author.at),
        startedAt=iso_time_or_none(progress.get("startedAt")),
        finishedAt=iso_time_or_none(job.failed_at or progress.get("finishedAt")),
        who=job.author.who,
    )
