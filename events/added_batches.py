"""Remembers for two weeks which batches the statistics counted, so that a batch delivered twice counts once.

The bus detects duplicate messages for an hour only. A batch that is replayed, or that the fold publishes again in a
second delivery, therefore has the flag `again`. Only batches with this flag are looked up here. One small document
names all batches of one write; it is written in one atomic batch with the shard's document. A first copy that arrives
after a later one is recognized by `events/overtaken_batches.py`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Container, Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from events.batch import SHARD_MARK, Batch
from events.stats_shard import SHARD_MARK_IN_IDS, NumberedBatch
from shared.adapters.documents.port import DAY_SECONDS, VIDEO_STATS, DocumentStore, Json

PREFIX = "added:"
KEEP_SECONDS = 14 * DAY_SECONDS
"""As long as the marker of a folded batch lives: no older batch is folded or replayed."""
CLOCKS_DIFFER_SECONDS = 600
_ROW = np.dtype("<u8")


def added_document(session_id: str, batches: Sequence[NumberedBatch], write: str, now: float) -> Json:
    """Return the document that names the batches of one write, 8 bytes each. `write`: name of the write itself."""
    first = batches[0]
    names = np.array([name_of(each.batch) for each in batches], _ROW)
    return {
        "id": f"{_id_at(now)}:{session_id.replace(SHARD_MARK, SHARD_MARK_IN_IDS)}:{first.sequence}",
        "kind": "added",
        "write": write,
        "batches": base64.b64encode(names.tobytes()).decode(),
        "ttl": KEEP_SECONDS,
    }


async def not_added_before(
    documents: DocumentStore, tenant_id: str, batches: Sequence[NumberedBatch], write: str, overtaken: Container[int]
) -> list[NumberedBatch]:
    """Return the batches that the statistics have not counted yet, each once.

    `write` names the current write, which can be a retry: batches that it counted itself are no repetitions.
    `overtaken`: names of batches whose first copy arrives too late. Raises `StoreUnavailable`.
    """
    if overtaken:
        batches = [each for each in batches if each.batch.again or name_of(each.batch) not in overtaken]
    again = [each for each in batches if each.batch.again]
    if not again:
        return list(batches)
    known = await _known(documents, tenant_id, min(each.batch.accepted_at for each in again), write)
    known.update(name_of(each.batch) for each in batches if not each.batch.again)
    kept = []
    for each in batches:
        if each.batch.again:
            name = name_of(each.batch)
            if name in known:
                continue
            known.add(name)
        kept.append(each)
    return kept


async def _known(documents: DocumentStore, tenant_id: str, since: float, write: str) -> set[int]:
    """Return the names of all batches counted since a time."""
    known: set[int] = set()
    after: str | None = _id_at(since - CLOCKS_DIFFER_SECONDS)
    while after is not None:
        page = await documents.query(VIDEO_STATS, tenant_id, id_prefix=PREFIX, after=after)
        for document in page.documents:
            if document.body.get("write") != write:
                known.update(_names(document.body).tolist())
        after = page.next
    return known


def _names(body: Json) -> NDArray[np.uint64]:
    try:
        return np.frombuffer(base64.b64decode(body["batches"], validate=True), _ROW)
    except (KeyError, TypeError, ValueError, binascii.Error):
        return np.zeros(0, _ROW)


def name_of(batch: Batch) -> int:
    """Return 64 bits of a hash of the batch's id. They are the same in every copy of the batch, unlike its acceptance
    time."""
    return int.from_bytes(blake2b(batch.id.encode(), digest_size=8).digest(), "little")


def _id_at(at: float) -> str:
    """Return an id that sorts by time."""
    return f"{PREFIX}{max(0, int(at)):011d}"
