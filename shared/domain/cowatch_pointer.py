"""Pointer to a tenant's co-watch table: a small document that names an immutable file in Blob Storage.

The document lives beside the tenant's statistics, so catalogs learn of a new table from the same change feed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

POINTER_ID = "cowatch"
POINTER_KIND = "cowatch"


@dataclass(frozen=True, slots=True)
class Pointer:
    """Names the table in force. `built_at` in seconds since the epoch; `videos` how many it knows."""

    blob: str
    built_at: float
    videos: int

    def to_document(self) -> dict[str, Any]:
        """The stored shape."""
        return {
            "id": POINTER_ID,
            "kind": POINTER_KIND,
            "blob": self.blob,
            "builtAt": self.built_at,
            "videos": self.videos,
        }


def blob_of(body: dict[str, Any]) -> str | None:
    """The blob a stored document points to, None when it is no pointer."""
    blob = body.get("blob")
    return blob if body.get("kind") == POINTER_KIND and isinstance(blob, str) else None
