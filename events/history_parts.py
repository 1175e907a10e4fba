"""Writes the counted rows of a tenant's history into the sample that ranking learns from, as archive lines.

A part has rows of one day and is stored under that day. Its name and content depend only on the job and its rows, so a
job that continues after a crash writes the same bytes again. Only an erasure in between changes them: that user's lines
are removed.
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
    """Return the prefix of the parts of a day (since the epoch)."""
    return f"{tenant_id}/{datetime.fromtimestamp(day * 86_400, UTC):%Y/%m/%d}/{PART_PREFIX}"


def is_of_job(name: str, job_id: str) -> bool:
    """Tell whether a job wrote a part."""
    return name.rpartition("/")[2].startswith(f"{PART_PREFIX}{job_id}-")


def parts_of(file: HistoryFile, rows: Sequence[HistoryRow]) -> Iterator[tuple[str, Sequence[HistoryRow]]]:
    """Yield the names of the parts and the rows of each, ordered by day."""
    by_day: dict[int, list[HistoryRow]] = {}
    for row in rows:
        by_day.setdefault(row.event.at_ms // _MS_PER_DAY, []).append(row)
    for day, of_day in sorted(by_day.items()):
        for number, start in enumerate(range(0, len(of_day), ROWS_OF_PART)):
            name = f"{day_prefix(file.tenant_id, day)}{file.job_id}-{number}.jsonl.gz"
            yield name, of_day[start : start + ROWS_OF_PART]


class HistoryParts:
    """Writes parts of the sample. `clock` gives seconds since the epoch."""

    def __init__(self, documents: DocumentStore, blobs: Blobs, identity: Identity, clock: Callable[[], float]) -> None:
        self._documents = documents
        self._blobs = blobs
        self._identity = identity
        self._clock = clock

    async def write(self, file: HistoryFile, name: str, rows: Sequence[tuple[HistoryRow, bool]]) -> None:
        """Write one part. `rows` have each row and whether it counts. Rows of erased users are left out, and a part so
        old that it would be deleted at once is not written. Raises `StoreUnavailable` or `BlobsError`.

        An erasure removes lines that exist. One that happens between reading the erasures and writing would miss this
        part, so they are read again afterwards.
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
        """Return when those of the users who were erased were erased."""
        found = await erasures(self._documents, tenant_id)
        return {user_key: at for user_key, at in found.items() if user_key in users}


def _is_left(file: HistoryFile, row: HistoryRow, erased_at: float | None) -> bool:
    """Tell whether an erasure keeps a row: it happened and was sent after the erasure."""
    return erased_at is None or (file.sent_at > erased_at and row.event.at_ms > erased_at * 1000)


def _batch(file: HistoryFile, row: HistoryRow, counts: bool) -> Batch:
    """Return a row as a batch of its own, named after its job and its number."""
    return Batch(
        id=f"{file.job_id}:{row.number}",
        tenant_id=file.tenant_id,
        user_key=row.user_key,
        accepted_at=file.sent_at,
        events=(row.event,),
        counted=(counts,),
    )
