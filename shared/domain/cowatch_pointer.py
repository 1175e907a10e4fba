"""Pointer to a tenant's nightly file: a small document that names an immutable file in Blob Storage.

The document is beside the tenant's statistics, so catalogs learn of a new file from the same change feed. It also
stores where the next night's training continues.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

POINTER_ID = "cowatch"
POINTER_KIND = "cowatch"


@dataclass(frozen=True, slots=True)
class Pointer:
    """Name of the current file. `built_at`: seconds since the epoch; `videos`: number of videos in its co-watch table.

    `training`: file with the state of the next-watch model after `night` (a UTC date), trained on views before
    `trained_until`. `training_before`, `trained_before`: the same of the previous night; a repeated night starts there.
    """

    blob: str
    built_at: float
    videos: int
    night: str | None = None
    training: str | None = None
    trained_until: float = 0.0
    training_before: str | None = None
    trained_before: float = 0.0

    def to_document(self) -> dict[str, Any]:
        """The stored shape."""
        document: dict[str, Any] = {
            "id": POINTER_ID,
            "kind": POINTER_KIND,
            "blob": self.blob,
            "builtAt": self.built_at,
            "videos": self.videos,
        }
        if self.training is not None:
            document |= {
                "night": self.night,
                "training": self.training,
                "trainedUntil": self.trained_until,
                "trainingBefore": self.training_before,
                "trainedBefore": self.trained_before,
            }
        return document

    @classmethod
    def from_document(cls, body: dict[str, Any]) -> Pointer | None:
        """Read a stored document leniently; None when it is no pointer."""
        blob = blob_of(body)
        if blob is None:
            return None
        return cls(
            blob,
            _number(body.get("builtAt")),
            int(_number(body.get("videos"))),
            _text(body.get("night")),
            _text(body.get("training")),
            _number(body.get("trainedUntil")),
            _text(body.get("trainingBefore")),
            _number(body.get("trainedBefore")),
        )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def blob_of(body: dict[str, Any]) -> str | None:
    """Return the blob that a stored document points to; None when it is no pointer."""
    blob = body.get("blob")
    return blob if body.get("kind") == POINTER_KIND and isinstance(blob, str) else None
