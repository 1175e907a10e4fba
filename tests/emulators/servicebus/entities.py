"""Queues, topics and subscriptions as plain state: no sockets, time from the clock, owners are opaque.

A message waits, is locked by a receiver, and is settled; an expired lock counts as an abandoned delivery. With
sessions, the lock is the session's, and one owner at a time gets its messages in order.
"""

from __future__ import annotations

import heapq
import re
import uuid
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.emulators.servicebus import wire

COMPLETED, ABANDONED, DEAD_LETTERED, RELEASED = "completed", "abandoned", "dead-lettered", "released"
DEAD_LETTER_QUEUE = "/$deadletterqueue"


@dataclass(frozen=True, slots=True)
class EntityOptions:
    """Settings of a queue or subscription; durations in seconds. `rule` is a subscription's SQL filter."""

    lock_seconds: float = 60.0
    max_deliveries: int = 10
    sessions: bool = False
    duplicate_window_seconds: float = 0.0
    ttl_seconds: float | None = None
    forward_dead_letters_to: str | None = None
    rule: str = ""


@dataclass(slots=True)
class Stored:
    """One message: its bare bytes and the broker's metadata."""

    raw: bytes
    message_id: Any
    session_id: str | None
    sequence_number: int
    enqueued_at: float
    expires_at: float
    delivery_count: int = 0
    lock: uuid.UUID | None = None
    locked_until: float = 0.0
    owner: Any = None


@dataclass(slots=True)
class Session:
    owner: Any = None
    locked_until: float = 0.0


class LockGone(Exception):
    """The lock expired, or the message was settled before."""


class Queue:
    """A queue, a subscription, or a dead-letter queue."""

    def __init__(self, namespace: Namespace, path: str, options: EntityOptions) -> None:
        self.namespace, self.path, self.options = namespace, path, options
        self._waiting: defaultdict[str | None, list[int]] = defaultdict(list)  # by session: numbers, a heap
        self._expiring: list[tuple[float, int]] = []  # a heap
        self.messages: dict[int, Stored] = {}
        self.locked: dict[uuid.UUID, Stored] = {}
        self.sessions: dict[str, Session] = {}
        self._last_sequence_number = 0

    def put(self, raw: bytes, message_id: Any, session_id: str | None) -> None:
        now = self.namespace.now()
        ttl = self.options.ttl_seconds
        self._last_sequence_number += 1
        stored = Stored(
            raw, message_id, session_id, self._last_sequence_number, now, now + ttl if ttl else float("inf")
        )
        self.messages[stored.sequence_number] = stored
        if ttl:
            heapq.heappush(self._expiring, (stored.expires_at, stored.sequence_number))
        self._wait(stored)
        self.namespace.changed(self)

    def _wait(self, stored: Stored) -> None:
        session_id = stored.session_id if self.options.sessions else None
        heapq.heappush(self._waiting[session_id], stored.sequence_number)

    def take(self, owner: Any, session_id: str | None = None) -> Stored | None:
        """Lock the oldest waiting message, of one session where the queue has them."""
        waiting = self._waiting[session_id if self.options.sessions else None]
        found = None
        while waiting and found is None:
            stored = self.messages.get(heapq.heappop(waiting))
            if stored is not None and stored.lock is None and not self._expire(stored):
                found = stored
        if found is not None:
            found.lock, found.owner = uuid.uuid4(), owner
            found.locked_until = (
                self.sessions[session_id].locked_until
                if self.options.sessions and session_id is not None
                else self.namespace.now() + self.options.lock_seconds
            )
            self.locked[found.lock] = found
        return found

    def settle(self, lock: uuid.UUID, how: str, reason: str = "", description: str = "") -> None:
        """Settle a locked message. Raises `LockGone`."""
        stored = self.locked.get(lock)
        if stored is None or stored.locked_until <= self.namespace.now():
            raise LockGone
        self._settle(stored, how, reason, description)

    def _settle(self, stored: Stored, how: str, reason: str = "", description: str = "") -> None:
        if stored.lock is not None:
            del self.locked[stored.lock]
        stored.lock = stored.owner = None
        if how == ABANDONED:
            stored.delivery_count += 1
            if stored.delivery_count >= self.options.max_deliveries and not self.path.endswith(DEAD_LETTER_QUEUE):
                how, reason = DEAD_LETTERED, "MaxDeliveryCountExceeded"
                description = f"Message could not be consumed after {stored.delivery_count} delivery attempts."
        if how in (COMPLETED, DEAD_LETTERED):
            del self.messages[stored.sequence_number]
        else:
            self._wait(stored)
        if how == DEAD_LETTERED:
            self._dead_letter(stored, reason, description)
        self.namespace.changed(self)

    def _dead_letter(self, stored: Stored, reason: str, description: str) -> None:
        added = {"DeadLetterReason": reason, "DeadLetterErrorDescription": description}
        raw = wire.with_properties(stored.raw, {k: v for k, v in added.items() if v})
        target = self.options.forward_dead_letters_to or self.path + DEAD_LETTER_QUEUE
        self.namespace.queues[target.lower()].put(raw, stored.message_id, stored.session_id)

    def _expire(self, stored: Stored) -> bool:
        if stored.expires_at > self.namespace.now():
            return False
        del self.messages[stored.sequence_number]
        self._dead_letter(stored, "TTLExpiredException", "The message expired and was dead lettered.")
        return True

    def renew(self, lock: uuid.UUID) -> float:
        """Renew a lock; return when it expires. Raises `LockGone`."""
        stored = self.locked.get(lock)
        if stored is None or stored.locked_until <= self.namespace.now():
            raise LockGone
        stored.locked_until = self.namespace.now() + self.options.lock_seconds
        return stored.locked_until

    def peek(self, from_sequence_number: int, limit: int) -> list[Stored]:
        """Return messages, locked or not, without locking any."""
        now = self.namespace.now()
        alive = [m for n, m in self.messages.items() if n >= from_sequence_number and m.expires_at > now]
        return sorted(alive, key=lambda m: m.sequence_number)[:limit]

    # Sessions

    def own_session(self, owner: Any, session_id: str | None) -> str | None:
        """Own the named session, or any with messages and no owner; None when there is none."""
        now = self.namespace.now()
        candidates = [session_id] if session_id else self._sessions_waiting()
        for candidate in candidates:
            session = self.sessions.setdefault(candidate, Session())
            if session.owner is None or session.locked_until <= now:
                session.owner, session.locked_until = owner, now + self.options.lock_seconds
                return candidate
        return None

    def _sessions_waiting(self) -> list[str]:
        """Return sessions with deliverable messages, the one with the oldest message first."""
        oldest: list[tuple[int, str]] = []
        for session_id, numbers in self._waiting.items():
            while numbers and self._is_stale(numbers[0]):
                heapq.heappop(numbers)
            if numbers and session_id is not None:
                oldest.append((numbers[0], session_id))
        return [session_id for _, session_id in sorted(oldest)]

    def _is_stale(self, number: int) -> bool:
        stored = self.messages.get(number)
        return stored is None or stored.lock is not None

    def renew_session(self, session_id: str) -> float:
        session = self.sessions.get(session_id)
        if session is None or session.owner is None or session.locked_until <= self.namespace.now():
            raise LockGone
        session.locked_until = self.namespace.now() + self.options.lock_seconds
        for stored in self.locked.values():
            if stored.session_id == session_id:
                stored.locked_until = session.locked_until
        return session.locked_until

    def release_owner(self, owner: Any) -> None:
        """Release a departed receiver: its sessions are free and their messages wait again; other locks stay."""
        for session_id, session in self.sessions.items():
            if session.owner is owner:
                session.owner = None
                for stored in [m for m in self.locked.values() if m.session_id == session_id]:
                    self._settle(stored, RELEASED)
        self.namespace.changed(self)

    def tick(self) -> list[Any]:
        """Expire locks; return the owners of lost sessions."""
        now = self.namespace.now()
        lost = []
        for session in self.sessions.values():
            if session.owner is not None and session.locked_until <= now:
                lost.append(session.owner)
                session.owner = None
        for stored in [m for m in self.locked.values() if m.locked_until <= now]:
            self._settle(stored, ABANDONED)
        while self._expiring and self._expiring[0][0] <= now:
            stored = self.messages.get(heapq.heappop(self._expiring)[1])
            if stored is not None and stored.lock is None:
                self._expire(stored)
        return lost


