"""Removal of a tenant: one document in the tenant's own partition, first the job, at the end the receipt. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

from shared.domain.formats import is_number

REMOVAL_ID = "removal"
DONE = "done"
GRACE_SECONDS = 120.0
"""Wait before the deletion. By then every instance knows of the removal, and its earlier requests have ended."""


@dataclass(frozen=True, slots=True)
class Removal:
    """A tenant's removal. Data accepted until `dropped_until` (seconds since the epoch) is dropped everywhere; while
    the removal is running, all data is."""

    is_done: bool
    dropped_until: float

    @classmethod
    def from_document(cls, body: Mapping[str, Any]) -> Removal:
        """Read a stored removal. An unreadable one counts as running."""
        done_at: Any = body.get("doneAt")
        is_done = body.get("state") == DONE and is_number(done_at)
        return cls(is_done, float(done_at) if is_done else inf)


def new_removal(at: float, who: str, why: str | None) -> dict[str, Any]:
    """Return the document of a new removal."""
    return {
        "id": REMOVAL_ID,
        "kind": REMOVAL_ID,
        "state": "stopping",
        "requestedAt": at,
        "requestedBy": who,
        "why": why,
        "doneAt": None,
        "step": 0,
        "foundInPass": 0,
        "users": None,
        "removed": {},
        "worker": "",
        "leasedUntil": 0.0,
    }
