"""Encodes version 2 messages as the release before columns did: JSON with a row per event."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from events.batch import Batch
from events.frame import JSON, JSON_IN_ZLIB, NO_DICTIONARY, Frame, wrap
from shared.domain.event_types import TYPE_CODES


def encode_in_rows(
    batches: Sequence[Batch], *, in_zlib: bool = False, change: Callable[[list[Any]], object] = lambda raw: None
) -> bytes:
    """Return the body of a message; `change` can edit its JSON before."""
    raw = [_rows(batch) for batch in batches]
    change(raw)
    content = orjson.dumps(raw)
    if in_zlib:
        return wrap(Frame(JSON_IN_ZLIB, NO_DICTIONARY, len(raw), zlib.compress(content, 1)))
    return wrap(Frame(JSON, NO_DICTIONARY, len(raw), content))


def _rows(batch: Batch) -> dict[str, Any]:
    sessions = list(dict.fromkeys(e.session_id for e in batch.events if e.session_id is not None))
    rows: dict[str, Any] = {
        "id": batch.id,
        "tenant": batch.tenant_id,
        "user": batch.user_key,
        "acceptedAt": batch.accepted_at,
        "trusted": batch.trusted,
        "consented": batch.consented,
        "trace": batch.trace_id,
        "requests": [
            [r.served_at, r.personalized, r.warm, r.model, r.arm, r.explored_rank, r.propensity, r.feed, r.key]
            for r in batch.requests
        ],
        "events": [
            [
                TYPE_CODES[e.type],
                e.video_id,
                e.at_ms,
                e.identity,
                e.watch_ms,
                e.position,
                e.request,
                e.place,
                None if e.session_id is None else sessions.index(e.session_id),
            ]
            for e in batch.events
        ],
    }
    if batch.counted is not None:
        rows["counted"] = batch.counted
    if batch.again:
        rows["again"] = True
    plays = [[at, p.key, p.started_ms, p.before] for at, e in enumerate(batch.events) if (p := e.play) is not None]
    return rows | ({"sessions": sessions} if sessions else {}) | ({"plays": plays} if plays else {})
