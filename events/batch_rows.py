"""Encodes a batch as JSON rows, one for each event. Pure.

Used by messages of version 1 (read and written), and by version 2 in encodings 0 and 1 (read only).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from events.batch_check import (
    NO_VIDEO,
    check_batch,
    check_index,
    check_plays,
    check_rows,
    check_sessions,
    check_subjects,
    known_rows,
)
from events.batch_record import Batch
from events.frame import (
    JSON,
    JSON_IN_ZLIB,
    NO_DICTIONARY,
    Frame,
    NewerMessage,
    UnreadableBatch,
    deflate_zlib,
    inflate_zlib,
)
from events.schema import Event
from shared.domain.event_types import EVENT_TYPES
from shared.domain.feed_receipt import FeedReceipt

_VERSION = 1
_LATEST_VERSION = 255
_EVENT_FIELDS, _REQUEST_FIELDS = 7, 7
"""Exact number of values in a row of version 1."""
_EVENT_FIELDS_2, _REQUEST_FIELDS_2 = 9, 9
"""Minimum number of values in a row of version 2. Values that a later release appends are ignored."""
COMPRESS_FROM_BYTES = 4_096
_TYPES = tuple(EVENT_TYPES)
_AGAIN = {"again": True}
_CODES = {name: code for code, name in enumerate(_TYPES)}


def to_json(batch: Batch) -> bytes:
    """Return a message of version 1."""
    return orjson.dumps({"v": _VERSION} | _head(batch) | _rows_of_1(batch))


def from_json(body: bytes) -> Batch:
    """Decode a message of version 1. Raises `UnreadableBatch`, `NewerMessage`, or any error that invalid values
    cause."""
    raw = orjson.loads(body)
    _check_version(raw["v"])
    rows = check_rows(raw["events"], "events", _EVENT_FIELDS, _EVENT_FIELDS)
    requests = tuple(_requests_of_1(raw["requests"], raw.get("keys")))
    known = known_rows(rows, len(_TYPES))
    sessions = _sessions_of_1(raw.get("sessions", []), raw.get("inSession"), len(rows))
    events = tuple(_events_of_1(rows, known, raw.get("places"), sessions))
    return _batch(raw, events, requests, len(rows), known)


def json_marked_again(body: bytes) -> bytes:
    """Return a message of version 1 with the flag `again`. All else stays as it is."""
    return orjson.dumps(orjson.loads(body) | _AGAIN)


def split(frame: Frame) -> list[Any]:
    """Return the batches of a message of version 2 in rows. Raises `UnreadableBatch`, or an error that invalid JSON
    causes."""
    content = inflate_zlib(frame.content) if frame.encoding == JSON_IN_ZLIB else frame.content
    raw = orjson.loads(content)
    if not isinstance(raw, list) or not raw or len(raw) != frame.batches:
        raise UnreadableBatch("another number of batches than its frame says")
    return raw


def join(raw: Sequence[Any]) -> Frame:
    """Return the frame with these batches: the inverse of `split`."""
    content = orjson.dumps(raw)
    if len(content) < COMPRESS_FROM_BYTES:
        return Frame(JSON, NO_DICTIONARY, len(raw), content)
    return Frame(JSON_IN_ZLIB, NO_DICTIONARY, len(raw), deflate_zlib(content))


def read(raw: Any) -> Batch:
    """Decode one batch from `split`. Raises `UnreadableBatch`, or any error that invalid values cause."""
    rows = check_rows(raw["events"], "events", 1)
    requests = tuple(_requests_of_2(raw["requests"]))
    known = known_rows(rows, len(_TYPES))
    events = tuple(_events_of_2([rows[at] for at in known], check_sessions(raw.get("sessions", []))))
    return _batch(raw, events, requests, len(rows), known)


def marked_again(raw: Any) -> Any:
    """Return one batch from `split` with the flag `again`."""
    return raw | _AGAIN


def _head(batch: Batch) -> dict[str, Any]:
    return {
        "id": batch.id,
        "tenant": batch.tenant_id,
        "user": batch.user_key,
        "acceptedAt": batch.accepted_at,
        "trusted": batch.trusted,
        "consented": batch.consented,
        "trace": batch.trace_id,
        **({} if batch.counted is None else {"counted": batch.counted}),
        **(_AGAIN if batch.again else {}),
    }


def _rows_of_1(batch: Batch) -> dict[str, Any]:
    """Return the rows of version 1. Their length is fixed, so newer fields stand in members of their own."""
    rows: dict[str, Any] = {
        "requests": [
            [r.served_at, r.personalized, r.warm, r.model, r.arm, r.explored_rank, r.propensity] for r in batch.requests
        ],
        "events": [
            [_CODES[e.type], e.video_id or NO_VIDEO, e.at_ms, e.identity, e.watch_ms, e.position, e.request]
            for e in batch.events
        ],
    }
    if any(request.key for request in batch.requests):
        rows["keys"] = [request.key for request in batch.requests]
    if any(event.place is not None for event in batch.events):
        rows["places"] = [event.place for event in batch.events]
    sessions = _sessions(batch)
    if sessions:
        rows["sessions"] = list(sessions)
        rows["inSession"] = [None if e.session_id is None else sessions[e.session_id] for e in batch.events]
    plays = [[at, p.key, p.started_ms, p.before] for at, e in enumerate(batch.events) if (p := e.play) is not None]
    subjects = [[at, s.kind, s.id] for at, e in enumerate(batch.events) if (s := e.subject) is not None]
    return rows | ({"plays": plays} if plays else {}) | ({"subjects": subjects} if subjects else {})


def _sessions(batch: Batch) -> dict[str, int]:
    """Return the session ids that events name, with their numbers."""
    names = dict.fromkeys(e.session_id for e in batch.events if e.session_id is not None)
    return {id: at for at, id in enumerate(names)}


def _batch(
    raw: Any, events: tuple[Event, ...], requests: tuple[FeedReceipt, ...], rows: int, known: Sequence[int]
) -> Batch:
    for at, play in check_plays(raw.get("plays", []), rows).items():
        if (number := _place(known, at)) is not None:
            events[number].play = play
    check_batch(raw["id"], raw["tenant"], raw["user"], raw["acceptedAt"], events, requests)
    for at, subject in check_subjects(raw.get("subjects", []), rows).items():
        if (number := _place(known, at)) is not None:
            events[number].subject, events[number].video_id = subject, ""
    return Batch(
        id=raw["id"],
        tenant_id=raw["tenant"],
        user_key=raw["user"],
        accepted_at=float(raw["acceptedAt"]),
        events=events,
        requests=requests,
        trusted=raw["trusted"] is True,
        consented=raw["consented"] is True,
        trace_id=str(raw.get("trace", "")),
        counted=_counted(raw.get("counted"), rows, known),
        again=raw.get("again") is True,
        passed_over=rows - len(known),
    )


def _place(known: Sequence[int], row: int) -> int | None:
    """Return the index of a row among the rows of known type; None if its type is unknown."""
    number = bisect_left(known, row)
    return number if number < len(known) and known[number] == row else None


def _check_version(version: Any) -> None:
    if not isinstance(version, int) or isinstance(version, bool):
        raise UnreadableBatch("no version")
    if _VERSION < version <= _LATEST_VERSION:
        raise NewerMessage(f"version {version}")
    if version != _VERSION:
        raise UnreadableBatch(f"version {version}")


def _requests_of_1(rows: Any, keys: list[Any] | None) -> Iterable[FeedReceipt]:
    rows = check_rows(rows, "requests", _REQUEST_FIELDS, _REQUEST_FIELDS)
    for row, key in zip(rows, keys or [0] * len(rows), strict=True):
        request = FeedReceipt(*row)
        request.key = key
        yield request


def _requests_of_2(rows: Any) -> Iterable[FeedReceipt]:
    for row in check_rows(rows, "requests", _REQUEST_FIELDS_2):
        yield FeedReceipt(*row[:_REQUEST_FIELDS_2])


def _sessions_of_1(sessions: Any, of_event: Any, events: int) -> Sequence[str | None]:
    """Return the session of each event."""
    if of_event is None:
        return [None] * events
    names = check_sessions(sessions)
    if len(of_event) != events:
        raise ValueError
    return [None if each is None else names[check_index(each, len(names))] for each in of_event]


def _events_of_1(
    rows: list[list[Any]], known: Sequence[int], places: list[Any] | None, sessions: Sequence[str | None]
) -> Iterable[Event]:
    if places is None:
        places = [None] * len(rows)
    if len(places) != len(rows):
        raise ValueError
    for at in known:
        code, video_id, at_ms, identity, watch_ms, position, request = rows[at]
        yield Event(_TYPES[code], video_id, at_ms, identity, watch_ms, position, request, places[at], sessions[at])


def _events_of_2(rows: list[list[Any]], sessions: list[str]) -> Iterable[Event]:
    for row in check_rows(rows, "events", _EVENT_FIELDS_2):
        code, video_id, at_ms, identity, watch_ms, position, request, place, session = row[:_EVENT_FIELDS_2]
        named = None if session is None else sessions[check_index(session, len(sessions))]
        yield Event(_TYPES[code], video_id, at_ms, identity, watch_ms, position, request, place, named)


def _counted(flags: list[Any] | None, events: int, known: Sequence[int]) -> tuple[bool, ...] | None:
    if flags is not None and len(flags) != events:
        raise ValueError
    return None if flags is None else tuple(flags[at] is True for at in known)
