"""The removal of a tenant: one document in the tenant's own partition, first the job, in the end the receipt. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

from shared.domain.formats import is_number

REMOVAL_ID = "removal"
DONE = "done"
GRACE_SECONDS = 120.0
"""Before anything is deleted: by then every instance knows that the tenant is gone, and what it had begun has ended."""


@dataclass(frozen=True, slots=True)
class Removal:
    """A tenant's removal, as an instance knows it. Everything accepted until `dropped_until` (seconds since the epoch)
    is dropped wherever it arrives; all of it while the removal goes on."""

    is_done: bool
    dropped_until: float

    @classmethod
    def from_document(cls, body: Mapping[str, Any]) -> Removal:
        """Read a stored removal. One that cannot be read counts as one that goes on."""
        done_at: Any = body.get("doneAt")
        is_done = body.get("state") == DONE and is_number(done_at)
        return cls(is_done, float(done_at) if is_done else inf)


def new_removal(at: float, who: str, why: str | None) -> dict[str, Any]:
    """A removal that was just asked for."""
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
