"""Imports files of past events as jobs. `Taker` processes the rows; this module only queues and reads them."""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from heapq import nsmallest
from operator import itemgetter
from typing import Protocol

from cms.forms import Fault
from cms.history.models import HISTORY, HISTORY_FILE
from cms.imports.files import Row, read_file, read_line
from cms.imports.job_queue import KEPT_REJECTIONS, JobParts, JobQueue, Progress, kept_rows
from cms.imports.models import Job
from shared.adapters.documents.port import Json

Refusal = tuple[int, str, str]
"""A refused row: its number, error code and message."""


class Taker(Protocol):
    """Processes the rows of a job."""

    def kept(self, tenant_id: str, values: Json) -> Json | tuple[str, str]:
        """Return the fields of a row to store until it is processed, or the error code and message if it is refused."""
        ...

    async def go_on(
        self,
        file: tuple[str, str, float],
        rows: Iterable[tuple[int, Json | None]],
        count: int,
        report: Callable[[int, Mapping[str, int], Sequence[Refusal]], Awaitable[None]],
        until: float,
    ) -> bool:
        """Continue a file (tenant, job id, upload time) of `count` rows until `until`; return whether it is finished.

        The rows are iterated once, in another thread.
        """
        ...


class HistoryImporter(JobQueue):
    """Queues files of past events, and runs the jobs of all tenants, one at a time per process."""

    def __init__(self, parts: JobParts, taker: Taker) -> None:
        super().__init__(HISTORY, parts)
        self._taker = taker

    def read(self, tenant_id: str, body: bytes, content_type: str) -> bytes:
        """Convert a file to the lines to store, without user hashes and unused fields.

        Raises a 4xx `Problem` if the file as a whole cannot be read.
        """

        def prepare(row: Row) -> Row:
            if row.values is None or row.faults:
                return replace(row, values=None, empty=())
            kept = self._taker.kept(tenant_id, row.values)
            if isinstance(kept, dict):
                return replace(row, values=kept, empty=())
            return replace(row, values=None, empty=(), faults=(_fault(*kept),))

        return read_file(body, content_type, HISTORY_FILE, prepare=prepare)

    async def go_on(self, job: Job, lines: bytes, progress: Progress, until: float) -> bool:
        """Continue a job until `until`; return whether all rows are processed."""
        before: list[tuple[int, tuple[Fault, ...]]] = []

        def rows() -> Iterator[tuple[int, Json | None]]:
            """Parse rows one by one, because all rows of a large file would take hundreds of megabytes."""
            for at, line in enumerate(io.BytesIO(lines)):
                row = read_line(line.rstrip(b"\n"), at)
                if row.values is None:
                    before.append((row.number, row.faults))
                yield row.number, row.values

        async def report(processed: int, counts: Mapping[str, int], more: Sequence[Refusal]) -> None:
            refused = [*before, *((number, (_fault(code, text),)) for number, code, text in more)]
            shown = [
                {"row": number, "errors": [each.to_json() for each in faults]}
                for number, faults in nsmallest(KEPT_REJECTIONS, refused, key=itemgetter(0))
            ]
            changes = {"processed": processed, "counts": dict(counts), "rejections": kept_rows([], shown)}
            await progress.write(changes)

        file = (job.tenant_id, job.id, job.author.at)
        return await self._taker.go_on(file, rows(), job.rows, report, until)


_FIELDS = {
    "invalid_user": "user",
    "invalid_personalization": "personalization",
    "unknown_type": "type",
    "invalid_video_id": "videoId",
    "missing_watch_time": "watchTimeMs",
    "invalid_watch_time": "watchTimeMs",
    "invalid_rank_position": "rankPosition",
    "invalid_event_id": "eventId",
    "not_in_history": "type",
}


def _fault(code: str, text: str) -> Fault:
    return Fault(_FIELDS.get(code, "timestamp"), code, text)
