"""Writes the rows of a tenant's history that count into the sample that ranking learns from, in lines of the archive.

A part has rows of one day, and lies under that day. Its name and its bytes follow from the job and its rows alone, so a
job that goes on after a crash writes the same again. Only an erasure in between changes them: its user's lines go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime

from events.archive import HISTORY, to_lines
from events.batch import Batch
from events.erasures import erasures
from events.history_admission import HistoryRow
from events.sample import is_sample_due
from shared.adapters.blobs.port import SAMPLES, Blobs
from shared.adapters.documents.port import DocumentStore
from shared.domain.keys import Identity

ROWS_OF_PART = 50_000
PART_PREFIX = "history-"
_MS_PER_DAY = 86_400_000


@dataclass(frozen=True, slots=True)
class HistoryFile:
    """A file that was sent: its tenant, its job, and when (seconds since the epoch)."""

    tenant_id: str
    job_id: str
    sent_at: float


def day_prefix(tenant_id: str, day: int) -> str:
    """Where parts of a day (since the epoch) are."""
    return f"{tenant_id}/{datetime.fromtimestamp(day * 86_400, UTC):%Y/%m/%d}/{PART_PREFIX}"


def is_of_job(name: str, job_id: str) -> bool:
    """Whether a part was written by a job."""
    return name.rpartition("/")[2].startswith(f"{PART_PREFIX}{job_id}-")


def parts_of(file: HistoryFile, rows: Sequence[HistoryRow]) -> Iterator[tuple[str, Sequence[HistoryRow]]]:
    """The names of the parts that rows make, and the rows of each, in the order of days."""
    by_day: dict[int, list[HistoryRow]] = {}
    for row in rows:
        by_day.setdefault(row.event.at_ms // _MS_PER_DAY, []).append(row)
    for day, of_day in sorted(by_day.items()):
        for number, start in enumerate(range(0, len(of_day), ROWS_OF_PART)):
            name = f"{day_prefix(file.tenant_id, day)}{file.job_id}-{number}.jsonl.gz"
            yield name, of_day[start : start + ROWS_OF_PART]


class HistoryParts:
    """Writes parts. `clock` gives seconds since the epoch."""

    def __init__(self, documents: DocumentStore, blobs: Blobs, identity: Identity, clock: Callable[[], float]) -> None:
        self._documents = documents
        self._blobs = blobs
        self._identity = identity
        self._clock = clock

    async def write(self, file: HistoryFile, name: str, rows: Sequence[tuple[HistoryRow, bool]]) -> None:
        """Write one part: of each row whether it counts. Without the rows of erased users, and not when the part's day
        is so long ago that it would be deleted at once. Raises `StoreUnavailable` or `BlobsError`.

        An erasure looks for what is there. One that comes between asking for erasures and writing would miss this part,
        so they are asked for once more afterwards.
        """
        if is_sample_due(name, self._clock()):
            return
        users = {row.user_key for row, _ in rows}
        erased: Mapping[str, float] | None = None
        while erased != (erased := await self._erased(file.tenant_id, users)):
            batches = [
                _batch(file, row, counts) for row, counts in rows if _is_left(file, row, erased.get(row.user_key))
            ]
            content = await asyncio.to_thread(to_lines, batches, self._identity.archive_pseudonym, HISTORY)
            await self._blobs.write(SAMPLES, name, content)

    async def _erased(self, tenant_id: str, users: Set[str]) -> dict[str, float]:
        """When those of some users were erased who were."""
        found = await erasures(self._documents, tenant_id)
        return {user_key: at for user_key, at in found.items() if user_key in users}


def _is_left(file: HistoryFile, row: HistoryRow, erased_at: float | None) -> bool:
    """Whether an erasure leaves a row: one that happened and was sent after it."""
    return erased_at is None or (file.sent_at > erased_at and row.event.at_ms > erased_at * 1000)


def _batch(file: HistoryFile, row: HistoryRow, counts: bool) -> Batch:
    """A row as a batch of its own, named by its job and its number."""
    return Batch(
        id=f"{file.job_id}:{row.number}",
        tenant_id=file.tenant_id,
        user_key=row.user_key,
        accepted_at=file.sent_at,
        events=(row.event,),
        counted=(counts,),
    )
