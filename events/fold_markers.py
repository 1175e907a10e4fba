"""The marker of a folded batch: a document beside the user's signals that says what of the batch was new. Pure."""

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
    """How a fold ended, the events to hand on to the roll-up, and which of them statistics count (None: nobody decided,
    as in the release before this one)."""

    outcome: str
    fresh: tuple[Event, ...] = ()
    counted: tuple[bool, ...] | None = None
    unknown_videos: int = 0


def marker_id(batch: Batch) -> str:
    """Where the marker of a batch is, in its user's partition."""
    return f"{MARKER_PREFIX}{batch.id}"


def marker_of(batch: Batch, fresh: tuple[Event, ...], counted: tuple[bool, ...], told: Told) -> Json:
    """The marker of a folded batch: no more than what is read, for there is one a batch for two weeks.

    `fresh` (one bit an event) is left out when all of them were new; `counted`, the bits of a hexadecimal number, says
    which of the new ones statistics count; `plays` is `Told`, where there are. Whose it is, the signals in the same
    partition say.
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
    """A batch whose marker is there. The same message again hands on the same events, in case it did not get so far,
    and says so; a client's later copy of the batch (another acceptance) has nothing to hand on.
    """
    if marker.get("acceptedAt") != batch.accepted_at:
        return Folded(DUPLICATE)
    bits: Any = marker.get("fresh")
    fresh = batch.events if bits is None else tuple(e for e, bit in zip(batch.events, bits, strict=True) if bit == "1")
    fresh, counted = handed_on(fresh, marker.get("plays") or {}), marker.get("counted")
    return Folded(DUPLICATE, fresh, flags_of(counted, len(fresh)) if isinstance(counted, str) else None)
