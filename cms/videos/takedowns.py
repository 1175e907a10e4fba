"""A video's status, and what may put it on air. Pure.

Only `restore` lifts a takedown. A status that anything else sends for a taken-down video is kept until then, as
`statusWhenRestored`. A video that is inactive stays so until a status is sent for it by name.
"""

from __future__ import annotations

from cms.forms import Fault
from shared.adapters.documents.port import Json

ACTIVE, INACTIVE, TAKEN_DOWN = STATUSES = ("active", "inactive", "taken_down")
WHEN_RESTORED = "statusWhenRestored"
"""The field of a taken-down video that holds the status which it gets when it is restored."""


def status_of(video: Json) -> str:
    """The status of a stored video."""
    return video.get("status") or ACTIVE


def is_taken_down(video: Json | None) -> bool:
    return video is not None and video.get("status") == TAKEN_DOWN


def status_when_restored(video: Json) -> str | None:
    """What a taken-down video remembers; None when it is not taken down, or does not know."""
    status = video.get(WHEN_RESTORED)
    return status if is_taken_down(video) and status in (ACTIVE, INACTIVE) else None


def after_sending(sent: str | None, before: Json | None) -> Json:
    """The fields of the status after somebody sent one, None: none; `before` is the stored video, None: there is none.

    A new video that is taken down from the start was never on air, and is not when it is restored.
    """
    if before is None:
        return _taken_down(INACTIVE) if sent == TAKEN_DOWN else {"status": sent or ACTIVE}
    if is_taken_down(before):
        return _taken_down(sent if sent in (ACTIVE, INACTIVE) else status_when_restored(before))
    return _taken_down(status_of(before)) if sent == TAKEN_DOWN else {"status": sent or status_of(before)}


def with_status(video: Json, status: Json) -> Json:
    """A stored video with other fields of the status, as the functions here make them."""
    return {**{name: value for name, value in video.items() if name != WHEN_RESTORED}, **status}


def after_restoring(video: Json) -> Json:
    """The fields of the status after a restore: what it was before the takedown, or what was sent since.

    A video taken down by a release that remembered nothing gets `inactive`, which puts nothing on air.
    """
    return {"status": status_when_restored(video) or INACTIVE if is_taken_down(video) else status_of(video)}


def after_reverting(wanted: str | None, current: Json) -> tuple[Json, tuple[Fault, ...]]:
    """The fields of the status after a revert that puts back `wanted`, None: none; and what to tell about it.

    A revert takes down and deactivates. It does not lift a takedown, and activates nothing, now or at the restoring.
    """
    if wanted == TAKEN_DOWN:
        return after_sending(TAKEN_DOWN, current), ()
    if wanted == INACTIVE:
        return after_sending(INACTIVE, current), kept_for_restore(INACTIVE, current)
    unchanged = {name: current[name] for name in ("status", WHEN_RESTORED) if name in current}
    if wanted != ACTIVE or current.get("status", ACTIVE) == ACTIVE:
        return unchanged, ()
    if status_when_restored(current) == ACTIVE:
        return unchanged, kept_for_restore(ACTIVE, current)
    what = "A revert never puts a video on air again. Set its status to active instead."
    return unchanged, (Fault("status", "not_activated", what),)


def kept_for_restore(sent: str | None, before: Json | None) -> tuple[Fault, ...]:
    """What to tell who sent a status for a taken-down video; nothing when none was sent, or none is kept."""
    if sent not in (ACTIVE, INACTIVE) or not is_taken_down(before):
        return ()
    what = f"The video stays taken down. It gets the status {sent} when it is restored."
    return (Fault("status", "kept_for_restore", what),)


def _taken_down(when_restored: str | None) -> Json:
    return {"status": TAKEN_DOWN, **({} if when_restored is None else {WHEN_RESTORED: when_restored})}
