"""Reverts a change: restores the fields that it modified, and no others. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cms.changes import kept_body
from cms.forms import Fault
from cms.videos.models import with_time_to_live
from cms.videos.takedowns import (
    ACTIVE,
    TAKEN_DOWN,
    WHEN_RESTORED,
    after_reverting,
    status_of,
    with_status,
)
from shared.adapters.documents.port import Json

STAMPS = ("updatedAt", "updatedBy", "tenantId", "ttl")
STATUS_FIELDS = ("status", WHEN_RESTORED)
_ABSENT = object()


def content(document: Mapping[str, Any]) -> Json:
    """Return a document without the fields that say who wrote it and when."""
    return {name: value for name, value in document.items() if name not in STAMPS}


def same_content(stored: Json | None, written: Json | None) -> bool:
    """Return whether a stored document still has the content that a change wrote."""
    if stored is None or written is None:
        return stored is written
    return content(kept_body(stored) or stored) == content(written)


def put_back(before: Mapping[str, Any], after: Mapping[str, Any], current: Mapping[str, Any]) -> Json:
    """Return `current` with the fields that changed from `before` to `after` restored; objects member by member."""
    result = dict(current)
    for name in dict.fromkeys((*before, *after)):
        old, new, now = before.get(name, _ABSENT), after.get(name, _ABSENT), current.get(name)
        if old == new:
            continue
        if old is _ABSENT:
            result.pop(name, None)
        elif isinstance(old, dict) and isinstance(new, dict) and isinstance(now, dict):
            result[name] = put_back(old, new, now)
        else:
            result[name] = old
    return result


def reverted(entry: Json, current: Json) -> Json:
    """Return a document with an audit entry's change reverted. The change was an update, no creation or deletion."""
    before, after = content(entry["before"]), content(entry["after"])
    return {**put_back(before, after, current), **{name: current[name] for name in STAMPS if name in current}}


def reverted_video(entry: Json, current: Json, now: float) -> tuple[Json, tuple[Fault, ...]]:
    """Do the same for a video; also return notes about its status.

    A revert never lifts a takedown and never activates a video.
    """
    status, notes = after_reverting(_status_put_back(entry), current)
    fields = {name: value for name, value in reverted(entry, current).items() if name not in STATUS_FIELDS}
    return with_time_to_live(with_status(fields, status), now), notes


def puts_only_on_air(entry: Json) -> bool:
    """Return whether the change only deactivated or took down a video, which no revert undoes."""
    if entry["resource"] != "video" or not entry["before"] or not entry["after"]:
        return False
    before, after = content(entry["before"]), content(entry["after"])
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    return changed <= set(STATUS_FIELDS) and _status_put_back(entry) == ACTIVE


def _status_put_back(entry: Json) -> str | None:
    """Return the status that the change replaced; None if it did not change the status."""
    before, after = entry["before"], entry["after"]
    if status_of(before) != status_of(after):
        return status_of(before)
    kept = before.get(WHEN_RESTORED)
    return kept if status_of(before) == TAKEN_DOWN and kept != after.get(WHEN_RESTORED) else None
