"""The bus port: one topic, `user-events`, with three subscriptions, and the semantics of Service Bus.

A published message reaches the subscription it names, or each of those for events. A receiver holds a message under a
lock until it completes, abandons or dead-letters it; a lock that runs out counts as a failed delivery; after
`MAX_DELIVERIES` of them the message goes to the subscription's dead-letter queue. The subscription `rollup` has
sessions: one receiver at a time owns a session and gets its messages in order.

Errors:

    BusError
    ├── LockLost          the message or session is no longer ours; it will come again (caller's state)
    ├── BusRefused        final, about this message alone: it is too large, or malformed
    └── BusUnavailable    not confirmed in time; it may or may not have been accepted (dependency)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

TOPIC = "user-events"
SIGNALS = "signals"
ROLLUP = "rollup"
LEARNING = "learning"
EVENT_SUBSCRIPTIONS = (SIGNALS, ROLLUP)
"""What a message that names none goes to."""
SUBSCRIPTIONS = (*EVENT_SUBSCRIPTIONS, LEARNING)
SESSION_SUBSCRIPTIONS = frozenset({ROLLUP})
MAX_DELIVERIES = 2_000
"""More than three days of outage need (a message that long on the bus expires anyway): a consumer waits minutes inside
each delivery, and sets aside by itself what can never be worked on."""
LOCK_SECONDS = 60.0
DUPLICATE_WINDOW_SECONDS = 3_600.0
MESSAGE_TTL_SECONDS = 3 * 86_400
MAX_MESSAGE_BYTES = 1_000_000
MAX_ID_LENGTH = 128
"""Of message and session ids, as in Service Bus."""
NO_SESSION = ""
"""The session of a message to a subscription without sessions: it needs none."""
MAX_REASON_LENGTH = 4_096


class BusError(Exception):
    """Anything the bus port raises on purpose."""


class LockLost(BusError):
    """The lock ran out or was taken over; what was done with the message will be done again."""


class BusRefused(BusError):
    """The bus will never take this message; the same again is refused again, others are not concerned.

    `too_large`: because of its size.
    """

    def __init__(self, message: str, *, too_large: bool = False) -> None:
        self.too_large = too_large
        super().__init__(message)


class BusUnavailable(BusError):
    """The bus did not confirm in time."""

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """`message_id` is what duplicate detection compares; `session_id` picks the session of the roll-up, `NO_SESSION`
    where the message goes to no subscription that has sessions.

    `to` names the one subscription that gets it; None means each of `EVENT_SUBSCRIPTIONS`.
    """

    message_id: str
    session_id: str
    body: bytes
    to: str | None = None


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """A message under lock. `enqueued_at` is in seconds since the epoch; `handle` belongs to the backend."""

    message_id: str
    session_id: str
    body: bytes
    sequence_number: int
    delivery_count: int
    enqueued_at: float
    handle: Any = None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message of the dead-letter queue, with why it went there."""

    message: ReceivedMessage
    reason: str
    description: str


def check_subscription(subscription: str) -> None:
    """Raises `ValueError` for a subscription the topic does not have."""
    if subscription not in SUBSCRIPTIONS:
        raise ValueError(f"no subscription {subscription!r}: there are {', '.join(SUBSCRIPTIONS)}")


def check_message(message: OutgoingMessage, subscription: str | None = None) -> None:
    """Raises `ValueError` for a message that Service Bus would not take, for `subscription` where it names none."""
    to = message.to or subscription
    needs_session = to is None or to in SESSION_SUBSCRIPTIONS
    ids = (("message", message.message_id, 1), ("session", message.session_id, int(needs_session)))
    for name, id, least in ids:
        if not least <= len(id) <= MAX_ID_LENGTH:
            raise ValueError(f"a {name} id has {least} to {MAX_ID_LENGTH} characters, not {len(id)}")
    if len(message.body) > MAX_MESSAGE_BYTES:
        raise ValueError(f"message {message.message_id} has {len(message.body):,} bytes, over {MAX_MESSAGE_BYTES:,}")


class Receiver(Protocol):
    """Peek-lock receiver of one subscription, or of one of its sessions (`session_id` is then set)."""

    session_id: str | None

    async def receive(self, max_messages: int, wait_seconds: float) -> list[ReceivedMessage]:
        """Up to `max_messages`, each locked; an empty list when none came within `wait_seconds`."""
        ...

    async def complete(self, messages: Sequence[ReceivedMessage]) -> None:
        """Done: they will not come again. Raises `LockLost` when any lock was lost (the rest are settled)."""
        ...

    async def abandon(self, message: ReceivedMessage) -> None:
        """Give it back at once; its delivery count stays raised."""
        ...

    async def dead_letter(self, message: ReceivedMessage, reason: str, description: str = "") -> None:
        """Set it aside with a reason (≤ `MAX_REASON_LENGTH` characters each)."""
        ...

    async def renew(self, message: ReceivedMessage | None = None) -> None:
        """Start the lock of the message, or of the session, afresh."""
        ...

    async def close(self) -> None:
        """Let go; what is still locked comes again."""
        ...


class Bus(Protocol):
    """The port."""

    async def publish(self, message: OutgoingMessage) -> None:
        """Returns once the bus has it durably. The same `message_id` within an hour is accepted and dropped.

        Raises `BusUnavailable` when that was not confirmed in time, `BusRefused` for a message that it will never take.
        """
        ...

    async def receiver(self, subscription: str, *, dead_letters: bool = False) -> Receiver:
        """A receiver for a subscription without sessions, or for any subscription's dead-letter queue."""
        ...

    async def next_session(self, subscription: str, wait_seconds: float) -> Receiver | None:
        """Own a session that has messages and no owner; None when there is none within `wait_seconds`."""
        ...

    async def peek_dead_letters(self, subscription: str, limit: int, after: int = 0) -> list[DeadLetter]:
        """Look at dead letters by sequence number without locking them."""
        ...

    async def dead_letter(
        self, subscription: str, message: OutgoingMessage, reason: str, description: str = ""
    ) -> None:
        """Put a message that cannot be understood into the dead letters of one subscription.

        For consumers that get messages by a trigger, which cannot dead-letter what they hold.
        """
        ...

    async def resend(self, subscription: str, message: OutgoingMessage) -> None:
        """Deliver to this one subscription only, as replay does."""
        ...

    async def depth(self, subscription: str) -> tuple[int, int]:
        """Roughly how many messages wait in the subscription and in its dead-letter queue."""
        ...

    async def oldest(self, subscription: str) -> float | None:
        """When the oldest message that is not settled was enqueued, in seconds since the epoch; None for none."""
        ...

    async def ready(self) -> None:
        """Raise `BusUnavailable` when messages cannot be published; opens what may be opened ahead of use."""
        ...

    async def close(self) -> None:
        """Let go of connections. Safe to call twice."""
        ...
