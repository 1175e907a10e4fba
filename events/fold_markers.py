"""The marker of a folded batch: a document beside the user's signals that records which events were new. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from events.batch import Batch
from events.counting import flags_of, mask_of
from events.plays_handed_on import Told, handed_on
from events.schema import Event
from shared.adapters.documents.port import Json

MARKER_PREFIX = "batch:"
MARKER_TTL_SECONDS = 14 * 86_400

FOLDED, DUPLICATE, NOTHING_NEW, ERASED, TOO_OLD = "folded", "duplicate", "nothing_new", "erased", "too_old"
REMOVED_TENANT = "removed_tenant"


@dataclass(frozen=True, slots=True)
class Folded:
    """Outcome of a fold, the events to publish to the roll-up, and whether statistics count each (None: not decided, as
    in the previous release)."""

    outcome: str
    fresh: tuple[Event, ...] = ()
    counted: tuple[bool, ...] | None = None
    unknown_videos: int = 0


def marker_id(batch: Batch) -> str:
    """Return the id of a batch's marker, in its user's partition."""
    return f"{MARKER_PREFIX}{batch.id}"


def marker_of(batch: Batch, fresh: tuple[Event, ...], counted: tuple[bool, ...], told: Told) -> Json:
    """Return the marker of a folded batch. It has only fields that are read: there is one per batch, for two weeks.

    `fresh` has one bit per event; it is absent when all events were new. `counted` has the bits of a hexadecimal
    number: which of the new events statistics count. `plays` is `Told`, if not empty. The user is not named: the
    signals are in the same partition.
    """
    marker: Json = {
        "id": marker_id(batch),
        "acceptedAt": batch.accepted_at,
        "counted": mask_of(counted),
        "ttl": MARKER_TTL_SECONDS,
    }
    if len(fresh) < len(batch.events):
        chosen = {id(event) for event in fresh}
        marker["fresh"] = "".join("1" if id(event) in chosen else "0" for event in batch.events)
    return marker | ({"plays": told} if told else {})


def already_folded(batch: Batch, marker: Json) -> Folded:
    """Return the outcome for a batch whose marker exists. The same message delivered again gives the same events, in
    case they were not published. A client's later copy of the batch, accepted at another time, gives none."""
    if marker.get("acceptedAt") != batch.accepted_at:
        return Folded(DUPLICATE)
    bits: Any = marker.get("fresh")
    fresh = batch.events if bits is None else tuple(e for e, bit in zip(batch.events, bits, strict=True) if bit == "1")
    fresh, counted = handed_on(fresh, marker.get("plays") or {}), marker.get("counted")
    return Folded(DUPLICATE, fresh, flags_of(counted, len(fresh)) if isinstance(counted, str) else None)
