"""Tables of the embedded queue and their state changes: plain functions over a connection inside a transaction.

A message is stored once, with one delivery for each queue that has it. A queue is a subscription or its dead letters.
Publishing adds a delivery for each subscription, completing removes one, and the message goes with its last delivery.

Without sessions, the token of a receive locks a delivery until `locked_until`. With sessions, the owner's token locks
the session, and deliveries that the owner has taken have that token; they are free as soon as the session has another
owner. No timer ends a lock, a duplicate window or a message: the next call checks the time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from shared.adapters.bus.port import (
    DUPLICATE_WINDOW_SECONDS,
    EVENT_SUBSCRIPTIONS,
    MESSAGE_TTL_SECONDS,
    NO_SESSION,
    SESSION_SUBSCRIPTIONS,
    SUBSCRIPTIONS,
    DeadLetter,
    LockLost,
    OutgoingMessage,
    ReceivedMessage,
)

SCHEMA = """
CREATE TABLE IF NOT EXISTS messages (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    message_id TEXT NOT NULL, session_id TEXT NOT NULL, enqueued_at REAL NOT NULL, body BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS deliveries (
    queue TEXT NOT NULL, session TEXT NOT NULL, sequence INTEGER NOT NULL,
    expires_at REAL, delivery_count INTEGER NOT NULL DEFAULT 0,
    lock TEXT NOT NULL DEFAULT '', locked_until REAL NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT '', description TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (queue, session, sequence)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS deliveries_of_a_message ON deliveries (sequence);
CREATE TABLE IF NOT EXISTS sessions (
    queue TEXT NOT NULL, session TEXT NOT NULL,
    owner TEXT NOT NULL DEFAULT '', locked_until REAL NOT NULL DEFAULT 0,
    PRIMARY KEY (queue, session)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS accepted (message_id TEXT PRIMARY KEY, at REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS accepted_by_time ON accepted (at);
"""

EXPIRED = "TTLExpiredException"
TOO_MANY_DELIVERIES = "MaxDeliveryCountExceeded"
"""Dead-letter reasons that Service Bus itself gives."""

_FORGOTTEN_PER_PUBLISH = 2
"""Expired message ids that each publish deletes: more than it adds, so none pile up."""
_FOREVER = 1e18


@dataclass(frozen=True, slots=True)
class Handle:
    """A receiver's delivery and the token that locks it."""

    session: str
    sequence: int
    token: str


def dead_letters_of(subscription: str) -> str:
    """Return the name of a subscription's dead-letter queue."""
    return f"{subscription}/dead-letters"


def publish(message: OutgoingMessage, now: float, file: sqlite3.Connection) -> bool:
    """Put the message into its subscription, or every one; False when it is a duplicate and was dropped."""
    file.execute(
        "DELETE FROM accepted WHERE message_id IN (SELECT message_id FROM accepted WHERE at <= ? ORDER BY at LIMIT ?)",
        (now - DUPLICATE_WINDOW_SECONDS, _FORGOTTEN_PER_PUBLISH),
    )
    is_new = file.execute(
        "INSERT INTO accepted (message_id, at) VALUES (:id, :now)"
        " ON CONFLICT (message_id) DO UPDATE SET at = :now WHERE at <= :now - :window",
        {"id": message.message_id, "now": now, "window": DUPLICATE_WINDOW_SECONDS},
    ).rowcount
    if not is_new:
        return False
    sequence = _store(message, now, file)
    for subscription in (message.to,) if message.to else EVENT_SUBSCRIPTIONS:
        _deliver(subscription, message.session_id, sequence, now, file)
    return True


def resend(subscription: str, message: OutgoingMessage, now: float, file: sqlite3.Connection) -> None:
    """Put the message into one subscription, duplicate or not."""
    _deliver(subscription, message.session_id, _store(message, now, file), now, file)


def add_dead_letter(
    subscription: str, message: OutgoingMessage, reason: str, description: str, now: float, file: sqlite3.Connection
) -> None:
    """Put the message into the dead letters of one subscription."""
    file.execute(
        "INSERT INTO deliveries (queue, session, sequence, reason, description) VALUES (?, ?, ?, ?, ?)",
        (dead_letters_of(subscription), NO_SESSION, _store(message, now, file), reason, description),
    )


def _store(message: OutgoingMessage, now: float, file: sqlite3.Connection) -> int:
    sequence = file.execute(
        "INSERT INTO messages (message_id, session_id, enqueued_at, body) VALUES (?, ?, ?, ?)",
        (message.message_id, message.session_id, now, message.body),
    ).lastrowid
    assert sequence is not None
    return sequence


def _deliver(subscription: str, session_id: str, sequence: int, now: float, file: sqlite3.Connection) -> None:
    session = NO_SESSION
    if subscription in SESSION_SUBSCRIPTIONS:
        session = session_id
        file.execute("INSERT OR IGNORE INTO sessions (queue, session) VALUES (?, ?)", (subscription, session))
    file.execute(
        "INSERT INTO deliveries (queue, session, sequence, expires_at) VALUES (?, ?, ?, ?)",
        (subscription, session, sequence, now + MESSAGE_TTL_SECONDS),
    )


_TAKE = """
SELECT d.sequence, d.delivery_count, d.expires_at, m.message_id, m.session_id, m.enqueued_at, m.body
FROM deliveries d JOIN messages m ON m.sequence = d.sequence
WHERE d.queue = :queue AND d.session = :session AND {free} ORDER BY d.sequence LIMIT :limit
"""
_TAKE_UNLOCKED = _TAKE.format(free="(d.locked_until <= :now OR d.locked_until > :until)")
_TAKE_OF_SESSION = _TAKE.format(free="d.lock <> :token")

_HELD = "queue = :queue AND session = :session AND sequence = :sequence AND lock = :token AND locked_until > :now"


def take(
    queue: str,
    session: str,
    token: str,
    limit: int,
    max_deliveries: int,
    now: float,
    locked_until: float,
    file: sqlite3.Connection,
) -> list[ReceivedMessage]:
    """Lock up to `limit` messages for `token`, oldest first. Raises `LockLost` when its session has another owner.

    Messages that have expired or were delivered too often go to the dead letters instead.
    """
    in_session = queue in SESSION_SUBSCRIPTIONS
    if in_session and not _owns_session(queue, session, token, now, file):
        raise LockLost(f"the session {session} is no longer held")
    wanted = {"queue": queue, "session": session, "token": token, "now": now, "until": locked_until}
    statement = _TAKE_OF_SESSION if in_session else _TAKE_UNLOCKED
    taken: list[ReceivedMessage] = []
    while len(taken) < limit:
        rows = file.execute(statement, {**wanted, "limit": limit - len(taken)}).fetchall()
        if not rows:
            break
        for sequence, deliveries, expires_at, message_id, session_id, enqueued_at, body in rows:
            handle = Handle(session, sequence, token)
            can_die = expires_at is not None  # a dead letter stays one, whatever its age and deliveries
            if can_die and expires_at <= now:
                _bury(queue, handle, EXPIRED, "nobody took it in time", file)
            elif can_die and deliveries >= max_deliveries:
                _bury_worn_out(queue, handle, max_deliveries, file)
            else:
                file.execute(
                    "UPDATE deliveries SET lock = ?, locked_until = ?, delivery_count = delivery_count + 1"
                    " WHERE queue = ? AND session = ? AND sequence = ?",
                    (token, _FOREVER if in_session else locked_until, queue, session, sequence),
                )
                taken.append(
                    ReceivedMessage(message_id, session_id, body, sequence, deliveries + 1, enqueued_at, handle)
                )
    return taken


def complete(queue: str, handles: Sequence[Handle], now: float, file: sqlite3.Connection) -> list[Handle]:
    """Remove the deliveries, and messages with none left. Returns those whose lock was lost."""
    lost: list[Handle] = []
    for handle in handles:
        if _change_held("DELETE FROM deliveries", queue, handle, now, file):
            file.execute(
                "DELETE FROM messages WHERE sequence = :sequence"
                " AND NOT EXISTS (SELECT 1 FROM deliveries WHERE sequence = :sequence)",
                {"sequence": handle.sequence},
            )
        else:
            lost.append(handle)
    return lost


def abandon(queue: str, handle: Handle, max_deliveries: int, now: float, file: sqlite3.Connection) -> bool:
    """Release the delivery, or dead-letter it after the last attempt. False when its lock was lost."""
    if not _change_held("UPDATE deliveries SET lock = '', locked_until = 0", queue, handle, now, file):
        return False
    (deliveries,) = file.execute(
        "SELECT delivery_count FROM deliveries WHERE queue = ? AND session = ? AND sequence = ?",
        (queue, handle.session, handle.sequence),
    ).fetchone()
    if deliveries >= max_deliveries and queue in SUBSCRIPTIONS:
        _bury_worn_out(queue, handle, max_deliveries, file)
    return True


def dead_letter(
    queue: str, handle: Handle, reason: str, description: str, now: float, file: sqlite3.Connection
) -> bool:
    """Move the delivery to the dead letters. False when its lock was lost."""
    if not _change_held("UPDATE deliveries SET locked_until = 0", queue, handle, now, file):
        return False
    _bury(queue, handle, reason, description, file)
    return True


def renew(queue: str, handle: Handle, now: float, locked_until: float, file: sqlite3.Connection) -> bool:
    """Extend the lock of a delivery outside of sessions. False when it was lost."""
    return _change_held("UPDATE deliveries SET locked_until = :until", queue, handle, now, file, until=locked_until)


def give_back(queue: str, handles: Sequence[Handle], now: float, file: sqlite3.Connection) -> None:
    """Release deliveries that were not processed; the attempt does not count. Lost locks are ignored."""
    for handle in handles:
        _change_held(
            "UPDATE deliveries SET lock = '', locked_until = 0, delivery_count = delivery_count - 1",
            queue,
            handle,
            now,
            file,
        )


def own_next_session(queue: str, token: str, now: float, locked_until: float, file: sqlite3.Connection) -> str | None:
    """Own the session that has messages, no owner, and the longest wait for one. Return its id, None without one."""
    row = file.execute(
        "SELECT session FROM sessions s WHERE queue = ? AND (locked_until <= ? OR locked_until > ?) AND EXISTS"
        " (SELECT 1 FROM deliveries d WHERE d.queue = s.queue AND d.session = s.session)"
        " ORDER BY locked_until LIMIT 1",
        (queue, now, locked_until),
    ).fetchone()
    if row is None:
        return None
    file.execute(
        "UPDATE sessions SET owner = ?, locked_until = ? WHERE queue = ? AND session = ?",
        (token, locked_until, queue, row[0]),
    )
    return str(row[0])


def renew_session(
    queue: str, session: str, token: str, now: float, locked_until: float, file: sqlite3.Connection
) -> bool:
    """Extend the lock of a session, or end it with a `locked_until` that is not in the future.

    False when it was lost.
    """
    changed = file.execute(
        "UPDATE sessions SET locked_until = ? WHERE queue = ? AND session = ? AND owner = ? AND locked_until > ?",
        (locked_until, queue, session, token, now),
    )
    return changed.rowcount == 1


def peek(queue: str, after: int, limit: int, file: sqlite3.Connection) -> list[DeadLetter]:
    """Return dead letters by sequence number."""
    rows = file.execute(
        "SELECT m.message_id, m.session_id, m.body, d.sequence, d.delivery_count, m.enqueued_at,"
        " d.reason, d.description FROM deliveries d JOIN messages m ON m.sequence = d.sequence"
        " WHERE d.queue = ? AND d.session = ? AND d.sequence > ? ORDER BY d.sequence LIMIT ?",
        (queue, NO_SESSION, after, limit),
    )
    return [DeadLetter(ReceivedMessage(*row[:6]), row[6], row[7]) for row in rows]


def length(queue: str, file: sqlite3.Connection) -> int:
    """Return the number of deliveries of a queue, locked or not."""
    (count,) = file.execute("SELECT count(*) FROM deliveries WHERE queue = ?", (queue,)).fetchone()
    return int(count)


def oldest(queue: str, file: sqlite3.Connection) -> float | None:
    """Return when the oldest message of a queue was enqueued."""
    (at,) = file.execute(
        "SELECT min(enqueued_at) FROM deliveries JOIN messages USING (sequence) WHERE queue = ?", (queue,)
    ).fetchone()
    return None if at is None else float(at)


def _owns_session(queue: str, session: str, token: str, now: float, file: sqlite3.Connection) -> bool:
    found = file.execute(
        "SELECT 1 FROM sessions WHERE queue = ? AND session = ? AND owner = ? AND locked_until > ?",
        (queue, session, token, now),
    ).fetchone()
    return found is not None


def _change_held(
    change: str, queue: str, handle: Handle, now: float, file: sqlite3.Connection, **values: float
) -> bool:
    """Apply `change` (a statement up to its WHERE) to a delivery whose lock still holds. Return whether it did."""
    if queue in SESSION_SUBSCRIPTIONS and not _owns_session(queue, handle.session, handle.token, now, file):
        return False
    held = {
        "queue": queue,
        "session": handle.session,
        "sequence": handle.sequence,
        "token": handle.token,
        "now": now,
        **values,
    }
    return file.execute(f"{change} WHERE {_HELD}", held).rowcount == 1


def _bury_worn_out(queue: str, handle: Handle, max_deliveries: int, file: sqlite3.Connection) -> None:
    _bury(queue, handle, TOO_MANY_DELIVERIES, f"given up after {max_deliveries} deliveries", file)


def _bury(queue: str, handle: Handle, reason: str, description: str, file: sqlite3.Connection) -> None:
    """Move a delivery to the dead letters of its queue; a dead letter stays where it is."""
    dead = dead_letters_of(queue) if queue in SUBSCRIPTIONS else queue
    file.execute(
        "UPDATE deliveries SET queue = ?, session = ?, lock = '', locked_until = 0, expires_at = NULL,"
        " reason = ?, description = ? WHERE queue = ? AND session = ? AND sequence = ?",
        (dead, NO_SESSION, reason, description, queue, handle.session, handle.sequence),
    )
