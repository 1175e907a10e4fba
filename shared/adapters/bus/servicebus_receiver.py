"""Receives from Azure Service Bus: a subscription, one of its sessions, or its dead letters.

What this module does because of how the SDK behaves, each proven by a test in `tests/emulators/`:

- The SDK counts deliveries from zero, the port from one.
- Settling many messages at once is slower than one after another.
- After a failure the SDK opens the link of a session again, and may get the session back although somebody else had
  it in between. A session that failed once is lost here, for good.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from azure.servicebus import ServiceBusReceivedMessage
from azure.servicebus.aio import ServiceBusReceiver

from shared.adapters.bus.coalescing import RETRY_AFTER_SECONDS
from shared.adapters.bus.port import (
    MAX_REASON_LENGTH,
    BusUnavailable,
    DeadLetter,
    LockLost,
    ReceivedMessage,
)
from shared.adapters.bus.servicebus_errors import LinkGone, NothingCame, answered
from shared.adapters.bus.servicebus_layout import ORIGINAL_ID

T = TypeVar("T")


class ServiceBusBusReceiver:
    """`Receiver` of a subscription, of one of its sessions, or of its dead letters."""

    def __init__(
        self,
        receiver: ServiceBusReceiver,
        let_go: Callable[[ServiceBusBusReceiver, Awaitable[None]], Awaitable[None]],
        call_seconds: float,
    ) -> None:
        self._receiver = receiver
        self._let_go = let_go
        self._patience = call_seconds
        self._held: dict[int, ServiceBusReceivedMessage] = {}
        self._session_lost = False
        self.session_id: str | None = receiver.session.session_id if receiver.session else None

    async def receive(self, max_messages: int, wait_seconds: float) -> list[ReceivedMessage]:
        """See the port. A wait of zero still takes the SDK a moment."""
        wait = max(wait_seconds, 0.01)
        found = await self._do(
            lambda: self._receiver.receive_messages(max_messages, max_wait_time=wait), self._patience + wait
        )
        self._held.update((int(message.sequence_number or 0), message) for message in found)
        return [_received(message) for message in found]

    async def complete(self, messages: Sequence[ReceivedMessage]) -> None:
        lost = 0
        for message in messages:
            try:
                await self._settle(message, self._receiver.complete_message)
            except LockLost:
                lost += 1
        if lost:
            raise LockLost(f"{lost} of {len(messages)} messages were no longer held: they come again")

    async def abandon(self, message: ReceivedMessage) -> None:
        await self._settle(message, self._receiver.abandon_message)

    async def dead_letter(self, message: ReceivedMessage, reason: str, description: str = "") -> None:
        settle = partial(
            self._receiver.dead_letter_message,
            reason=reason[:MAX_REASON_LENGTH],
            error_description=description[:MAX_REASON_LENGTH],
        )
        await self._settle(message, settle)

    async def renew(self, message: ReceivedMessage | None = None) -> None:
        """See the port. In a session there is one lock, the session's."""
        session = self._receiver.session
        if session is not None:
            await self._do(lambda: session.renew_lock())
        elif message is None:
            raise ValueError("without a session only the lock of a message can be renewed: name one")
        else:
            await self._do(lambda: self._receiver.renew_message_lock(message.handle))

    async def peek(self, limit: int, from_sequence_number: int) -> list[DeadLetter]:
        """Messages with their dead-letter reasons, none of them locked."""
        found = await self._do(
            lambda: self._receiver.peek_messages(max_message_count=limit, sequence_number=from_sequence_number)
        )
        return [
            DeadLetter(_received(m), m.dead_letter_reason or "", m.dead_letter_error_description or "") for m in found
        ]

    async def close(self) -> None:
        """See the port. A session is free at once; outside of sessions what is held is given back, as a failure."""
        held, self._held = self._held, {}
        if self._receiver.session is None:
            for message in held.values():
                with contextlib.suppress(LockLost, BusUnavailable, NothingCame):
                    await answered(self._receiver.abandon_message(message), self._patience)
        await self._let_go(self, self._receiver.close())

    async def _settle(self, message: ReceivedMessage, settle: Callable[[Any], Awaitable[None]]) -> None:
        self._held.pop(message.sequence_number, None)
        await self._do(lambda: settle(message.handle))

    async def _do(self, call: Callable[[], Awaitable[T]], seconds: float | None = None) -> T:
        if self._session_lost:
            raise LockLost("the session is lost")
        try:
            return await answered(call(), seconds or self._patience)
        except NothingCame:
            self._session_lost = self.session_id is not None
            raise BusUnavailable("Service Bus did not answer in time", RETRY_AFTER_SECONDS) from None
        except (BusUnavailable, LinkGone):
            self._session_lost = self.session_id is not None
            raise


def _received(message: ServiceBusReceivedMessage) -> ReceivedMessage:
    properties = message.application_properties or {}
    original = properties.get(ORIGINAL_ID.encode())
    enqueued = message.enqueued_time_utc
    return ReceivedMessage(
        message_id=original.decode() if isinstance(original, bytes) else str(original or message.message_id),
        session_id=message.session_id or "",
        body=b"".join(message.body),
        sequence_number=int(message.sequence_number or 0),
        delivery_count=int(message.delivery_count or 0) + 1,
        enqueued_at=enqueued.timestamp() if enqueued else 0.0,
        handle=message,
    )
