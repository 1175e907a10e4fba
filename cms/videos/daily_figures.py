"""Reads a tenant's daily sums per video from the documents that the roll-up writes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import date

from ranking.daily_table import DAYS_PREFIX, DayTable
from shared.adapters.documents.port import VIDEO_STATS, Document, DocumentStore


async def read_days(documents: DocumentStore, tenant_id: str, first: date, last: date) -> dict[date, DayTable]:
    """Read a tenant's sums by day from `first` to `last`, adding up all shards. Days without data are left out.

    Unreadable documents are skipped. Raises `StoreUnavailable`.
    """
    found: dict[date, DayTable] = {}
    after: str | None = f"{DAYS_PREFIX}{first.isoformat()}"
    while after is not None:
        page = await documents.query(VIDEO_STATS, tenant_id, id_prefix=DAYS_PREFIX, after=after)
        after = page.next
        if not await asyncio.to_thread(_add, found, page.documents, last):
            return found
    return found


def _add(found: dict[date, DayTable], documents: Sequence[Document], last: date) -> bool:
    """Add the sums in the documents; return False once they are past the last day."""
    for document in documents:
        try:
            day = date.fromisoformat(str(document.body.get("day")))
            table = DayTable.from_body(document.body)
        except ValueError:
            continue
        if day > last:
            return False
        found.setdefault(day, DayTable()).merge(table, bounded=False)
    return True
