"""The archive: accepted events as compressed JSON lines in Blob Storage, under `tenant/yyyy/MM/dd/HH`.

A line names its user by a keyed pseudonym and carries what an evaluation needs: where the video stood, and how it
came to be served there. Lines are deleted by day 90.
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
"""The origin of an event: the app while it ran, or a tenant's records of former times."""
KEEP_DAYS = 90
LATEST_DAYS = 3
"""What was accepted longer ago than this counts, and is not archived: a blob is deleted by its own age, and nothing in
it may be older than 90 days by then."""


def blob_name(session_id: str, first_sequence: int, first_enqueued_at: float, accepted_at: float) -> str:
    """Where a drained batch of messages goes: named by its first message, so that writing it again overwrites it.

    Its number alone would do, but for a namespace that was set up anew and numbers from 1 again.
    """
    hour = datetime.fromtimestamp(accepted_at, UTC).strftime("%Y/%m/%d/%H")
    tenant_id, _, shard = session_id.partition("#")
    return f"{tenant_id}/{hour}/{shard or '0'}-{first_sequence:020d}-{int(first_enqueued_at * 1000)}.jsonl.gz"


def part_name(name: str, first_sequence: int) -> str:
    """Where a part of a blob's messages goes whose rest is missing: beside it, under its first sequence number."""
    return f"{name.removesuffix('.jsonl.gz')}-part-{first_sequence:020d}.jsonl.gz"


def is_due(name: str, now: float) -> bool:
    """Tell whether a blob must be deleted, so that nothing in it gets older than 90 days. A day early, since this is
    asked once a day, and `LATEST_DAYS` earlier still: its events may have been accepted that long before."""
    try:
        _, year, month, day, hour, _ = name.split("/")
        began = datetime(int(year), int(month), int(day), int(hour), tzinfo=UTC)
    except ValueError:
        return False  # not one of ours
    return now - began.timestamp() > (KEEP_DAYS - 1 - LATEST_DAYS) * 86_400


def in_time(batch: Batch, now: float) -> bool:
    """Whether a batch may still be archived."""
    return now - batch.accepted_at <= LATEST_DAYS * 86_400


def to_lines(batches: Sequence[Batch], pseudonym: Callable[[str], str], origin: str = LIVE) -> bytes:
    """The blob's content: one line per event, gzip-compressed, the same bytes for the same batches."""
    return gzip.compress(b"".join(_lines(batches, pseudonym, origin)), 6, mtime=0)


def counts(line: Mapping[str, Any]) -> bool:
    """Whether co-watch and reports count an archived event. Lines of the releases that did not decide it say nothing:
    there a valid feed request decides.
    """
    decided = line.get("counted")
    return line.get("request") is not None if decided is None else decided is True


def is_live(line: Mapping[str, Any]) -> bool:
    """Whether an archived event came from the app while it ran: lines of the releases that did not say are of these."""
    return bool(line.get("origin", LIVE) == LIVE)


def from_lines(content: bytes) -> Iterator[dict[str, Any]]:
    """The lines of a blob. Raises `ValueError` for a schema version this code does not know."""
    for text in gzip.decompress(content).splitlines():
        line = orjson.loads(text)
        if line.get("v") != SCHEMA_VERSION:
            raise ValueError(f"archived line of version {line.get('v')!r}, this reads {SCHEMA_VERSION}")
        yield line


def _lines(batches: Sequence[Batch], pseudonym: Callable[[str], str], origin: str) -> Iterator[bytes]:
    """What is the same in every line of a batch, or of a request, is written once and copied."""
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
    """A JSON object without its closing brace."""
    return orjson.dumps(fields)[:-1]


def _play(play: Play) -> dict[str, Any]:
    """`countedMs`: what counted of the play with earlier events, null where this one is its view."""
    counted_ms = None if play.before is None else play.before * 1000
    return {"key": play.key, "startedAt": play.started_ms, "countedMs": counted_ms}


def counted_before_ms(line: Mapping[str, Any]) -> float | None:
    """Milliseconds of the line's play that counted with earlier events; None for what is a view by itself."""
    counted_ms = (line.get("play") or {}).get("countedMs")
    return None if counted_ms is None else float(counted_ms)


def request_fields(request: FeedReceipt) -> dict[str, Any]:
    """Fields of a line about the page that its event quotes."""
    return {
        "servedAt": request.served_at * 1000,
        "mode": "personalized" if request.personalized else "fallback",
        "warm": request.warm,
        "model": request.model,
        "arm": request.arm,
        "exploredRank": None if request.explored_rank == NO_POSITION else request.explored_rank,
        "propensity": request.propensity if request.explored_rank != NO_POSITION else None,
    }
