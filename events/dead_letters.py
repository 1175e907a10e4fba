"""Dead letters: settle chosen ones, purge a user's, and sweep those that are too old."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable

from events.batch import Batch, UnreadableBatch, decode
from events.erasures import erasures
from shared.adapters.bus.port import SUBSCRIPTIONS, Bus, LockLost, ReceivedMessage
from shared.adapters.documents.port import DocumentStore
from shared.adapters.tenant_directory import TenantDirectory
from shared.observability.metrics import Telemetry

KEEP_SECONDS = 89 * 86_400
"""Swept daily, so nothing is older than 90 days."""
RECEIVE_SECONDS = 1.0
MESSAGES_A_RECEIVE = 100

Wanted = Callable[[ReceivedMessage], bool]
Action = Callable[[ReceivedMessage], Awaitable[None]]


def readable(message: ReceivedMessage) -> Batch | None:
    """The batch in a message, None when it cannot be read."""
    try:
        return decode(message.body)
    except UnreadableBatch:
        return None


async def take_out(bus: Bus, subscription: str, wanted: Wanted, action: Action | None = None) -> int:
    """Run `action` for each wanted dead letter and then settle it; how many there were. The rest stays.

    Looks at every letter that was there when it began. Raises `BusUnavailable`; a letter is settled only after its
    action, so a second run takes up where a first one broke off.
    """
    _, left = await bus.depth(subscription)
    receiver = await bus.receiver(subscription, dead_letters=True)
    unwanted: list[ReceivedMessage] = []
    taken = 0
    try:
        while left > 0:
            messages = await receiver.receive(min(left, MESSAGES_A_RECEIVE), RECEIVE_SECONDS)
            if not messages:
                break
            left -= len(messages)
            for message in messages:
                if not wanted(message):
                    unwanted.append(message)
                    continue
                if action is not None:
                    await action(message)
                await receiver.complete([message])
                taken += 1
    finally:
        for message in unwanted:
            with contextlib.suppress(LockLost):  # then it is free already
                await receiver.abandon(message)
        await receiver.close()
    return taken


async def purge_dead_letters_of(bus: Bus, user_key: str, erased_at: float) -> int:
    """Drop every dead letter with events of a user accepted until `erased_at`; how many there were."""

    def about_user(message: ReceivedMessage) -> bool:
        batch = readable(message)
        return batch is not None and batch.user_key == user_key and batch.accepted_at <= erased_at

    return sum([await take_out(bus, subscription, about_user) for subscription in SUBSCRIPTIONS])


async def sweep(bus: Bus, documents: DocumentStore, tenants: TenantDirectory, telemetry: Telemetry, now: float) -> int:
    """Drop dead letters that are too old, and those of users who were erased since; how many there were."""
    oldest = now - KEEP_SECONDS
    erased = {
        user_key: at for tenant_id in tenants.ids() for user_key, at in (await erasures(documents, tenant_id)).items()
    }

    def unwanted(message: ReceivedMessage) -> bool:
        batch = readable(message)
        if batch is None:
            return message.enqueued_at < oldest
        return batch.accepted_at < oldest or batch.accepted_at <= erased.get(batch.user_key, 0.0)

    dropped = 0
    for subscription in SUBSCRIPTIONS:
        count = await take_out(bus, subscription, unwanted)
        telemetry.count("dead_letters_dropped", subscription, amount=count)
        _, left = await bus.depth(subscription)
        telemetry.gauge("dead_letters", left, subscription)
        dropped += count
    return dropped
