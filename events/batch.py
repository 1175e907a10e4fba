"""A batch of events as it travels on the bus: every id, key and time its consumers need is in the body."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from events.batch_check import OddField, check_batch, check_code, check_rows
from events.schema import Event
from shared.domain.event_types import EVENT_TYPES
from shared.domain.feed_receipt import FeedReceipt
from shared.domain.fingerprint import fingerprint

NOBODY = "-"
"""The user key of a batch without consent: it names nobody."""
SHARD_MARK = "#"
_VERSION = 1
_EVENT_FIELDS, _REQUEST_FIELDS = 7, 7
"""Values in a row of `encode`."""
_TYPES = tuple(EVENT_TYPES)
_CODES = {name: code for code, name in enumerate(_TYPES)}


@dataclass(frozen=True, slots=True)
class Batch:
    """An accepted batch of one user. `accepted_at` in seconds since the epoch.

    `requests` are the verified feed requests its events quote. `trusted`: its events may count in video statistics
    without one. `consented` is False when the user opted out of personalization: then no signals are kept. `trace_id`
    (32 hex digits, or empty) is the trace of the request that brought it. `counted` says of each event whether
    statistics and co-watch count it; None until that is decided.
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


class UnreadableBatch(ValueError):
    """The body of a message is not a batch this version understands."""


def encode(batch: Batch) -> bytes:
    """The body of a message."""
    return orjson.dumps(
        {
            "v": _VERSION,
            "id": batch.id,
            "tenant": batch.tenant_id,
            "user": batch.user_key,
            "acceptedAt": batch.accepted_at,
            "trusted": batch.trusted,
            "consented": batch.consented,
            "trace": batch.trace_id,
            "requests": [
                [r.served_at, r.personalized, r.warm, r.model, r.arm, r.explored_rank, r.propensity]
                for r in batch.requests
            ],
            "events": [
                [_CODES[e.type], e.video_id, e.at_ms, e.identity, e.watch_ms, e.position, e.request]
                for e in batch.events
            ],
        }
        | _beside_the_rows(batch)
    )


def _beside_the_rows(batch: Batch) -> dict[str, Any]:
    """What is known of each event or request that not every batch has. The release before this one insists on the
    length of the rows, and passes over what stands beside them."""
    beside: dict[str, Any] = {}
    if any(request.key for request in batch.requests):
        beside["keys"] = [request.key for request in batch.requests]
    if any(event.place is not None for event in batch.events):
        beside["places"] = [event.place for event in batch.events]
    if batch.counted is not None:
        beside["counted"] = batch.counted
    return beside


def decode(body: bytes) -> Batch:
    """The inverse of `encode`. Raises `UnreadableBatch`."""
    try:
        raw = orjson.loads(body)
        if raw["v"] != _VERSION or isinstance(raw["v"], bool):
            raise UnreadableBatch(f"version {raw['v']}" if isinstance(raw["v"], int) else "no version")
        events = tuple(_events(raw["events"], raw.get("places")))
        requests = tuple(_requests(raw["requests"], raw.get("keys")))
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
            counted=_counted(raw.get("counted"), len(events)),
        )
    except UnreadableBatch:
        raise
    except OddField as error:
        raise UnreadableBatch(f"a field has an odd value: {error}") from error
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise UnreadableBatch(type(error).__name__) from error


def _requests(rows: list[list[Any]], keys: list[Any] | None) -> Iterable[FeedReceipt]:
    rows = check_rows(rows, _REQUEST_FIELDS, "requests")
    for row, key in zip(rows, keys or [0] * len(rows), strict=True):
        request = FeedReceipt(*row)
        request.key = key
        yield request


def _events(rows: list[list[Any]], places: list[Any] | None) -> Iterable[Event]:
    rows = check_rows(rows, _EVENT_FIELDS, "events")
    for row, place in zip(rows, places or [None] * len(rows), strict=True):
        code, video_id, at_ms, identity, watch_ms, position, request = row
        kind = _TYPES[check_code(code, len(_TYPES))]
        yield Event(kind, video_id, at_ms, identity, watch_ms, position, request, place)


def _counted(flags: list[Any] | None, events: int) -> tuple[bool, ...] | None:
    if flags is not None and len(flags) != events:
        raise ValueError
    return None if flags is None else tuple(flag is True for flag in flags)
