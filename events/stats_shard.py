"""A shard of a tenant's video statistics: the messages it has added, and those waiting to be added. Pure.

A session of the subscription `rollup` belongs to one shard. The shard's document lists the added messages by sequence
number, so messages that arrive late, twice, or in another run are recognized.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import inf

from events.batch import SHARD_MARK, Batch
from events.overtaken_batches import OvertakenBatches
from events.sequence_log import SequenceLog
from ranking.stats import STATS_PREFIX
from shared.adapters.bus.port import ReceivedMessage
from shared.adapters.documents.port import Document
from shared.domain.formats import is_number

BATCHES_A_WRITE = 4_000
BYTES_A_WRITE = 64_000_000
CLOCKS_DIFFER_SECONDS = 60.0
SHARD_MARK_IN_IDS = "."
"""Document ids cannot contain the mark of a session; a tenant id contains no dot."""


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard's stored document, None before its first write. `log` is None if an older version wrote it: then
    everything up to the last number counts as added."""

    session_id: str
    stored: Document | None = None
    log: SequenceLog | None = field(default_factory=SequenceLog)

    @classmethod
    def of(cls, session_id: str, stored: Document | None) -> Shard:
        """Return the shard of a session with its stored document."""
        log = SequenceLog() if stored is None else SequenceLog.from_json(stored.body.get("sequences"))
        return cls(session_id, stored, log)

    @property
    def tenant_id(self) -> str:
        return self.session_id.partition(SHARD_MARK)[0]

    @property
    def id(self) -> str:
        return f"{STATS_PREFIX}{self.session_id.replace(SHARD_MARK, SHARD_MARK_IN_IDS)}"

    @property
    def last(self) -> int:
        """Highest sequence number added."""
        return int(self._number("lastSequence"))

    @property
    def known_until(self) -> float:
        """When the latest added message was enqueued, in seconds since the epoch."""
        return self._number("enqueuedAt", inf)

    def _number(self, name: str, otherwise: float = 0.0) -> float:
        found = self.stored.body.get(name) if self.stored else None
        return found if is_number(found) else otherwise  # type: ignore[return-value]

    @property
    def overtaken(self) -> OvertakenBatches:
        """Batches that were counted from a later copy."""
        return OvertakenBatches.from_json(self.stored.body.get("overtaken") if self.stored else None)

    def is_numbered_anew(self, each: SequencedMessage) -> bool:
        """Tell whether a low number was assigned later than the highest known one: the Service Bus namespace was
        created again and numbers from 1."""
        return self.stored is not None and (
            each.sequence <= self.last and each.enqueued_at > self.known_until + CLOCKS_DIFFER_SECONDS
        )

    def sorted_out(self, messages: Sequence[SequencedMessage]) -> SortedOut:
        """Sort messages into those added before, those that may have been, and new ones."""
        found = SortedOut()
        last, log = self.last, self.log
        held = log.holds([each.sequence for each in messages]) if log is not None else ()
        for at, each in enumerate(messages):
            if self.stored is None or self.is_numbered_anew(each):
                found.new.append(each)
            elif each.sequence <= last if log is None else held[at]:
                found.again.append(each)
            elif log is not None and each.sequence <= log.floor:
                found.too_late.append(each)
            else:
                found.new.append(each)
        return found

    def ranges(self) -> list[WrittenRange]:
        """Return the remembered ranges, in the order they were written."""
        if self.log is not None:
            return [WrittenRange(each.blob, len(each.numbers), each.__contains__) for each in self.log.ranges]
        first, last = int(self._number("firstSequence")), self.last
        blob = str(self.stored.body.get("blob", "")) if self.stored else ""
        return [WrittenRange(blob, int(self._number("messages")), lambda number: first <= number <= last)]

    def known_until_with(self, new: Sequence[SequencedMessage]) -> float:
        """Return `known_until` after these messages are added."""
        latest = max(each.enqueued_at for each in new)
        return max(latest, self._number("enqueuedAt"))

    def last_with(self, new: Sequence[SequencedMessage]) -> int:
        """Return the highest sequence number after these messages are added."""
        highest = max(each.sequence for each in new)
        return highest if any(self.is_numbered_anew(each) for each in new) else max(self.last, highest)

    def log_with(self, new: Sequence[SequencedMessage], blob: str) -> SequenceLog:
        """Return the sequence log after these messages are added as one range."""
        if any(self.is_numbered_anew(each) for each in new):
            log = SequenceLog()
        else:
            log = SequenceLog(floor=self.last) if self.log is None else self.log
        return log.with_range([each.sequence for each in new], blob)

    def wrote(self, new: Sequence[SequencedMessage]) -> bool:
        """Tell whether the range written last has exactly these messages."""
        return bool(self.log and self.log.ranges) and self.log.ranges[-1].is_of(each.sequence for each in new)  # type: ignore[union-attr]


