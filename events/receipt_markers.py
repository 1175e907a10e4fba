"""Markers of what statistics counted for users who opted out: one per receipt, for 24 hours.

Nothing is stored about such a user. So each receipt has a document of its own, under a keyed hash of the receipt's
fields; it names nobody. It also records which message counted which events. So a message delivered again, after a crash
between this write and that of the statistics, counts the same events.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from typing import Any

from events.batch import Batch
from events.counting import DAY_SECONDS, Ledger, decide, flags_of, mask_of
from shared.adapters.documents.port import USER_ACTIVITY, Create, DocumentStore, Json, Replace, WriteRejected
from shared.adapters.retry import retry
from shared.domain.counted_receipts import CountedReceipts
from shared.domain.keys import Identity

MARKER_ID = "receipt"
AT_ONCE = 16
_PAUSE_SECONDS = 0.05
_EVERYTHING_COUNTED = CountedReceipts(oldest=0xFFFFFFFF)

NamedBatch = tuple[str, Batch]
"""Name of a message, the same in every delivery, and its batch."""
_Quoted = tuple[str, int, int]
"""A receipt: its tenant, when it was served, its key."""


class _Crossed(Exception):
    """Another worker wrote the marker in between."""


class ReceiptMarkers:
    """Decides about batches without a user."""

    def __init__(self, documents: DocumentStore, identity: Identity) -> None:
        self._documents = documents
        self._identity = identity
        self._at_once = asyncio.Semaphore(AT_ONCE)

    async def decide(self, batches: Sequence[NamedBatch]) -> list[tuple[bool, ...]]:
        """Return which events of each batch count. Raises `StoreUnavailable`; a second call gives the same result."""
        quoting: dict[_Quoted, list[tuple[str, Batch, list[int]]]] = {}
        decided: dict[str, list[bool]] = {}
        for name, batch in batches:
            rest = []
            by_receipt: dict[_Quoted, list[int]] = {}
            for at, event in enumerate(batch.events):
                request = None if event.request is None else batch.requests[event.request]
                # Receipts without a key (messages of the previous release) cannot be told apart.
                if request is None or not request.key:
                    rest.append(at)
                else:
                    by_receipt.setdefault((batch.tenant_id, request.served_at, request.key), []).append(at)
            for quoted, places in by_receipt.items():
                quoting.setdefault(quoted, []).append((name, batch, places))
            decided[name] = [False] * len(batch.events)
            alone = decide(batch, [batch.events[at] for at in rest], Ledger(today=None), batch.accepted_at)
            _set(decided[name], rest, alone.counted)
        await asyncio.gather(*(self._take(quoted, each, decided) for quoted, each in quoting.items()))
        return [tuple(decided[name]) for name, _ in batches]

    async def _take(
        self, quoted: _Quoted, messages: Sequence[tuple[str, Batch, list[int]]], decided: dict[str, list[bool]]
    ) -> None:
        """Count what is left of one receipt for the messages that quote it."""
        async with self._at_once:
            masks = await retry(
                lambda: self._take_once(quoted, messages),
                (_Crossed,),
                first_pause=_PAUSE_SECONDS,
                longest_pause=_PAUSE_SECONDS,
            )
        for (name, _, places), mask in zip(messages, masks, strict=True):
            _set(decided[name], places, flags_of(mask, len(places)))

    async def _take_once(self, quoted: _Quoted, messages: Sequence[tuple[str, Batch, list[int]]]) -> list[str]:
        partition = self._identity.receipt_marker(*quoted)
        stored = await self._documents.read(USER_ACTIVITY, partition, MARKER_ID, latest=True)
        ledger, taken = _read(stored.body if stored else None)
        before, masks = len(taken), []
        for name, batch, places in messages:
            if name not in taken:
                decision = decide(batch, [batch.events[at] for at in places], ledger, batch.accepted_at)
                ledger = decision.ledger
                if any(decision.counted):
                    taken[name] = mask_of(decision.counted)
            masks.append(taken.get(name, "0"))
        if len(taken) > before:
            body = {
                "id": MARKER_ID,
                "kind": "receipt-marker",
                "tenantId": quoted[0],
                "counted": base64.b64encode(ledger.receipts.pack()).decode(),
                "taken": taken,
                "ttl": DAY_SECONDS,
            }
            try:
                await self._documents.write(
                    USER_ACTIVITY, partition, [Replace(body, stored.etag) if stored else Create(body)]
                )
            except WriteRejected as refused:
                raise _Crossed from refused
        return masks


def _set(flags: list[bool], places: Sequence[int], counted: Sequence[bool]) -> None:
    for at, counts in zip(places, counted, strict=True):
        flags[at] = counts


def _read(body: Json | None) -> tuple[Ledger, dict[str, str]]:
    """Return the marker's ledger and masks. An unreadable marker counts nothing any more."""
    if body is None:
        return Ledger(today=None), {}
    taken: Any = body.get("taken")
    try:
        receipts = CountedReceipts.unpack(base64.b64decode(body["counted"], validate=True))
    except (KeyError, TypeError, ValueError):
        receipts = _EVERYTHING_COUNTED
    return Ledger(receipts, None), dict(taken) if isinstance(taken, dict) else {}
