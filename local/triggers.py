"""Service Bus triggers: one pump per function moves messages from a subscription of the bus to the function.

One message a call, at most `maxConcurrentCalls` at once. Success completes the message, an exception abandons it at
once (its delivery count stays raised; the bus dead-letters it in the end), and while the function runs its lock is
renewed, for at most `maxAutoLockRenewalDuration`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import uuid
from dataclasses import dataclass, field

from local.clock import Clock
from local.host_json import HostSettings
from local.invocation import (
    HostedFunction,
    Invoker,
    UnsupportedFunction,
    service_bus_message,
)
from shared.adapters.bus.port import (
    SESSION_SUBSCRIPTIONS,
    SUBSCRIPTIONS,
    Bus,
    BusError,
    LockLost,
    ReceivedMessage,
    Receiver,
)
from shared.observability.tracebacks import traceback_without_values

log = logging.getLogger("local.host")

WAIT_SECONDS = 30.0
REOPEN_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
SETTLE_ATTEMPTS = 3
SETTLE_RETRY_SECONDS = 0.5
ABANDON_SECONDS = 2.0


def subscription_of(function: HostedFunction) -> str:
    """The subscription a function listens to. Raises `UnsupportedFunction` for what could not run the same way
    when deployed, or not at all."""
    trigger, name = function.trigger, function.name
    subscription = trigger.get("subscriptionName")
    if not subscription:
        raise UnsupportedFunction(f"function {name}: the local bus has a topic with subscriptions, but no queues")
    if subscription not in SUBSCRIPTIONS:
        raise UnsupportedFunction(
            f"function {name}: there is no subscription {subscription!r}; there are {', '.join(SUBSCRIPTIONS)}"
        )
    if trigger.get("isSessionsEnabled") or subscription in SESSION_SUBSCRIPTIONS:
        raise UnsupportedFunction(
            f"function {name}: the subscription {subscription!r} has sessions; drain it from a timer instead, because "
            "a trigger stays on a busy session and starves the others"
        )
    if str(trigger.get("cardinality") or "one").lower() != "one":
        raise UnsupportedFunction(
            f"function {name}: set cardinality to one, because a batch fails as a whole and mixes up its metadata"
        )
    if str(trigger.get("dataType") or "").lower() != "binary":
        raise UnsupportedFunction(
            f"function {name}: set data_type to binary, because the keys of a text body would replace the metadata"
        )
    return str(subscription)


@dataclass(slots=True, eq=False)
class _Link:
    """An open receiver, and how many of its messages are in hand."""

    receiver: Receiver
    in_hand: int = 0
    retired: bool = False


@dataclass(slots=True, eq=False)
class _Delivery:
    """A message in hand. `locked_at` is when its lock was last started afresh."""

    message: ReceivedMessage
    link: _Link
    received_at: float
    locked_at: float
    lock_lost: bool = False
    lock_token: str = field(default_factory=lambda: str(uuid.uuid4()))


class MessagePump:
    """Feeds one function from its subscription."""

    def __init__(
        self,
        function: HostedFunction,
        bus: Bus,
        invoker: Invoker,
        settings: HostSettings,
        clock: Clock,
        lock_seconds: float,
    ) -> None:
        self.function = function
        self.subscription = subscription_of(function)
        self._bus = bus
        self._invoker = invoker
        self._settings = settings
        self._clock = clock
        self._lock_seconds = lock_seconds
        self._deliveries: dict[asyncio.Task[None], _Delivery] = {}
        self._free = asyncio.Event()
        self._free.set()
        self._tasks: list[asyncio.Task[None]] = []
        self._link: _Link | None = None

    def start(self) -> None:
        """Begin to receive."""
        self._tasks = [
            asyncio.create_task(self._receive(), name=f"receive {self.subscription}"),
            asyncio.create_task(self._keep_locks(), name=f"renew {self.subscription}"),
        ]

    @property
    def in_flight(self) -> int:
        """Messages in hand."""
        return len(self._deliveries)

    async def idle(self) -> bool:
        """Whether nothing is in hand and nothing waits (messages under lock count as waiting)."""
        waiting, _ = await self._bus.depth(self.subscription)
        return waiting == 0 and not self._deliveries

    async def stop(self, grace_seconds: float) -> None:
        """Receive no more, let calls finish within the grace, cancel the rest and give their messages back."""
        if not self._tasks:
            return
        receiving, renewing = self._tasks
        self._tasks = []
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)
        if self._deliveries:
            _, late = await asyncio.wait(self._deliveries, timeout=grace_seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)
        await self._retire_link()

    # ---- receiving

    async def _receive(self) -> None:
        failures = 0
        while True:
            await self._free.wait()
            try:
                if self._link is None:
                    self._link = _Link(await self._bus.receiver(self.subscription))
                link = self._link
                room = self._settings.max_concurrent_calls - len(self._deliveries)
                messages = await self._next_messages(link.receiver, room)
            except Exception as error:
                if not failures:
                    expected = isinstance(error, BusError)
                    what = type(error).__name__ if expected else traceback_without_values(error)
                    log.warning("%s: the bus failed, trying again: %s", self.subscription, what)
                await self._retire_link()
                pause = REOPEN_SECONDS[min(failures, len(REOPEN_SECONDS) - 1)]
                failures += 1
                await self._clock.sleep(pause * random.uniform(0.5, 1.0))
                continue
            if failures:
                log.warning("%s: the bus is back after %d failures", self.subscription, failures)
                failures = 0
            for message in messages:
                self._take(message, link)

    async def _next_messages(self, receiver: Receiver, room: int) -> list[ReceivedMessage]:
        """Wait for messages. What arrives although we were just cancelled is given back at once."""
        arriving = asyncio.ensure_future(receiver.receive(room, WAIT_SECONDS))
        try:
            return await asyncio.shield(arriving)
        except asyncio.CancelledError:
            arriving.cancel()
            with contextlib.suppress(Exception, asyncio.CancelledError):
                for message in await arriving:
                    await receiver.abandon(message)
            raise

    def _take(self, message: ReceivedMessage, link: _Link) -> None:
        now = self._clock.now()
        delivery = _Delivery(message, link, received_at=now, locked_at=now)
        task = asyncio.create_task(self._deliver(delivery), name=f"deliver {self.function.name}")
        self._deliveries[task] = delivery
        link.in_hand += 1
        if len(self._deliveries) >= self._settings.max_concurrent_calls:
            self._free.clear()

    async def _retire_link(self) -> None:
        """Let go of the receiver, but not before the last of its messages is settled."""
        link, self._link = self._link, None
        if link is not None:
            link.retired = True
            await self._close_if_done(link)

    async def _close_if_done(self, link: _Link) -> None:
        if link.retired and not link.in_hand:
            with contextlib.suppress(Exception):
                await link.receiver.close()

    # ---- one message

    async def _deliver(self, delivery: _Delivery) -> None:
        try:
            message = service_bus_message(delivery.message, delivery.lock_token)
            await self._invoker.trigger(self.function, message)
        except asyncio.CancelledError:
            await asyncio.shield(self._give_back(delivery))
            raise
        except Exception as error:
            await self._give_back(delivery)
            self._invoker.failed(self.function, error)
        else:
            if self._settings.auto_complete_messages:
                await self._complete(delivery)
        finally:
            task = asyncio.current_task()
            assert task is not None
            del self._deliveries[task]
            delivery.link.in_hand -= 1
            self._free.set()
            await self._close_if_done(delivery.link)

    async def _complete(self, delivery: _Delivery) -> None:
        """Without success the message comes again once its lock has run out, as it may on Azure."""
        for attempt in range(1, SETTLE_ATTEMPTS + 1):
            try:
                await delivery.link.receiver.complete([delivery.message])
                return
            except LockLost:
                break
            except Exception:
                if attempt < SETTLE_ATTEMPTS:
                    await self._clock.sleep(SETTLE_RETRY_SECONDS * attempt)
        log.warning("%s: a message could not be completed and will come again", self.function.name)

    async def _give_back(self, delivery: _Delivery) -> None:
        """Abandon; when that fails too, the lock runs out by itself."""
        with contextlib.suppress(Exception):
            async with asyncio.timeout(ABANDON_SECONDS):
                await delivery.link.receiver.abandon(delivery.message)

    # ---- locks

    async def _keep_locks(self) -> None:
        """Renew each lock when half of it is gone; looking twice as often leaves time for a second attempt."""
        while True:
            await self._clock.sleep(self._lock_seconds / 4)
            now = self._clock.now()
            for delivery in list(self._deliveries.values()):
                kept_long_enough = now - delivery.received_at > self._settings.max_lock_renewal_seconds
                if delivery.lock_lost or kept_long_enough or now - delivery.locked_at < self._lock_seconds / 2:
                    continue
                try:
                    await delivery.link.receiver.renew(delivery.message)
                    delivery.locked_at = now
                except LockLost:
                    delivery.lock_lost = True
                    log.warning("%s: a message lost its lock while it ran; it will come again", self.function.name)
                except Exception:
                    log.warning("%s: a lock could not be renewed; trying again", self.function.name)
