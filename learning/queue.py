"""The queue of the nightly learning: one message per tenant, processed in parallel; a failed one is retried alone.

The queue is the subscription `learning` of the bus's topic. A timer sends the messages. Other timers call `work` every
minute, which takes them one at a time. A message is locked while its night runs, so if a worker dies, another one gets
it. The message of a failed night is returned when the call ends, behind the others, and retried by a later call. After
`GIVE_UP_SECONDS` it is dead-lettered; the tenant's next night covers the missed one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from learning.night import night_before
from learning.nightly import NightlyLearning
from shared.adapters.blobs.port import BlobsError
from shared.adapters.bus.port import (
    LEARNING,
    LOCK_SECONDS,
    NO_SESSION,
    Bus,
    BusError,
    LockLost,
    OutgoingMessage,
    ReceivedMessage,
    Receiver,
)
from shared.adapters.documents.port import StoreError
from shared.adapters.tenant_directory import TenantDirectory
from shared.domain.learning_message import decode, encode, message_id
from shared.observability.metrics import Telemetry
from shared.observability.tracebacks import traceback_without_values

log = logging.getLogger("feed.learning")

NIGHT_SECONDS = 480.0
"""Time limit for one tenant. A function call has ten minutes."""
START_SECONDS = 90.0
"""How long after its start a call begins another tenant."""
GIVE_UP_SECONDS = 2 * 3_600.0
"""After this a failing night is dead-lettered."""
RECEIVE_SECONDS = 0.2
FAILED, UNREADABLE = "failed", "unreadable"


class LearningQueue:
    """Sends and processes messages. A process learns one tenant at a time, so it needs the memory of one."""

    def __init__(
        self,
        *,
        bus: Bus,
        tenants: TenantDirectory,
        learning: NightlyLearning,
        telemetry: Telemetry,
        clock: Callable[[], float],
        elapsed: Callable[[], float],
        renew_seconds: float = LOCK_SECONDS / 3,
        night_seconds: float = NIGHT_SECONDS,
    ) -> None:
        self._bus = bus
        self._tenants = tenants
        self._learning = learning
        self._telemetry = telemetry
        self._clock, self._elapsed = clock, elapsed
        self._renew_seconds, self._night_seconds = renew_seconds, night_seconds
        self._one_at_a_time = asyncio.Lock()

    async def send_all(self) -> int:
        """Request the last night of every tenant; return how many messages were sent. Raises `BusError`. The next call
        sends the rest, and no message is sent twice."""
        now = self._clock()
        night, sent = night_before(now), 0
        for tenant_id in self._tenants.ids():
            body = encode(tenant_id, night, now)
            await self._bus.publish(OutgoingMessage(message_id(tenant_id, night), NO_SESSION, body, LEARNING))
            sent += 1
        return sent

    async def work(self) -> int:
        """Learn tenants while messages wait and there is time to start another; return how many. Raises `BusError`."""
        if self._one_at_a_time.locked():
            return 0
        async with self._one_at_a_time:
            receiver = await self._bus.receiver(LEARNING)
            failed: list[ReceivedMessage] = []
            try:
                return await self._work(receiver, failed)
            finally:
                for message in failed:
                    with contextlib.suppress(LockLost):  # its lock is already gone
                        await receiver.abandon(message)
                await receiver.close()

    async def _work(self, receiver: Receiver, failed: list[ReceivedMessage]) -> int:
        started, done = self._elapsed(), 0
        while self._elapsed() - started < START_SECONDS:
            messages = await receiver.receive(1, RECEIVE_SECONDS)
            if not messages:
                break
            (message,) = messages
            if await self._learned(receiver, message):
                done += 1
            else:
                failed.append(message)
        return done

    async def _learned(self, receiver: Receiver, message: ReceivedMessage) -> bool:
        """Process a message; False when it must be returned to the bus."""
        asked = decode(message.body)
        if asked is None:
            await self._set_aside(receiver, message, UNREADABLE, "no message of the learning")
            return True
        tenant_id, night, sent_at = asked
        keeper = asyncio.create_task(self._keep_lock(receiver, message))
        error: Exception
        try:
            async with asyncio.timeout(self._night_seconds):
                await self._learning.run(tenant_id, night)
        except (BlobsError, StoreError, TimeoutError) as expected:
            log.error("the learning of tenant %s failed: %s", tenant_id, type(expected).__name__)
            error = expected
        except Exception as odd:  # bad stored data must only affect this tenant
            log.error("the learning of tenant %s failed\n%s", tenant_id, traceback_without_values(odd))
            error = odd
        else:
            with contextlib.suppress(LockLost):  # delivered again, and then already done
                await receiver.complete([message])
            return True
        finally:
            keeper.cancel()
        self._telemetry.count("learning_runs", FAILED)
        if self._clock() - sent_at < GIVE_UP_SECONDS:
            return False
        await self._set_aside(receiver, message, FAILED, type(error).__name__)
        return True

    async def _set_aside(self, receiver: Receiver, message: ReceivedMessage, reason: str, description: str) -> None:
        with contextlib.suppress(LockLost):
            await receiver.dead_letter(message, reason, description)
            self._telemetry.count("messages_set_aside", LEARNING, reason)

    async def _keep_lock(self, receiver: Receiver, message: ReceivedMessage) -> None:
        """Renew the message's lock until cancelled. A lost lock shows when the message is settled."""
        while True:
            await asyncio.sleep(self._renew_seconds)
            with contextlib.suppress(BusError):
                await receiver.renew(message)
