"""Service Bus triggers: a pump per function receives the messages of a subscription and calls the function.

One message per call, up to `maxConcurrentCalls` at once. Success completes the message. An exception abandons it at
once; the delivery counts, and after too many the bus dead-letters the message. While the function runs, the lock is
renewed for up to `maxAutoLockRenewalDuration`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from dataclasses import dataclass

from local.clock import Clock
from local.host_json import ServiceBusSettings
from local.invocation import HostedFunction, Invoker, UnsupportedFunction, message_argument
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
    """Return a function's subscription. Raises `UnsupportedFunction` for bindings that would work differently on
    Azure."""
    trigger, name = function.trigger, function.name
    subscription = str(trigger.get("subscriptionName"))
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
    return subscription


@dataclass(slots=True, eq=False)
class _Connection:
    """An open receiver and the number of its unsettled messages. A retired one is closed after the last of them."""

    receiver: Receiver
    unsettled: int = 0
    retired: bool = False


@dataclass(slots=True, eq=False)
class _Delivery:
    """An unsettled message. `locked_at`: when its lock was taken or last renewed."""

    message: ReceivedMessage
    connection: _Connection
    received_at: float
    locked_at: float
    lock_lost: bool = False


class MessagePump:
    """Calls one function with the messages of its subscription. `lock_seconds`: duration of a lock on the bus."""

    def __init__(
        self,
        function: HostedFunction,
        bus: Bus,
        invoker: Invoker,
        settings: ServiceBusSettings,
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
        self._connection: _Connection | None = None

    def start(self) -> None:
        """Start to receive."""
        self._tasks = [
            asyncio.create_task(self._receive(), name=f"receive {self.subscription}"),
            asyncio.create_task(self._keep_locks(), name=f"renew {self.subscription}"),
        ]

    async def idle(self) -> bool:
        """Whether no message is unsettled or waiting (locked messages count as waiting)."""
        waiting, _ = await self._bus.depth(self.subscription)
        return waiting == 0 and not self._deliveries

    async def stop(self, grace_seconds: float) -> None:
        """Stop receiving, let calls finish within the grace, cancel the rest and abandon their messages."""
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
        await self._retire_connection()

    # ---- receiving

    async def _receive(self) -> None:
        failures = 0
        while True:
            await self._free.wait()
            try:
                if self._connection is None:
                    self._connection = _Connection(await self._bus.receiver(self.subscription))
                connection = self._connection
                free = self._settings.max_concurrent_calls - len(self._deliveries)
                messages = await self._next_messages(connection.receiver, free)
            except Exception as error:
                if not failures:
                    expected = isinstance(error, BusError)
                    what = type(error).__name__ if expected else traceback_without_values(error)
                    log.warning("%s: the bus failed, trying again: %s", self.subscription, what)
                await self._retire_connection()
                pause = REOPEN_SECONDS[min(failures, len(REOPEN_SECONDS) - 1)]
                failures += 1
                await self._clock.sleep(pause * random.uniform(0.5, 1.0))
                continue
            if failures:
                log.warning("%s: the bus is back after %d failures", self.subscription, failures)
                failures = 0
            for message in messages:
                self._begin(message, connection)

    async def _next_messages(self, receiver: Receiver, limit: int) -> list[ReceivedMessage]:
        """Wait for messages. When cancelled, abandon messages that still arrive."""
        arriving = asyncio.ensure_future(receiver.receive(limit, WAIT_SECONDS))
        try:
            return await asyncio.shield(arriving)
        except asyncio.CancelledError:
            arriving.cancel()
            with contextlib.suppress(Exception, asyncio.CancelledError):
                for message in await arriving:
                    await receiver.abandon(message)
            raise

    def _begin(self, message: ReceivedMessage, connection: _Connection) -> None:
        now = self._clock.elapsed()
        delivery = _Delivery(message, connection, received_at=now, locked_at=now)
        task = asyncio.create_task(self._deliver(delivery), name=f"deliver {self.function.name}")
        self._deliveries[task] = delivery
        connection.unsettled += 1
        if len(self._deliveries) >= self._settings.max_concurrent_calls:
            self._free.clear()

    async def _retire_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.retired = True
            await self._close_if_done(connection)

    async def _close_if_done(self, connection: _Connection) -> None:
        if connection.retired and not connection.unsettled:
            with contextlib.suppress(Exception):
                await connection.receiver.close()

    # ---- one message

    async def _deliver(self, delivery: _Delivery) -> None:
        try:
            await self._invoker.trigger(self.function, message_argument(self.function, delivery.message))
        except asyncio.CancelledError:
            await asyncio.shield(self._abandon(delivery))
            raise
        except Exception as error:
            await self._abandon(delivery)
            self._invoker.failed(self.function, error)
        else:
            await self._complete(delivery)
        finally:
            task = asyncio.current_task()
            assert task is not None
            del self._deliveries[task]
            delivery.connection.unsettled -= 1
            self._free.set()
            await self._close_if_done(delivery.connection)

    async def _complete(self, delivery: _Delivery) -> None:
        """Complete a message. If that fails, it is delivered again after its lock has expired, as on Azure."""
        for attempt in range(1, SETTLE_ATTEMPTS + 1):
            try:
                await delivery.connection.receiver.complete([delivery.message])
                return
            except LockLost:
                break
            except Exception:
                if attempt < SETTLE_ATTEMPTS:
                    await self._clock.sleep(SETTLE_RETRY_SECONDS * attempt)
        log.warning("%s: a message could not be completed and will come again", self.function.name)

    async def _abandon(self, delivery: _Delivery) -> None:
        """Abandon a message for redelivery. If that fails, its lock expires."""
        with contextlib.suppress(Exception):
            async with asyncio.timeout(ABANDON_SECONDS):
                await delivery.connection.receiver.abandon(delivery.message)

    # ---- locks

    async def _keep_locks(self) -> None:
        """Renew each lock at half of its duration. Checks run twice as often, so a second attempt is possible."""
        while True:
            await self._clock.sleep(self._lock_seconds / 4)
            now = self._clock.elapsed()
            for delivery in list(self._deliveries.values()):
                kept_long_enough = now - delivery.received_at > self._settings.max_auto_lock_renewal_duration
                if delivery.lock_lost or kept_long_enough or now - delivery.locked_at < self._lock_seconds / 2:
                    continue
                try:
                    await delivery.connection.receiver.renew(delivery.message)
                    delivery.locked_at = now
                except LockLost:
                    delivery.lock_lost = True
                    log.warning("%s: a message lost its lock while it ran; it will come again", self.function.name)
                except Exception:
                    log.warning("%s: a lock could not be renewed; trying again", self.function.name)