@dataclass
class Topic:
    """Duplicate detection, then a copy for each subscription whose rule matches the message."""

    duplicate_window_seconds: float = 0.0
    subscriptions: list[Queue] = field(default_factory=list)
    seen: OrderedDict[Any, float] = field(default_factory=OrderedDict)


class Namespace:
    """Every entity by its lower-case path. `changed` is called with each queue that may have deliverable messages."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.queues: dict[str, Queue] = {}
        self.topics: dict[str, Topic] = {}
        self.changed: Callable[[Queue], None] = lambda queue: None

    def add_queue(self, path: str, options: EntityOptions | None = None) -> Queue:
        """A queue or subscription, and its dead-letter queue."""
        queue = Queue(self, path, options or EntityOptions())
        self.queues[path.lower()] = queue
        dead = path + DEAD_LETTER_QUEUE
        self.queues[dead.lower()] = Queue(self, dead, EntityOptions(lock_seconds=queue.options.lock_seconds))
        return queue

    def add_topic(
        self, path: str, subscriptions: dict[str, EntityOptions], duplicate_window_seconds: float = 0.0
    ) -> Topic:
        topic = Topic(duplicate_window_seconds)
        for name, options in subscriptions.items():
            topic.subscriptions.append(self.add_queue(f"{path}/Subscriptions/{name}", options))
        self.topics[path.lower()] = topic
        return topic

    def publish(self, path: str, raw: bytes) -> None:
        """Put one encoded message into a queue, or into every matching subscription of a topic."""
        message = wire.decode(raw)
        bare = wire.bare(raw)
        topic = self.topics.get(path)
        if topic is None:
            self.queues[path].put(bare, message.id, message.group_id)
            return
        if self._is_duplicate(topic, message.id):
            return
        for queue in topic.subscriptions:
            if rule_lets_in(queue.options.rule, message.properties or {}):
                queue.put(bare, message.id, message.group_id)

    def _is_duplicate(self, topic: Topic, message_id: Any) -> bool:
        if not topic.duplicate_window_seconds or message_id is None:
            return False
        now = self.now()
        while topic.seen and next(iter(topic.seen.values())) <= now - topic.duplicate_window_seconds:
            topic.seen.popitem(last=False)
        if message_id in topic.seen:
            return True
        topic.seen[message_id] = now
        return False


_ONLY_FOR = re.compile(r"(?:NOT EXISTS\((\w+)\) OR )?(\w+) = '([^']*)'")


def rule_lets_in(rule: str, properties: dict[str, Any]) -> bool:
    """Evaluate the SQL filters the project uses: `NOT EXISTS(p) OR p = 'value'`, and its second half alone."""
    if not rule:
        return True
    match = _ONLY_FOR.fullmatch(rule)
    if not match or match[1] not in (None, match[2]):
        raise ValueError(f"the test broker does not understand the rule {rule!r}")
    if match[2] not in properties:
        return match[1] is not None
    return bool(properties[match[2]] == match[3])
