"""A video's status: active, inactive or taken down, and the transitions between them. Pure.

Only `restore` lifts a takedown. If another call sends a status for a taken-down video, it is stored as
`statusWhenRestored` and applied by the restore. An inactive video stays inactive until a call sends `active` for it.
"""

from __future__ import annotations

from cms.forms import Fault
from shared.adapters.documents.port import Json

ACTIVE, INACTIVE, TAKEN_DOWN = STATUSES = ("active", "inactive", "taken_down")
WHEN_RESTORED = "statusWhenRestored"
"""Field of a taken-down video: the status that it gets when it is restored."""


def status_of(video: Json) -> str:
    """Return the status of a stored video; `active` by default."""
    return video.get("status") or ACTIVE


def is_taken_down(video: Json | None) -> bool:
    return video is not None and video.get("status") == TAKEN_DOWN


def status_when_restored(video: Json) -> str | None:
    """Return the status that a restore would set; None if the video is not taken down, or has none stored."""
    status = video.get(WHEN_RESTORED)
    return status if is_taken_down(video) and status in (ACTIVE, INACTIVE) else None


def after_sending(sent: str | None, before: Json | None) -> Json:
    """Return the status fields after a call that sent a status.

    `sent`: the status, or None if the call had none; `before`: the stored video, or None for a new one. A new video
    that is sent as taken down becomes inactive when it is restored, because it was never on air.
    """
    if before is None:
        return _taken_down(INACTIVE) if sent == TAKEN_DOWN else {"status": sent or ACTIVE}
    if is_taken_down(before):
        return _taken_down(sent if sent in (ACTIVE, INACTIVE) else status_when_restored(before))
    return _taken_down(status_of(before)) if sent == TAKEN_DOWN else {"status": sent or status_of(before)}


def with_status(video: Json, status: Json) -> Json:
    """Return a video with its status fields replaced by those of `after_sending` and the other functions here."""
    return {**{name: value for name, value in video.items() if name != WHEN_RESTORED}, **status}


def after_restoring(video: Json) -> Json:
    """Return the status fields after a restore: the status before the takedown, or the one sent since.

    A video that an earlier release took down without storing a status becomes `inactive`, so it is not shown.
    """
    return {"status": status_when_restored(video) or INACTIVE if is_taken_down(video) else status_of(video)}


def after_reverting(wanted: str | None, current: Json) -> tuple[Json, tuple[Fault, ...]]:
    """Return the status fields after a revert, and notes about them. `wanted`: the status to put back, None: unchanged.

    A revert can take a video down or deactivate it. It never lifts a takedown, and never activates a video, neither now
    nor at a later restore.
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
    """Build a note for a status sent for a taken-down video; empty if none was sent or the video is not taken down."""
    if sent not in (ACTIVE, INACTIVE) or not is_taken_down(before):
        return ()
    what = f"The video stays taken down. It gets the status {sent} when it is restored."
    return (Fault("status", "kept_for_restore", what),)


def _taken_down(when_restored: str | None) -> Json:
    return {"status": TAKEN_DOWN, **({} if when_restored is None else {WHEN_RESTORED: when_restored})}
