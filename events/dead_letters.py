"""Dead letters: settle chosen ones, purge a user's, and sweep those that are too old."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from events.batch import Batch
from events.erasures import erasures
from events.frame import NewerMessage, UnreadableBatch
from events.message_parts import Part, parts_of
from shared.adapters.bus.port import (
    LEARNING,
    SUBSCRIPTIONS,
    Bus,
    BusUnavailable,
    DeadLetter,
    LockLost,
    OutgoingMessage,
    ReceivedMessage,
)
from shared.adapters.documents.port import DocumentStore
from shared.adapters.tenant_directory import TenantDirectory
from shared.domain.learning_message import decode
from shared.observability.metrics import Telemetry

KEEP_SECONDS = 89 * 86_400
"""Swept daily, so nothing is older than 90 days."""
RECEIVE_SECONDS = 1.0
MESSAGES_A_RECEIVE = 100
LETTERS_A_PAGE = 200
ATTEMPTS = 3
PAUSE_SECONDS = 0.5
PURGED = "purged"
HELD_SECONDS = 60.0
"""A consumer holds a dead letter for no longer than its lock, unless it renews the lock."""

Wanted = Callable[[ReceivedMessage], bool]
Action = Callable[[ReceivedMessage], Awaitable[bool]]
"""Called with a dead letter before it is settled. Returns False to keep it."""


def readable(message: ReceivedMessage) -> tuple[Batch, ...]:
    """Return the batches of a message that can be read."""
    return tuple(part.batch for part in _parts(message) if part.batch is not None)


def _parts(message: ReceivedMessage) -> list[Part]:
    try:
        return parts_of(message.body)
    except (UnreadableBatch, NewerMessage):
        return []


async def all_dead_letters(bus: Bus, subscription: str) -> AsyncIterator[DeadLetter]:
    """Yield every dead letter by sequence number without locking it. Raises `BusUnavailable`.

    A page can be shorter than requested although more follow (Service Bus gives at most 250). Only an empty page is the
    end.
    """
    after = 0
    while True:
        page = await bus.peek_dead_letters(subscription, LETTERS_A_PAGE, after)
        for letter in page:
            yield letter
        last = max((letter.message.sequence_number for letter in page), default=after)
        if last <= after:
            return
        after = last


async def take_out(bus: Bus, subscription: str, wanted: Wanted, action: Action | None = None) -> int:
    """Run `action` for each wanted dead letter and settle it; return how many were settled. The others stay.

    Covers every dead letter that existed at the start. Raises `BusUnavailable`, also when another consumer holds a
    wanted one for too long. A dead letter is settled only after its action, so a second run continues where the first
    stopped.
    """
    left = {
        letter.message.sequence_number async for letter in all_dead_letters(bus, subscription) if wanted(letter.message)
    }
    taken = 0
    for attempt in range(ATTEMPTS):
        if attempt:
            await asyncio.sleep(PAUSE_SECONDS * attempt)
            # Another consumer may have settled some of them meanwhile.
            left &= {letter.message.sequence_number async for letter in all_dead_letters(bus, subscription)}
        if left:
            taken += await _settle(bus, subscription, left, action)
        if not left:
            return taken
    raise BusUnavailable(f"{len(left)} dead letters are held by somebody else", HELD_SECONDS)


async def _settle(bus: Bus, subscription: str, left: set[int], action: Action | None) -> int:
    """Receive dead letters until those in `left` are settled or no more arrive. Return how many were settled."""
    receiver = await bus.receiver(subscription, dead_letters=True)
    unwanted: list[ReceivedMessage] = []
    settled = 0
    try:
        while left:
            messages = await receiver.receive(MESSAGES_A_RECEIVE, RECEIVE_SECONDS)
            if not messages:
                break
            for message in messages:
                if message.sequence_number not in left:
                    unwanted.append(message)
                    continue
                if action is not None and not await action(message):
                    left.discard(message.sequence_number)
                    unwanted.append(message)
                    continue
                with contextlib.suppress(LockLost):  # it is delivered again
                    await receiver.complete([message])
                    left.discard(message.sequence_number)
                    settled += 1
    finally:
        for message in unwanted:
            with contextlib.suppress(LockLost):  # its lock is already gone
                await receiver.abandon(message)
        await receiver.close()
    return settled


async def purge_dead_letters_of(bus: Bus, user_key: str, erased_at: float) -> int:
    """Drop every dead letter with events of a user accepted until `erased_at`. Return how many there were."""

    def of_user(batch: Batch) -> bool:
        return batch.user_key == user_key and batch.accepted_at <= erased_at

    return sum([await _drop(bus, subscription, of_user) for subscription in SUBSCRIPTIONS])


async def purge_dead_letters_of_tenant(bus: Bus, tenant_id: str) -> int:
    """Drop every dead letter with events of a tenant. Return how many there were."""

    def of_tenant(batch: Batch) -> bool:
        return batch.tenant_id == tenant_id

    asked = await take_out(bus, LEARNING, lambda message: (decode(message.body) or ("",))[0] == tenant_id)
    return asked + sum([await _drop(bus, subscription, of_tenant) for subscription in SUBSCRIPTIONS])


async def _drop(bus: Bus, subscription: str, unwanted: Callable[[Batch], bool]) -> int:
    """Drop the dead letters with unwanted batches; return how many there were. Their other batches are dead-lettered
    again unchanged, each in a message of its own."""

    async def put_back(message: ReceivedMessage) -> bool:
        rest = [part for part in _parts(message) if part.batch is None or not unwanted(part.batch)]
        for number, part in enumerate(rest):
            id = f"{message.message_id[:80]}.rest.{message.sequence_number}.{number}"
            left = OutgoingMessage(id, message.session_id or id, part.body())
            await bus.dead_letter(subscription, left, PURGED, "one batch of a message that was purged of others")
        return True

    return await take_out(bus, subscription, lambda message: any(map(unwanted, readable(message))), put_back)


async def sweep(bus: Bus, documents: DocumentStore, tenants: TenantDirectory, telemetry: Telemetry, now: float) -> int:
    """Drop dead letters that are too old, and those of users or tenants that were removed since. Return how many there
    were."""
    oldest = now - KEEP_SECONDS
    erased = {
        user_key: at for tenant_id in tenants.ids() for user_key, at in (await erasures(documents, tenant_id)).items()
    }

    def outdated(batch: Batch) -> bool:
        too_old, erased_at = batch.accepted_at < oldest, erased.get(batch.user_key, 0.0)
        return too_old or batch.accepted_at <= erased_at or tenants.drops(batch.tenant_id, batch.accepted_at)

    def unreadable(message: ReceivedMessage) -> bool:
        return not readable(message) and message.enqueued_at < oldest

    dropped = 0
    for subscription in SUBSCRIPTIONS:
        count = await take_out(bus, subscription, unreadable) + await _drop(bus, subscription, outdated)
        telemetry.count("dead_letters_dropped", subscription, amount=count)
        _, left = await bus.depth(subscription)
        telemetry.gauge("dead_letters", left, subscription)
        dropped += count
    return dropped
