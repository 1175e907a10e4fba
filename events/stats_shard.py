"""A shard of a tenant's video statistics: which messages it has added, and what waits to be added. Pure.

A session of the subscription `rollup` belongs to one shard. Its messages come in order, so the shard's document tells
by sequence numbers which of them are in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

from events.batch import SHARD_MARK, Batch
from shared.adapters.bus.port import ReceivedMessage
from shared.adapters.documents.port import Document

MESSAGES_A_WRITE = 4_000
BYTES_A_WRITE = 64_000_000
CLOCKS_DIFFER_SECONDS = 60.0
SHARD_MARK_IN_IDS = "."
"""A document id may not have the mark of a session, and a tenant id has no dot."""


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard's document as it is stored, None before its first write."""

    session_id: str
    stored: Document | None

    @property
    def tenant_id(self) -> str:
        return self.session_id.partition(SHARD_MARK)[0]

    @property
    def id(self) -> str:
        return f"stats:{self.session_id.replace(SHARD_MARK, SHARD_MARK_IN_IDS)}"

    @property
    def last(self) -> int:
        """The last sequence number added."""
        return int(self.stored.body.get("lastSequence", 0)) if self.stored else 0

    @property
    def first_of_last(self) -> int:
        """The first sequence number of the range added last."""
        return int(self.stored.body.get("firstSequence", 0)) if self.stored else 0

    @property
    def size_of_last(self) -> int:
        """How many messages that range had."""
        return int(self.stored.body.get("messages", 0)) if self.stored else 0

    @property
    def blob_of_last(self) -> str:
        """Where that range is archived."""
        return str(self.stored.body.get("blob", "")) if self.stored else ""

    def knows(self, each: SequencedBatch) -> bool:
        """Whether a message was added before.

        A namespace that was set up anew numbers from 1 again: a low number that was given out later than the last
        one known is a new message.
        """
        known_until = float(self.stored.body.get("enqueuedAt", inf)) if self.stored else inf
        return each.sequence <= self.last and each.enqueued_at <= known_until + CLOCKS_DIFFER_SECONDS

    def last_range(self, pending: Sequence[SequencedBatch]) -> list[SequencedBatch]:
        """Those of the range added last."""
        return [each for each in pending if each.sequence >= self.first_of_last and self.knows(each)]


@dataclass(frozen=True, slots=True)
class SequencedBatch:
    """A readable message with its sequence number."""

    sequence: int
    batch: Batch
    enqueued_at: float


@dataclass(slots=True)
class PendingMessages:
    """What was received from a session: readable messages in order, and every message that is still to be settled."""

    batches: list[SequencedBatch] = field(default_factory=list)
    messages: list[ReceivedMessage] = field(default_factory=list)

    @property
    def full(self) -> bool:
        return len(self.messages) >= MESSAGES_A_WRITE or sum(len(m.body) for m in self.messages) >= BYTES_A_WRITE

    def messages_of(self, batches: Sequence[SequencedBatch]) -> list[ReceivedMessage]:
        """The messages that batches came in."""
        numbers = {each.sequence for each in batches}
        return [message for message in self.messages if message.sequence_number in numbers]
