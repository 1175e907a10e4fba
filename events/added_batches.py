"""Keeps the names of batches the statistics have taken in, for two weeks, so one that comes twice counts once.

The bus forgets after an hour which messages it has. So a batch that is replayed, or that the fold
hands on in a second delivery, says that it may come `again`. Only such batches are looked up here. The names are
written with the shard's document, in one atomic batch: one small document for all that was drained. A first copy that
comes after a later one is known by `events/overtaken_batches.py`.
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
"""As long as the marker of a fold lives: nothing older is folded or replayed."""
CLOCKS_DIFFER_SECONDS = 600
_ROW = np.dtype("<u8")


def added_document(session_id: str, batches: Sequence[NumberedBatch], write: str, now: float) -> Json:
    """The document that names the batches of one write, at 8 bytes each. `write`: what the write itself is named by."""
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
    """The batches without those that statistics have taken in already, and each of the rest once.

    `write`: the one that is asking, perhaps again; what it has taken in itself is no repetition. `overtaken`: names of
    those whose first copy comes too late. Raises `StoreUnavailable`.
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
    """The names of all that was taken in since a time."""
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
    """64 bits of a batch's id: unlike its acceptance or its message, the same in every copy of it."""
    return int.from_bytes(blake2b(batch.id.encode(), digest_size=8).digest(), "little")


def _id_at(at: float) -> str:
    """Ids sort by time."""
    return f"{PREFIX}{max(0, int(at)):011d}"
