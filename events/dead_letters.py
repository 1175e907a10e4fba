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
"""Nobody holds a letter for longer than its lock, unless they renew it."""

Wanted = Callable[[ReceivedMessage], bool]
Action = Callable[[ReceivedMessage], Awaitable[bool]]
"""What is done with a letter before it is settled; False: it stays."""


def readable(message: ReceivedMessage) -> tuple[Batch, ...]:
    """The batches in a message that can be read."""
    return tuple(part.batch for part in _parts(message) if part.batch is not None)


def _parts(message: ReceivedMessage) -> list[Part]:
    try:
        return parts_of(message.body)
    except (UnreadableBatch, NewerMessage):
        return []


async def all_dead_letters(bus: Bus, subscription: str) -> AsyncIterator[DeadLetter]:
    """Every dead letter by sequence number, none of them locked. Raises `BusUnavailable`.

    A page may be shorter than was asked for although more follow (Service Bus gives 250 at most): only an empty one is
    the end.
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
    """Run `action` for each wanted dead letter and then settle it; how many there were. The rest stays.

    Looks at every letter that was there when it began. Raises `BusUnavailable`, also when somebody else holds a wanted
    letter for longer than it waits; a letter is settled only after its action, so a second run takes up where a first
    one broke off.
    """
    left = {
        letter.message.sequence_number async for letter in all_dead_letters(bus, subscription) if wanted(letter.message)
    }
    taken = 0
    for attempt in range(ATTEMPTS):
        if attempt:
            await asyncio.sleep(PAUSE_SECONDS * attempt)
            # What somebody else settled meanwhile is gone as well.
            left &= {letter.message.sequence_number async for letter in all_dead_letters(bus, subscription)}
        if left:
            taken += await _settle(bus, subscription, left, action)
        if not left:
            return taken
    raise BusUnavailable(f"{len(left)} dead letters are held by somebody else", HELD_SECONDS)


async def _settle(bus: Bus, subscription: str, left: set[int], action: Action | None) -> int:
    """Receive dead letters until those numbered in `left` are settled, or no more come; how many were settled."""
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
                with contextlib.suppress(LockLost):  # then it comes again
                    await receiver.complete([message])
                    left.discard(message.sequence_number)
                    settled += 1
    finally:
        for message in unwanted:
            with contextlib.suppress(LockLost):  # then it is free already
                await receiver.abandon(message)
        await receiver.close()
    return settled


async def purge_dead_letters_of(bus: Bus, user_key: str, erased_at: float) -> int:
    """Drop every dead letter with events of a user accepted until `erased_at`; how many there were."""

    def of_user(batch: Batch) -> bool:
        return batch.user_key == user_key and batch.accepted_at <= erased_at

    return sum([await _drop(bus, subscription, of_user) for subscription in SUBSCRIPTIONS])


async def purge_dead_letters_of_tenant(bus: Bus, tenant_id: str) -> int:
    """Drop every dead letter with events of a tenant; how many there were."""

    def of_tenant(batch: Batch) -> bool:
        return batch.tenant_id == tenant_id

    asked = await take_out(bus, LEARNING, lambda message: (decode(message.body) or ("",))[0] == tenant_id)
    return asked + sum([await _drop(bus, subscription, of_tenant) for subscription in SUBSCRIPTIONS])


async def _drop(bus: Bus, subscription: str, unwanted: Callable[[Batch], bool]) -> int:
    """Drop the dead letters with unwanted batches; how many there were. What else such a letter has is put back, each
    batch by itself, as it was."""

    async def put_back(message: ReceivedMessage) -> bool:
        rest = [part for part in _parts(message) if part.batch is None or not unwanted(part.batch)]
        for number, part in enumerate(rest):
            id = f"{message.message_id[:80]}.rest.{message.sequence_number}.{number}"
            left = OutgoingMessage(id, message.session_id or id, part.body())
            await bus.dead_letter(subscription, left, PURGED, "one batch of a message that was purged of others")
        return True

    return await take_out(bus, subscription, lambda message: any(map(unwanted, readable(message))), put_back)


async def sweep(bus: Bus, documents: DocumentStore, tenants: TenantDirectory, telemetry: Telemetry, now: float) -> int:
    """Drop dead letters that are too old, and those of users or tenants removed since; how many there were."""
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
