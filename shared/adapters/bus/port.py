"""The bus port: one topic, `user-events`, with three subscriptions, and the semantics of Service Bus.

A published message reaches the subscription it names, or each of those for events. A receiver locks a message until it
completes, abandons or dead-letters it. A lock that expires counts as a failed delivery. After `MAX_DELIVERIES` of them
the message goes to the subscription's dead-letter queue. The subscription `rollup` has sessions: one receiver at a time
owns a session and gets its messages in order.

Errors:

    BusError
    ├── LockLost          the lock of the message or session is lost; it is delivered again (caller's state)
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
"""Subscriptions that get a message which names none."""
SUBSCRIPTIONS = (*EVENT_SUBSCRIPTIONS, LEARNING)
SESSION_SUBSCRIPTIONS = frozenset({ROLLUP})
MAX_DELIVERIES = 2_000
"""More than three days of outage need, after which a message expires anyway: a consumer waits minutes inside each
delivery. It moves messages that always fail to the dead letters itself."""
LOCK_SECONDS = 60.0
DUPLICATE_WINDOW_SECONDS = 3_600.0
MESSAGE_TTL_SECONDS = 3 * 86_400
MAX_MESSAGE_BYTES = 1_000_000
MAX_ID_LENGTH = 128
"""Most characters of message and session ids, as in Service Bus."""
NO_SESSION = ""
"""Session id of a message to a subscription without sessions."""
MAX_REASON_LENGTH = 4_096


class BusError(Exception):
    """Base class of the bus port's errors."""


class LockLost(BusError):
    """The lock expired or was taken over; the message is delivered again."""


class BusRefused(BusError):
    """Final refusal of one message: a repeat is refused too. Other messages are not affected.

    `too_large`: whether the reason is its size.
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
    """A message to publish. Duplicate detection compares `message_id`.

    `session_id`: the session in the roll-up; `NO_SESSION` for a message to other subscriptions. `to`: the one
    subscription that gets it; None means each of `EVENT_SUBSCRIPTIONS`.
    """

    message_id: str
    session_id: str
    body: bytes
    to: str | None = None


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """A locked message. `enqueued_at`: seconds since the epoch; `handle`: for the backend only."""

    message_id: str
    session_id: str
    body: bytes
    sequence_number: int
    delivery_count: int
    enqueued_at: float
    handle: Any = None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message of the dead-letter queue, with the reason."""

    message: ReceivedMessage
    reason: str
    description: str


def check_subscription(subscription: str) -> None:
    """Raise `ValueError` for a subscription that the topic does not have."""
    if subscription not in SUBSCRIPTIONS:
        raise ValueError(f"no subscription {subscription!r}: there are {', '.join(SUBSCRIPTIONS)}")


def check_message(message: OutgoingMessage, subscription: str | None = None) -> None:
    """Raise `ValueError` for a message that Service Bus would refuse. `subscription`: its target if it names none."""
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
        """Return up to `max_messages`, each locked; an empty list when none came within `wait_seconds`."""
        ...

    async def complete(self, messages: Sequence[ReceivedMessage]) -> None:
        """Settle messages as done. Raises `LockLost` when any lock was lost; the others are settled."""
        ...

    async def abandon(self, message: ReceivedMessage) -> None:
        """Release a message for redelivery at once; this delivery counts."""
        ...

    async def dead_letter(self, message: ReceivedMessage, reason: str, description: str = "") -> None:
        """Move a message to the dead letters. Reason and description: up to `MAX_REASON_LENGTH` characters each."""
        ...

    async def renew(self, message: ReceivedMessage | None = None) -> None:
        """Renew the lock of the message, or of the session."""
        ...

    async def close(self) -> None:
        """Release the receiver; locked messages are delivered again."""
        ...


class Bus(Protocol):
    """The port."""

    async def publish(self, message: OutgoingMessage) -> None:
        """Return once the bus has stored the message. A repeat of its `message_id` within an hour is dropped.

        Raises `BusUnavailable` when that was not confirmed in time, `BusRefused` when the bus never accepts it.
        """
        ...

    async def receiver(self, subscription: str, *, dead_letters: bool = False) -> Receiver:
        """Return a receiver for a subscription without sessions, or for any subscription's dead-letter queue."""
        ...

    async def next_session(self, subscription: str, wait_seconds: float) -> Receiver | None:
        """Return a receiver that owns the next session with messages and no owner; None after `wait_seconds`."""
        ...

    async def peek_dead_letters(self, subscription: str, limit: int, after: int = 0) -> list[DeadLetter]:
        """Return dead letters in the order of their sequence numbers, without locking them."""
        ...

    async def dead_letter(
        self, subscription: str, message: OutgoingMessage, reason: str, description: str = ""
    ) -> None:
        """Put a message into the dead letters of one subscription.

        For consumers that get messages from a trigger: these cannot dead-letter the delivered message itself.
        """
        ...

    async def resend(self, subscription: str, message: OutgoingMessage) -> None:
        """Deliver a message to one subscription only; used by replay."""
        ...

    async def depth(self, subscription: str) -> tuple[int, int]:
        """Return the approximate numbers of messages in the subscription and in its dead-letter queue."""
        ...

    async def oldest(self, subscription: str) -> float | None:
        """Return when the oldest unsettled message was enqueued, in seconds since the epoch; None without messages."""
        ...

    async def ready(self) -> None:
        """Raise `BusUnavailable` when messages cannot be published. Opens connections ahead of use."""
        ...

    async def close(self) -> None:
        """Close connections. Safe to call twice."""
        ...
