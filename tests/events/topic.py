"""A topic in memory for event consumers: published messages, sessions that can be lost, and services on it."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import bootstrap
from bootstrap import App
from shared.adapters.bus.port import (
    EVENT_SUBSCRIPTIONS,
    ROLLUP,
    BusUnavailable,
    LockLost,
    OutgoingMessage,
    ReceivedMessage,
)
from shared.adapters.documents.port import DocumentStore
from shared.settings import Settings


@dataclass
class MemoryTopic:
    """The part of the bus port that consumers use. Nothing waits: a missing message is reported at once."""

    publish_fails: int = 0
    """Number of the next publishes that fail after they were accepted."""
    lose_session_before: str = ""
    """When set to "complete", the next session to be settled is taken away just before."""
    published: list[OutgoingMessage] = field(default_factory=list)
    dead_letters: list[tuple[str, str]] = field(default_factory=list)
    letters: list[OutgoingMessage] = field(default_factory=list)
    """The messages of `dead_letters`."""
    dead: list[tuple[int, str]] = field(default_factory=list)
    waiting: dict[str, dict[int, ReceivedMessage]] = field(default_factory=dict)
    """Messages of the roll-up per session, by sequence number."""
    owners: dict[str, MemorySession] = field(default_factory=dict)
    _ids: set[tuple[str, str]] = field(default_factory=set)
    _sequence: int = 0

    async def publish(self, message: OutgoingMessage) -> None:
        for subscription in EVENT_SUBSCRIPTIONS if message.to is None else (message.to,):
            if (subscription, message.message_id) in self._ids:
                continue
            self._ids.add((subscription, message.message_id))
            if subscription == ROLLUP:
                self.put(message)
            self.published.append(message)
        if self.publish_fails > 0:
            self.publish_fails -= 1
            raise BusUnavailable("cut off after it was taken, as the test asked")

    def forget(self) -> None:
        """End the window of duplicate detection."""
        self._ids.clear()

    def put(self, message: OutgoingMessage) -> None:
        """Put a message into the roll-up's subscription, duplicate or not."""
        self._sequence += 1
        received = ReceivedMessage(message.message_id, message.session_id, message.body, self._sequence, 1, 0.0)
        self.waiting.setdefault(message.session_id, {})[self._sequence] = received

    async def dead_letter(
        self, subscription: str, message: OutgoingMessage, reason: str, description: str = ""
    ) -> None:
        self.dead_letters.append((message.message_id, reason))
        self.letters.append(message)

    async def next_session(self, subscription: str, wait_seconds: float) -> MemorySession | None:
        for session_id, messages in self.waiting.items():
            if messages and session_id not in self.owners:
                self.owners[session_id] = MemorySession(self, session_id)
                return self.owners[session_id]
        return None

    def take_away(self, session_id: str) -> None:
        """Expire the session's lock."""
        self.owners.pop(session_id, None)

    async def ready(self) -> None:
        pass

    async def close(self) -> None:
        pass


@dataclass(eq=False)
class MemorySession:
    """One session, owned until it is closed or taken away."""

    topic: MemoryTopic
    session_id: str
    received: set[int] = field(default_factory=set)

    @property
    def _messages(self) -> dict[int, ReceivedMessage]:
        if self.topic.owners.get(self.session_id) is not self:
            raise LockLost("the session belongs to another owner")
        return self.topic.waiting[self.session_id]

    async def receive(self, max_messages: int, wait_seconds: float) -> list[ReceivedMessage]:
        found = [message for number, message in sorted(self._messages.items()) if number not in self.received]
        found = found[:max_messages]
        self.received |= {message.sequence_number for message in found}
        return found

    async def complete(self, messages: Sequence[ReceivedMessage]) -> None:
        if self.topic.lose_session_before == "complete":
            self.topic.lose_session_before = ""
            self.topic.take_away(self.session_id)
        for message in messages:
            del self._messages[message.sequence_number]

    async def abandon(self, message: ReceivedMessage) -> None:
        self.received.discard(message.sequence_number)

    async def dead_letter(self, message: ReceivedMessage, reason: str, description: str = "") -> None:
        del self._messages[message.sequence_number]
        self.topic.dead.append((message.sequence_number, reason))

    async def renew(self, message: ReceivedMessage | None = None) -> None:
        assert self._messages is not None

    async def close(self) -> None:
        if self.topic.owners.get(self.session_id) is self:
            self.topic.take_away(self.session_id)


def services_on(documents: DocumentStore, topic: MemoryTopic, clock: Callable[[], float], folder: Path) -> App:
    """App services over a store and a topic in memory; `folder` holds blobs only."""
    secret = base64.b64encode(b"for tests only, 32 bytes or more").decode()
    settings = Settings(
        data_folder=str(folder), signing_keys=f"test:{secret}", identity_secret=secret, rollup_seconds=5.0
    )
    return bootstrap.build(settings, clock=clock, elapsed=clock, documents=documents, bus=topic)  # type: ignore[arg-type]
