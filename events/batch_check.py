"""Validates every field of a batch that was received from the bus, before the fold or the statistics use it. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import inf
from typing import Any

from events.schema import MAX_WATCH_MS, Event, Play
from shared.domain.feed_receipt import NOT_ON_PAGE, FeedReceipt
from shared.domain.follows import KINDS, MAX_NAME_CHARS, Subject
from shared.domain.formats import TENANT_ID, VIDEO_ID, Format, is_number
from shared.domain.user_signals import MAX_PLAY_SECONDS

BATCH_ID = Format(r"[\x21-\x7e]{1,100}", "1 to 100 printable characters")
USER_KEY = Format(r"[A-Za-z0-9_-]{1,100}", "1 to 100 letters, digits, - or _")
LATEST_SECONDS = 4e9
"""In the year 2096. No real event has a later time, and the tables cannot hold one."""
_LATEST_MS = LATEST_SECONDS * 1000
MAX_POSITION = 100_000
MAX_TYPE_CODE = 255
SESSION_ID = Format(r"[\x21-\x7e]{1,128}", "1 to 128 printable characters")
_VIDEO_LINES = re.compile(rf"{VIDEO_ID.pattern}(?:\n{VIDEO_ID.pattern})*+")
_U32 = 2**32
_PLAY_FIELDS = 4
_SUBJECT_FIELDS = 3
NO_VIDEO = "-"
"""Placeholder in a message for the video of an event that is about no video."""
_NUMBERS = (int, float)
"""Compared with `type(value)`, which excludes True and False. A range check excludes values that are not finite."""


class OddField(ValueError):
    """A field has a value that no valid batch has. The text names the field, never the value."""


def check_batch(
    id: Any, tenant_id: Any, user_key: Any, accepted_at: Any, events: tuple[Event, ...], requests: tuple[Any, ...]
) -> None:
    """Raise `OddField` unless every field has the type and the range that an accepted batch has."""
    check_head(id, tenant_id, user_key, accepted_at)
    for request in requests:
        _check_request(request)
    for event in events:
        if odd := _odd_field(event, len(requests)):
            raise OddField(odd)


def check_head(id: Any, tenant_id: Any, user_key: Any, accepted_at: Any) -> None:
    """Raise `OddField` unless the batch's own fields are valid."""
    _require("id", _is_text(id, BATCH_ID))
    _require("tenant", _is_text(tenant_id, TENANT_ID))
    _require("user", _is_text(user_key, USER_KEY))
    _require("acceptedAt", is_number(accepted_at) and 0 <= accepted_at <= LATEST_SECONDS)


def check_video_ids(ids: Sequence[str]) -> None:
    """Raise `OddField` unless all video ids are valid."""
    _require("videoId", not ids or _VIDEO_LINES.fullmatch("\n".join(ids)) is not None)


def check_times(earliest: int, latest: int) -> None:
    """Raise `OddField` unless the earliest and the latest time of the events, in ms, are valid."""
    check_range(earliest, latest, 0, _LATEST_MS, "timestamp")


def check_watched(watched: Sequence[float]) -> None:
    """Raise `OddField` unless all watch times, in ms, are valid."""
    _require("watchMs", all(0 <= ms <= MAX_WATCH_MS for ms in watched))


def check_range(smallest: float, largest: float, least: float, most: float, name: str) -> None:
    """Raise `OddField` for the field `name` unless its smallest and largest numbers are within `least` and `most`."""
    _require(name, least <= smallest and largest <= most)


def check_propensity(value: float) -> None:
    """Raise `OddField` unless the propensity of the explored video is from 0 to 1."""
    _require("propensity", 0 <= value <= 1)


