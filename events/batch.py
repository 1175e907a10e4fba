"""A batch of events as it travels on the bus: every id, key and time its consumers need is in the body.

A message of version 1 is JSON and has one batch. One of version 2 has a frame (`events/frame.py`) and room for several;
this release publishes one in each. docs/data-model.md has the fields of both.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import orjson

from events.batch_check import OddField, check_batch, check_index, check_plays, check_rows, check_sessions, known_rows
from events.frame import NewerMessage, UnreadableBatch, is_framed, unwrap, wrap
from events.schema import Event
from shared.domain.event_types import EVENT_TYPES
from shared.domain.feed_receipt import FeedReceipt
from shared.domain.fingerprint import fingerprint

T = TypeVar("T")

NOBODY = "-"
"""The user key of a batch without consent: it names nobody."""
SHARD_MARK = "#"
_VERSION = 1
_LATEST_VERSION = 255
_EVENT_FIELDS, _REQUEST_FIELDS = 7, 7
"""Values in a row of version 1, exactly."""
_EVENT_FIELDS_2, _REQUEST_FIELDS_2 = 9, 9
"""Values in a row of version 2, at least: what a later release adds to it is passed over."""
_TYPES = tuple(EVENT_TYPES)
_AGAIN = {"again": True}
_CODES = {name: code for code, name in enumerate(_TYPES)}


@dataclass(frozen=True, slots=True)
class Batch:
    """An accepted batch of one user. `accepted_at` in seconds since the epoch.

    `requests` are the verified feed requests its events quote. `trusted`: its events may count in video statistics
    without one. `consented` is False when the user opted out of personalization: then no signals are kept. `trace_id`
    (32 hex digits, or empty) is the trace of the request that brought it. `counted` says of each event whether
    statistics and co-watch count it; None until that is decided.

    `again`: it may have been handed on before, so whoever counts it looks whether it has it. `passed_over`: how many
    events it had besides, of types that only a later release knows.
    """

    id: str
    tenant_id: str
    user_key: str
    accepted_at: float
    events: tuple[Event, ...]
    requests: tuple[FeedReceipt, ...] = ()
    trusted: bool = False
    consented: bool = True
    trace_id: str = ""
    counted: tuple[bool, ...] | None = None
    again: bool = False
    passed_over: int = field(default=0, compare=False)

    def session(self, shards: int) -> str:
        """The session of the roll-up: the tenant, or one of a hot tenant's shards as `tenant#n`."""
        if shards <= 1:
            return self.tenant_id
        return f"{self.tenant_id}{SHARD_MARK}{_number_of(self.id) % shards}"


def _number_of(id: str) -> int:
    """A number that spreads evenly: an id made here is hex digits already."""
    try:
        return int(id[:8], 16)
    except ValueError:
        return fingerprint(id)


def encode(batch: Batch, version: int = _VERSION) -> bytes:
    """The body of a message, of version 1 or 2."""
    if version == _VERSION:
        return orjson.dumps({"v": _VERSION} | _head(batch) | _rows_of_1(batch))
    return encode_all([batch])


def encode_all(batches: Sequence[Batch]) -> bytes:
    """The body of a message of version 2 with several batches."""
    return _framed([_head(batch) | _rows_of_2(batch) for batch in batches])


def decode(body: bytes) -> tuple[Batch, ...]:
    """The batches of a message, of either version.

    Raises `UnreadableBatch`, or `NewerMessage` for what only a later release can read.
    """
    if not is_framed(body):
        return (_decoded(lambda: _batch(orjson.loads(body), _VERSION)),)
    return tuple(_decoded(lambda raw=raw: _batch(raw, 2)) for raw in _raw_batches(body))  # type: ignore[misc]


def parts(body: bytes) -> Sequence[bytes]:
    """A message as messages of one batch each: one that cannot be read is set aside alone. Raises as `decode` does."""
    if not is_framed(body) or _has_one(body):
        return (body,)
    return [_framed([raw]) for raw in _raw_batches(body)]


