"""In-memory bus with peek-lock and injectable faults: the part of the port that the message pump uses."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from local.clock import Clock, SystemClock
from shared.adapters.bus.port import BusUnavailable, LockLost, ReceivedMessage

FEW_DELIVERIES = 10
"""Deliveries after which the message is given up."""


@dataclass
class _Stored:
    message: ReceivedMessage
    locked_until: float | None = None


class FakeBus:
    """One subscription. `events` records the calls of receivers.

    `failing` makes every receive fail; `refuse_completes` that many completes. With `answer_after_cancel` a receive
    returns what it has locked only once it is cancelled, as one that works in a thread may.
    """

    def __init__(self, lock_seconds: float = 60.0, clock: Clock | None = None) -> None:
        self.lock_seconds = lock_seconds
        self.clock = clock or SystemClock()
        self.failing: Exception | None = None
        self.refuse_completes = 0
        self.answer_after_cancel = False
        self.events: list[tuple[str, int]] = []
        self.opened = self.closed = 0
        self.dead: list[ReceivedMessage] = []
        self._stored: dict[int, _Stored] = {}
        self._changed = asyncio.Condition()

    async def put(self, *bodies: bytes) -> None:
        async with self._changed:
            for body in bodies:
                number = (
                    len(self._stored) + len(self.dead) + sum(1 for name, _ in self.events if name == "complete") + 1
                )
                message = ReceivedMessage(f"m{number}", "tenant_1", body, number, 0, self.clock.now(), handle=number)
                self._stored[number] = _Stored(message)
            self._changed.notify_all()

    async def wake(self) -> None:
        """Make receivers look again, after time has passed or a fault was set."""
        async with self._changed:
            self._changed.notify_all()

    def done(self, name: str) -> list[int]:
        return [number for event, number in self.events if event == name]

    async def receiver(self, subscription: str, *, dead_letters: bool = False) -> FakeReceiver:
        self.opened += 1
        return FakeReceiver(self)

    async def depth(self, subscription: str) -> tuple[int, int]:
        return len(self._stored), len(self.dead)

    async def close(self) -> None:
        pass

    # ---- what receivers do

    def free(self) -> list[_Stored]:
        now = self.clock.now()
        return [s for s in self._stored.values() if s.locked_until is None or s.locked_until <= now]

    def claim(self, limit: int) -> list[ReceivedMessage]:
        claimed = []
        for stored in self.free()[:limit]:
            stored.message = replace(stored.message, delivery_count=stored.message.delivery_count + 1)
            stored.locked_until = self.clock.now() + self.lock_seconds
            claimed.append(stored.message)
        return claimed

    def held(self, message: ReceivedMessage) -> _Stored:
        stored = self._stored.get(message.sequence_number)
        current = stored is not None and stored.message.delivery_count == message.delivery_count
        if stored is None or not current or stored.locked_until is None or stored.locked_until <= self.clock.now():
            raise LockLost(message.message_id)
        return stored

    async def settle(self, event: str, message: ReceivedMessage) -> None:
        self.events.append((event, message.sequence_number))
        async with self._changed:
            stored = self.held(message)
            if event == "complete":
                del self._stored[message.sequence_number]
            elif stored.message.delivery_count >= FEW_DELIVERIES:
                self.dead.append(stored.message)
                del self._stored[message.sequence_number]
            else:
                stored.locked_until = None
            self._changed.notify_all()


class FakeReceiver:
    session_id: str | None = None

    def __init__(self, bus: FakeBus) -> None:
        self.bus = bus
        self.is_open = True

    async def receive(self, max_messages: int, wait_seconds: float) -> list[ReceivedMessage]:
        async with self.bus._changed:
            await self.bus._changed.wait_for(lambda: self.bus.failing or self.bus.free())
            if self.bus.failing:
                raise self.bus.failing
            self.bus.events.append(("receive", max_messages))
            claimed = self.bus.claim(max_messages)
        if self.bus.answer_after_cancel:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        return claimed

    async def complete(self, messages: Sequence[ReceivedMessage]) -> None:
        assert self.is_open
        if self.bus.refuse_completes:
            self.bus.refuse_completes -= 1
            raise BusUnavailable("not now")
        for message in messages:
            await self.bus.settle("complete", message)

    async def abandon(self, message: ReceivedMessage) -> None:
        assert self.is_open
        await self.bus.settle("abandon", message)

    async def renew(self, message: ReceivedMessage | None = None) -> None:
        assert message is not None
        self.bus.events.append(("renew", message.sequence_number))
        self.bus.held(message).locked_until = self.bus.clock.now() + self.bus.lock_seconds

    async def close(self) -> None:
        self.is_open = False
        self.bus.closed += 1