def _odd_field(event: Event, requests: int) -> str:
    """Return the name of the first field with an invalid value, or an empty text. Runs for up to 100 events per
    batch."""
    watch_ms, position, request, place = event.watch_ms, event.position, event.request, event.place
    if not _is_text(event.video_id, VIDEO_ID):
        return "videoId"
    if not (type(event.at_ms) is int and 0 <= event.at_ms <= _LATEST_MS):
        return "timestamp"
    if not (type(event.identity) is int and 0 <= event.identity < _U32):
        return "identity"
    if not (watch_ms is None or (type(watch_ms) in _NUMBERS and 0 <= watch_ms <= MAX_WATCH_MS)):
        return "watchMs"
    if not (position is None or (type(position) is int and 0 <= position <= MAX_POSITION)):
        return "position"
    if not (request is None or (type(request) is int and 0 <= request < requests)):
        return "request"
    return "" if place is None or (type(place) is int and NOT_ON_PAGE <= place <= MAX_POSITION) else "place"


def _check_request(request: FeedReceipt) -> None:
    _require("servedAt", _is_whole(request.served_at, 0, _U32 - 1))
    _require("personalized", isinstance(request.personalized, bool))
    _require("warm", isinstance(request.warm, bool))
    for name in ("model", "arm", "explored_rank", "key", "feed"):
        _require(name, _is_whole(getattr(request, name), 0, _U32 - 1))
    _require("propensity", is_number(request.propensity) and 0 <= request.propensity <= 1)


def check_rows(rows: Any, name: str, least: int, most: float = inf) -> list[list[Any]]:
    """Return `rows` if it is a list of lists of `least` to `most` values. Raises `OddField`."""
    _require(name, isinstance(rows, list) and all(isinstance(row, list) and least <= len(row) <= most for row in rows))
    found: list[list[Any]] = rows
    return found


def known_rows(rows: list[list[Any]], types: int) -> Sequence[int]:
    """Return the indexes of rows whose event type is known. The type's code is a row's first value. Raises
    `OddField`."""
    for row in rows:
        _require("type", _is_whole(row[0], 0, MAX_TYPE_CODE))
    return [at for at, row in enumerate(rows) if row[0] < types]


def check_plays(rows: Any, events: int) -> dict[int, Play]:
    """Return the plays by event index. A row has the event's index, the play's key, its start in ms, and the seconds
    counted before. Raises `OddField`."""
    found: dict[int, Play] = {}
    for row in check_rows(rows, "plays", _PLAY_FIELDS):
        at, key, started_ms, before = row[:_PLAY_FIELDS]
        _require("plays", _is_whole(at, 0, events - 1) and _is_whole(key, 1, _U32 - 1))
        _require("plays", _is_whole(started_ms, 0, _LATEST_MS))
        _require("plays", before is None or _is_whole(before, 0, MAX_PLAY_SECONDS))
        found[at] = Play(key, started_ms, before)
    return found


def check_subjects(rows: Any, events: int) -> dict[int, Subject]:
    """Return the subjects of events about no video, by event index. A row has the event's index, a kind and an id.
    Raises `OddField`."""
    found: dict[int, Subject] = {}
    for row in check_rows(rows, "subjects", _SUBJECT_FIELDS):
        at, kind, id = row[:_SUBJECT_FIELDS]
        _require("subjects", _is_whole(at, 0, events - 1) and isinstance(kind, str) and kind in KINDS)
        _require("subjects", isinstance(id, str) and 1 <= len(id) <= MAX_NAME_CHARS)
        found[at] = Subject(kind, id)
    return found


def check_sessions(sessions: Any) -> list[str]:
    """Return the session ids of a batch. Raises `OddField`."""
    _require("sessions", isinstance(sessions, list) and all(_is_text(each, SESSION_ID) for each in sessions))
    found: list[str] = sessions
    return found


def check_index(value: Any, length: int) -> int:
    """Return `value` if it is an index below `length`; neither negative nor True. Raises `OddField`."""
    _require("session", _is_whole(value, 0, length - 1))
    return int(value)


def _is_text(value: Any, format: Format) -> bool:
    return isinstance(value, str) and format.matches(value)


def _is_whole(value: Any, least: float, most: float) -> bool:
    return type(value) is int and least <= value <= most


def _require(name: str, holds: bool) -> None:
    if not holds:
        raise OddField(name)