def marked_again(body: bytes) -> bytes:
    """A message whose batches say that they may have been handed on before; all else stays as it is, also what only a
    later release can read. Raises `UnreadableBatch` or `NewerMessage`."""
    if is_framed(body):
        return _framed([_decoded(lambda raw=raw: raw | _AGAIN) for raw in _raw_batches(body)])  # type: ignore[misc]
    return _decoded(lambda: orjson.dumps(orjson.loads(body) | _AGAIN))


def _has_one(body: bytes) -> bool:
    return body[4:6] == b"\1\0"


def _framed(raw: list[Any]) -> bytes:
    return wrap(orjson.dumps(raw), len(raw))


def _raw_batches(body: bytes) -> list[Any]:
    content, count = unwrap(body)
    raw = _decoded(lambda: orjson.loads(content))
    if not isinstance(raw, list) or not raw or len(raw) != count:
        raise UnreadableBatch("another number of batches than its frame says")
    return raw


def _decoded(read: Callable[[], T]) -> T:
    """What `read` gives. Raises `UnreadableBatch` for all that odd values raise."""
    try:
        return read()
    except (UnreadableBatch, NewerMessage):
        raise
    except OddField as error:
        raise UnreadableBatch(f"a field has an odd value: {error}") from error
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise UnreadableBatch(type(error).__name__) from error


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
    """The release before this one insists on the length of the rows, and passes over what stands beside them."""
    rows: dict[str, Any] = {
        "requests": [
            [r.served_at, r.personalized, r.warm, r.model, r.arm, r.explored_rank, r.propensity] for r in batch.requests
        ],
        "events": [
            [_CODES[e.type], e.video_id, e.at_ms, e.identity, e.watch_ms, e.position, e.request] for e in batch.events
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
    return rows | _plays(batch)


def _sessions(batch: Batch) -> dict[str, int]:
    """The sessions that events name, with their numbers."""
    names = dict.fromkeys(e.session_id for e in batch.events if e.session_id is not None)
    return {id: at for at, id in enumerate(names)}


def _plays(batch: Batch) -> dict[str, Any]:
    """The plays, beside the rows of events: few events have one."""
    plays = [[at, p.key, p.started_ms, p.before] for at, e in enumerate(batch.events) if (p := e.play) is not None]
    return {"plays": plays} if plays else {}


def _rows_of_2(batch: Batch) -> dict[str, Any]:
    sessions = _sessions(batch)
    rows: dict[str, Any] = {
        "requests": [
            [r.served_at, r.personalized, r.warm, r.model, r.arm, r.explored_rank, r.propensity, r.feed, r.key]
            for r in batch.requests
        ],
        "events": [
            [
                _CODES[e.type],
                e.video_id,
                e.at_ms,
                e.identity,
                e.watch_ms,
                e.position,
                e.request,
                e.place,
                None if e.session_id is None else sessions[e.session_id],
            ]
            for e in batch.events
        ],
    }
    return rows | ({"sessions": list(sessions)} if sessions else {}) | _plays(batch)


def _batch(raw: Any, version: int) -> Batch:
    if version == _VERSION:
        _check_version(raw["v"])
        all_rows = check_rows(raw["events"], "events", _EVENT_FIELDS, _EVENT_FIELDS)
        requests = tuple(_requests_of_1(raw["requests"], raw.get("keys")))
        known = known_rows(all_rows, len(_TYPES))
        sessions = _sessions_of_1(raw.get("sessions", []), raw.get("inSession"), len(all_rows))
        events = tuple(_events_of_1(all_rows, known, raw.get("places"), sessions))
    else:
        all_rows = check_rows(raw["events"], "events", 1)
        requests = tuple(_requests_of_2(raw["requests"]))
        known = known_rows(all_rows, len(_TYPES))
        events = tuple(_events_of_2([all_rows[at] for at in known], check_sessions(raw.get("sessions", []))))
    for at, play in check_plays(raw.get("plays", []), len(all_rows)).items():
        number = bisect_left(known, at)
        if number < len(known) and known[number] == at:
            events[number].play = play
    check_batch(raw["id"], raw["tenant"], raw["user"], raw["acceptedAt"], events, requests)
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
        counted=_counted(raw.get("counted"), len(all_rows), known),
        again=raw.get("again") is True,
        passed_over=len(all_rows) - len(known),
    )


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
    """The session of each event, named beside the rows."""
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
