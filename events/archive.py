"""The archive: accepted events as compressed JSON lines in Blob Storage, under `tenant/yyyy/MM/dd/HH`.

A line names its user by a keyed pseudonym. It has what an evaluation needs: the position of the video on its page, and
how that page was chosen. Lines are deleted by day 90.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from events.batch import NOBODY, Batch
from events.schema import Play
from shared.domain.feed_receipt import NO_POSITION, FeedReceipt

SCHEMA_VERSION = 1
LIVE, HISTORY = "live", "history"
"""Origin of an event: the running app, or records of past events that a tenant imported."""
KEEP_DAYS = 90
LATEST_DAYS = 3
"""Batches accepted longer ago than this count, but are not archived. A blob is deleted by its own age, and by then no
event in it may be older than 90 days."""


def blob_name(session_id: str, first_sequence: int, first_enqueued_at: float, accepted_at: float) -> str:
    """Return the blob's name for a batch of drained messages. It contains the first message, so a second write
    overwrites the first.

    The enqueue time is part of the name because a Service Bus namespace that is created again numbers from 1 again.
    """
    hour = datetime.fromtimestamp(accepted_at, UTC).strftime("%Y/%m/%d/%H")
    tenant_id, _, shard = session_id.partition("#")
    return f"{tenant_id}/{hour}/{shard or '0'}-{first_sequence:020d}-{int(first_enqueued_at * 1000)}.jsonl.gz"


def part_name(name: str, first_sequence: int) -> str:
    """Return the name for messages of a blob whose other messages are missing: the blob's name and the first sequence
    number."""
    return f"{name.removesuffix('.jsonl.gz')}-part-{first_sequence:020d}.jsonl.gz"


def is_due(name: str, now: float) -> bool:
    """Tell whether a blob must be deleted, so that no event in it gets older than 90 days. True one day early because
    the check runs once a day, and `LATEST_DAYS` earlier still because its events can be that much older than the
    blob."""
    try:
        _, year, month, day, hour, _ = name.split("/")
        began = datetime(int(year), int(month), int(day), int(hour), tzinfo=UTC)
    except ValueError:
        return False  # not a name of the archive
    return now - began.timestamp() > (KEEP_DAYS - 1 - LATEST_DAYS) * 86_400


def in_time(batch: Batch, now: float) -> bool:
    """Tell whether a batch is recent enough for the archive."""
    return now - batch.accepted_at <= LATEST_DAYS * 86_400


def to_lines(batches: Sequence[Batch], pseudonym: Callable[[str], str], origin: str = LIVE) -> bytes:
    """Return the content of a blob: one JSON line per event, gzip-compressed. The same batches give the same bytes."""
    return gzip.compress(b"".join(_lines(batches, pseudonym, origin)), 6, mtime=0)


def counts(line: Mapping[str, Any]) -> bool:
    """Tell whether co-watch and reports count an archived event. Lines of early releases have no `counted`: there an
    event counts if it quotes a valid feed request."""
    decided = line.get("counted")
    return line.get("request") is not None if decided is None else decided is True


def is_live(line: Mapping[str, Any]) -> bool:
    """Tell whether an archived event came from the running app. Lines of early releases have no `origin`; all of them
    did."""
    return bool(line.get("origin", LIVE) == LIVE)


def from_lines(content: bytes) -> Iterator[dict[str, Any]]:
    """Yield the lines of a blob. Raises `ValueError` for an unknown schema version."""
    for text in gzip.decompress(content).splitlines():
        line = orjson.loads(text)
        if line.get("v") != SCHEMA_VERSION:
            raise ValueError(f"archived line of version {line.get('v')!r}, this reads {SCHEMA_VERSION}")
        yield line


def _lines(batches: Sequence[Batch], pseudonym: Callable[[str], str], origin: str) -> Iterator[bytes]:
    """Yield the lines. Fields that all lines of a batch or of a feed request share are serialized once."""
    for batch in batches:
        user = None if batch.user_key == NOBODY else pseudonym(batch.user_key)
        before = _open({"v": SCHEMA_VERSION, "origin": origin, "tenant": batch.tenant_id, "user": user})
        accepted = _open({"batch": batch.id, "acceptedAt": int(batch.accepted_at * 1000)})[1:]
        after = {
            number: b",%b,%b" % (accepted, _open({"request": request})[1:])
            for number, request in [(None, None), *enumerate(map(request_fields, batch.requests))]
        }
        decided = batch.counted or ()
        for at, event in enumerate(batch.events):
            of_event = {
                "type": event.type,
                "videoId": event.video_id,
                "timestamp": event.at_ms,
                "watchTimeMs": event.watch_ms,
                "rankPosition": event.position,
                "session": event.session_id,
                "play": None if event.play is None else _play(event.play),
            }
            if event.subject is not None:
                of_event |= {"videoId": None, "subject": {"kind": event.subject.kind, "id": event.subject.id}}
            end = _COUNTED[decided[at]] if decided else b"}\n"
            yield b"%b,%b%b%b" % (before, _open(of_event)[1:], after[event.request], end)


_COUNTED = (b',"counted":false}\n', b',"counted":true}\n')


def _open(fields: Mapping[str, Any]) -> bytes:
    """Return a JSON object without its closing brace."""
    return orjson.dumps(fields)[:-1]


def _play(play: Play) -> dict[str, Any]:
    """Return the play's fields. `countedMs`: watch time counted with earlier events; null when this event is the
    view."""
    counted_ms = None if play.before is None else play.before * 1000
    return {"key": play.key, "startedAt": play.started_ms, "countedMs": counted_ms}


def counted_before_ms(line: Mapping[str, Any]) -> float | None:
    """Return the milliseconds of the line's play that earlier events counted; None if the line is a view itself."""
    counted_ms = (line.get("play") or {}).get("countedMs")
    return None if counted_ms is None else float(counted_ms)


def request_fields(request: FeedReceipt) -> dict[str, Any]:
    """Return the fields of a line that describe the page its event quotes."""
    return {
        "servedAt": request.served_at * 1000,
        "mode": "personalized" if request.personalized else "fallback",
        "warm": request.warm,
        "model": request.model,
        "arm": request.arm,
        "exploredRank": None if request.explored_rank == NO_POSITION else request.explored_rank,
        "propensity": request.propensity if request.explored_rank != NO_POSITION else None,
    }
