"""Finds the changes that events make to a user's lists: saved, liked, continue, following. Pure.

`continue` has videos that were started and not finished. Short videos are watched again rather than continued, and
nearly every batch has one that was left early. So only videos of five minutes or more, and episodes of a series, are
added to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from events.schema import Event
from events.video_facts import Facts
from shared.domain.event_types import (
    COMPLETE,
    FOLLOW,
    LIKE,
    NOT_INTERESTED,
    PROGRESS,
    SAVE,
    TAKES_BACK,
    VIDEO_VIEW,
)
from shared.domain.user_lists import CONTINUE, FOLLOWING, LIKED, SAVED, Entry

CONTINUE_FROM_SECONDS = 300.0
STARTED_MS, STARTED_SHARE = 60_000.0, 0.2
"""A video counts as started after a minute, or after a fifth of its length if that is shorter."""
FINISHED_SHARE = 0.9
"""Beyond this share of its length a video counts as finished: only credits are left."""
FINISHED_FOR_MS = 60_000
"""Events up to this long after the end belong to the same showing and do not start the video again."""
_LIST_OF = {SAVE: SAVED, LIKE: LIKED}


def changes_of(events: Sequence[Event], facts: Mapping[str, Facts]) -> dict[str, dict[str, Entry]]:
    """Return the changes by list and name; only lists that change."""
    found: dict[str, dict[str, Entry]] = {}
    for event in events:
        changed = _change(event, facts.get(event.video_id))
        if changed is not None:
            list_name, name, entry = changed
            of_list = found.setdefault(list_name, {})
            of_list[name] = of_list.get(name, Entry()).merged(entry)
    return found


def is_finished(event: Event, facts: Facts | None) -> bool:
    """Tell whether the event shows that its video was watched to the end, or nearly."""
    if event.type == COMPLETE:
        return True
    if facts is None or facts.duration_seconds <= 0 or event.type not in (VIDEO_VIEW, PROGRESS):
        return False
    return (event.watch_ms or 0.0) >= 1000.0 * FINISHED_SHARE * facts.duration_seconds


def _is_started(event: Event, facts: Facts) -> bool:
    return (event.watch_ms or 0.0) >= min(STARTED_MS, 1000.0 * STARTED_SHARE * facts.duration_seconds)


def _change(event: Event, facts: Facts | None) -> tuple[str, str, Entry] | None:
    """Return the list, the name on it, and the change; None for no change."""
    if event.subject is not None:
        entry = Entry(on_ms=event.at_ms) if event.type == FOLLOW else Entry(off_ms=event.at_ms)
        return FOLLOWING, event.subject.name, entry
    if event.type in _LIST_OF:
        return _LIST_OF[event.type], event.video_id, Entry(on_ms=event.at_ms)
    if event.type in TAKES_BACK:
        return _LIST_OF[TAKES_BACK[event.type]], event.video_id, Entry(off_ms=event.at_ms)
    if facts is None or not (facts.duration_seconds >= CONTINUE_FROM_SECONDS or facts.place.series_id):
        return None
    if event.type == NOT_INTERESTED:
        return CONTINUE, event.video_id, Entry(off_ms=event.at_ms)
    if is_finished(event, facts):
        return CONTINUE, event.video_id, Entry(off_ms=event.at_ms + FINISHED_FOR_MS)
    if event.type in (VIDEO_VIEW, PROGRESS) and _is_started(event, facts):
        return CONTINUE, event.video_id, Entry(on_ms=event.at_ms, position_ms=int(event.watch_ms or 0.0))
    return None
