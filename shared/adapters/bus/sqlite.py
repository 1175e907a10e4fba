"""The embedded bus: the topic and its subscriptions in one SQLite file.

Publishing waits for the disk; concurrent publishers share one `fsync`. Receiving and settling do not wait. After a
power cut the latest of these are undone, and their messages are delivered again, as after a lost lock. The death of the
process loses nothing (see `shared/adapters/sqlite.py`).

Receivers of the same process wake at each publish. Those of other processes poll every `poll_seconds`, which is also
how an expired lock is noticed.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from shared.adapters.bus import sqlite_queue as queues
from shared.adapters.bus.port import (
    LOCK_SECONDS,
    MAX_DELIVERIES,
    MAX_REASON_LENGTH,
    NO_SESSION,
    SESSION_SUBSCRIPTIONS,
    BusUnavailable,
    DeadLetter,
    LockLost,
    OutgoingMessage,
    ReceivedMessage,
    check_message,
    check_subscription,
)
from shared.adapters.sqlite import SqliteThread

T = TypeVar("T")

POLL_SECONDS = 0.1


class SqliteBus:
    """`Bus` in the file `path`, created with its folder if missing. Locks and expiry use `clock`.

    After a crash, a locked message is delivered again when its lock expires, `lock_seconds` after it was taken.
    """

    def __init__(
        self,
        path: Path | str,
        clock: Callable[[], float] = time.time,
        *,
        lock_seconds: float = LOCK_SECONDS,
        poll_seconds: float = POLL_SECONDS,
        max_deliveries: int = MAX_DELIVERIES,
    ) -> None:
        self.clock = clock
        self.max_deliveries = max_deliveries
        self.lock_seconds = lock_seconds
        self._poll_seconds = poll_seconds
        path = Path(path)
        self.writer = SqliteThread(path, queues.SCHEMA, BusUnavailable, writes=True)
        self._reader = SqliteThread(path, queues.SCHEMA, BusUnavailable, writes=False)
        self._arrival = asyncio.Event()

    async def publish(self, message: OutgoingMessage) -> None:
        """See the port. Raises `ValueError` for a message that Service Bus would not take."""
        check_message(message)
        if await self.writer.call(partial(queues.publish, message, self.clock())):
            self.wake_receivers()

    async def receiver(self, subscription: str, *, dead_letters: bool = False) -> SqliteReceiver:
        """See the port."""
        check_subscription(subscription)
        if dead_letters:
            return SqliteReceiver(self, queues.dead_letters_of(subscription))
        if subscription in SESSION_SUBSCRIPTIONS:
            raise ValueError(f"the subscription {subscription} has sessions: ask for its next_session")
        return SqliteReceiver(self, subscription)

    async def next_session(self, subscription: str, wait_seconds: float) -> SqliteSessionReceiver | None:
        """See the port. The session that has waited longest for an owner comes first."""
        check_subscription(subscription)
        if subscription not in SESSION_SUBSCRIPTIONS:
            raise ValueError(f"the subscription {subscription} has no sessions: ask for a receiver")
        return await self.until_found(partial(self._own_next_session, subscription), wait_seconds)

    async def _own_next_session(self, subscription: str) -> SqliteSessionReceiver | None:
        token, now = _new_token(), self.clock()
        work = partial(queues.own_next_session, subscription, token, now, now + self.lock_seconds)
        owning = self.writer.call(work, durable=False)
        try:
            session = await asyncio.shield(owning)
        except asyncio.CancelledError:
            if (session := await _outcome(owning)) is not None:
                await _outcome(SqliteSessionReceiver(self, subscription, session, token).close())
            raise
        return None if session is None else SqliteSessionReceiver(self, subscription, session, token)

    async def peek_dead_letters(self, subscription: str, limit: int, after: int = 0) -> list[DeadLetter]:
        """See the port."""
        check_subscription(subscription)
        return await self._reader.call(partial(queues.peek, queues.dead_letters_of(subscription), after, limit))

    async def dead_letter(
        self, subscription: str, message: OutgoingMessage, reason: str, description: str = ""
    ) -> None:
        """See the port."""
        check_subscription(subscription)
        check_message(message, subscription)
        texts = reason[:MAX_REASON_LENGTH], description[:MAX_REASON_LENGTH]
        await self.writer.call(partial(queues.add_dead_letter, subscription, message, *texts, self.clock()))
        self.wake_receivers()

    async def resend(self, subscription: str, message: OutgoingMessage) -> None:
        """See the port."""
        check_subscription(subscription)
        check_message(message, subscription)
        await self.writer.call(partial(queues.resend, subscription, message, self.clock()))
        self.wake_receivers()

    async def depth(self, subscription: str) -> tuple[int, int]:
        """See the port."""
        check_subscription(subscription)
        waiting = self._reader.call(partial(queues.length, subscription))
        dead = self._reader.call(partial(queues.length, queues.dead_letters_of(subscription)))
        return await waiting, await dead

    async def oldest(self, subscription: str) -> float | None:
        """See the port."""
        check_subscription(subscription)
        return await self._reader.call(partial(queues.oldest, subscription))

    async def ready(self) -> None:
        """See the port. Opens the file, creates its tables and takes its write lock once."""
        await self.writer.call(lambda file: None)

    async def close(self) -> None:
        """See the port."""
        await self._reader.close()
        await self.writer.close()

    def wake_receivers(self) -> None:
        """Wake every waiting receiver."""
        self._arrival.set()
        self._arrival = asyncio.Event()

    async def until_found(self, look: Callable[[], Awaitable[T]], wait_seconds: float) -> T:
        """Call `look` now, at each publish and every `poll_seconds`. Return its first result, or the last empty one."""
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + wait_seconds
        while True:
            arrival = self._arrival  # read before looking, so that a publish in between is noticed
            found = await look()
            left = give_up_at - loop.time()
            if found or left <= 0:
                return found
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(arrival.wait(), min(left, self._poll_seconds))


class SqliteReceiver:
    """`Receiver` of a queue without sessions."""

    def __init__(self, bus: SqliteBus, queue: str, session_id: str | None = None) -> None:
        self.session_id = session_id
        self._bus = bus
        self._queue = queue
        self._held: dict[queues.Handle, None] = {}

    async def receive(self, max_messages: int, wait_seconds: float) -> list[ReceivedMessage]:
        """See the port. A cancelled receive locks nothing."""
        return await self._bus.until_found(partial(self._take, max_messages), wait_seconds)

    async def complete(self, messages: Sequence[ReceivedMessage]) -> None:
        """See the port."""
        lost = await self._settle(partial(queues.complete, self._queue, [self._drop(m) for m in messages]))
        if lost:
            raise LockLost(f"{len(lost)} of {len(messages)} messages were no longer held: they come again")

    async def abandon(self, message: ReceivedMessage) -> None:
        """See the port."""
        still_held = await self._settle(
            partial(queues.abandon, self._queue, self._drop(message), self._bus.max_deliveries)
        )
        self._bus.wake_receivers()
        _require(still_held)

    async def dead_letter(self, message: ReceivedMessage, reason: str, description: str = "") -> None:
        """See the port."""
        texts = reason[:MAX_REASON_LENGTH], description[:MAX_REASON_LENGTH]
        still_held = await self._settle(partial(queues.dead_letter, self._queue, self._drop(message), *texts))
        self._bus.wake_receivers()
        _require(still_held)

    async def renew(self, message: ReceivedMessage | None = None) -> None:
        """See the port."""
        if message is None:
            raise ValueError("without a session only the lock of a message can be renewed: name one")
        now = self._bus.clock()
        work = partial(queues.renew, self._queue, message.handle, now, now + self._bus.lock_seconds)
        _require(await self._bus.writer.call(work, durable=False))

    async def close(self) -> None:
        """See the port. Locked messages are delivered again at once; this delivery does not count."""
        handles = list(self._held)
        self._held.clear()
        if handles:
            await self._settle(partial(queues.give_back, self._queue, handles))
            self._bus.wake_receivers()

    def _token(self) -> str:
        return _new_token()

    async def _take(self, max_messages: int) -> list[ReceivedMessage]:
        now = self._bus.clock()
        work = partial(
            queues.take,
            self._queue,
            self.session_id or NO_SESSION,
            self._token(),
            max_messages,
            self._bus.max_deliveries,
            now,
            now + self._bus.lock_seconds,
        )
        taking = self._bus.writer.call(work, durable=False)
        try:
            messages = await asyncio.shield(taking)
        except asyncio.CancelledError:
            unseen = await _outcome(taking) or []
            await _outcome(self._settle(partial(queues.give_back, self._queue, [m.handle for m in unseen])))
            self._bus.wake_receivers()
            raise
        self._held.update((message.handle, None) for message in messages)
        return messages

    def _drop(self, message: ReceivedMessage) -> queues.Handle:
        handle: queues.Handle = message.handle
        self._held.pop(handle, None)
        return handle

    def _settle(self, work: Callable[..., T]) -> asyncio.Future[T]:
        return self._bus.writer.call(partial(work, self._bus.clock()), durable=False)


class SqliteSessionReceiver(SqliteReceiver):
    """`Receiver` of one session, which it owns until it is closed or its lock runs out."""

    def __init__(self, bus: SqliteBus, subscription: str, session_id: str, token: str) -> None:
        super().__init__(bus, subscription, session_id)
        self._session = session_id
        self._owner_token = token

    async def renew(self, message: ReceivedMessage | None = None) -> None:
        """See the port. A session has one lock for all its messages."""
        now = self._bus.clock()
        _require(await self._hold_session_until(now, now + self._bus.lock_seconds))

    async def close(self) -> None:
        """See the port. The session is free for another owner at once."""
        await super().close()
        now = self._bus.clock()
        await self._hold_session_until(now, now)
        self._bus.wake_receivers()

    def _token(self) -> str:
        return self._owner_token

    def _hold_session_until(self, now: float, locked_until: float) -> asyncio.Future[bool]:
        work = partial(queues.renew_session, self._queue, self._session, self._owner_token, now, locked_until)
        return self._bus.writer.call(work, durable=False)


def _new_token() -> str:
    return secrets.token_hex(8)


async def _outcome(work: Awaitable[T]) -> T | None:
    """Return the result of work whose caller has gone; None when the bus failed."""
    try:
        return await work
    except (BusUnavailable, LockLost):
        return None


def _require(still_held: bool) -> None:
    if not still_held:
        raise LockLost("the lock ran out or was taken over: it comes again")