@dataclass(slots=True)
class SortedOut:
    """Messages by what a shard knows of them, each in the given order. `too_late`: they may have been added, too long
    ago for the log to tell."""

    new: list[SequencedMessage] = field(default_factory=list)
    again: list[SequencedMessage] = field(default_factory=list)
    too_late: list[SequencedMessage] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class WrittenRange:
    """The messages of one write: their blob (empty for none), their number, and a test for membership."""

    blob: str
    size: int
    has: Callable[[int], bool]

    def of(self, batches: Sequence[SequencedMessage]) -> list[SequencedMessage]:
        """Return the messages that are in this range."""
        return [each for each in batches if self.has(each.sequence)]


@dataclass(frozen=True, slots=True)
class NumberedBatch:
    """A batch with the sequence number of its message and its index in it."""

    sequence: int
    place: int
    batch: Batch
    enqueued_at: float

    @property
    def name(self) -> str:
        """Name of the batch: the same in every delivery of its message, and unique within its session."""
        return f"{self.sequence}/{int(self.enqueued_at)}" + (f"/{self.place}" if self.place else "")


@dataclass(frozen=True, slots=True)
class SequencedMessage:
    """A decoded message with its sequence number and at least one batch."""

    sequence: int
    batches: tuple[Batch, ...]
    enqueued_at: float

    def numbered(self) -> Iterator[NumberedBatch]:
        """Return its batches, numbered."""
        return (NumberedBatch(self.sequence, at, batch, self.enqueued_at) for at, batch in enumerate(self.batches))


@dataclass(slots=True)
class PendingMessages:
    """Messages received from a session, one entry per sequence number. After a second delivery only the latest lock is
    valid. `newer`: a message arrived that only a later release can read."""

    newer: bool = False
    _batches: dict[int, SequencedMessage] = field(default_factory=dict)
    _messages: dict[int, ReceivedMessage] = field(default_factory=dict)

    def add(self, batch: SequencedMessage, message: ReceivedMessage) -> None:
        self._batches[batch.sequence] = batch
        self._messages[batch.sequence] = message

    def remove(self, each: SequencedMessage) -> ReceivedMessage:
        """Remove and return a message that is settled separately."""
        del self._batches[each.sequence]
        return self._messages.pop(each.sequence)

    @property
    def batches(self) -> list[SequencedMessage]:
        """Messages by sequence number."""
        return sorted(self._batches.values(), key=lambda each: each.sequence)

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def newest_enqueued_at(self) -> float:
        """When the newest message was enqueued, in seconds since the epoch; 0 for none."""
        return max((message.enqueued_at for message in self._messages.values()), default=0.0)

    @property
    def full(self) -> bool:
        batches = sum(len(each.batches) for each in self._batches.values())
        return batches >= BATCHES_A_WRITE or sum(len(m.body) for m in self._messages.values()) >= BYTES_A_WRITE

    def messages_of(self, batches: Sequence[SequencedMessage]) -> list[ReceivedMessage]:
        """Return the received messages of these batches."""
        return [self._messages[each.sequence] for each in batches]
