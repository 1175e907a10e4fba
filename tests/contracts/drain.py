"""Taking messages off a bus, whatever portions it gives them in."""

from __future__ import annotations

from collections.abc import Sequence

from shared.bus.port import SESSION_SUBSCRIPTIONS, Bus, OutgoingMessage, ReceivedMessage, Receiver
from tests.contracts.backends import Rig

PATIENCE = 10.0
"""Seconds to wait for what must come: never spent by a bus that keeps its promise."""


def message(id: str, session: str = "tenant_1") -> OutgoingMessage:
    return OutgoingMessage(id, session, f"body of {id}".encode())


def ids(messages: Sequence[ReceivedMessage]) -> list[str]:
    return [m.message_id for m in messages]


async def take(receiver: Receiver, count: int) -> list[ReceivedMessage]:
    """Exactly `count` messages, under lock."""
    taken: list[ReceivedMessage] = []
    while len(taken) < count:
        more = await receiver.receive(count - len(taken), PATIENCE)
        assert more, f"{len(taken)} of {count} messages came"
        taken += more
    return taken


async def nothing(rig: Rig[Bus], receiver: Receiver) -> None:
    """No message is to be had."""
    assert ids(await receiver.receive(10, rig.quiet_seconds)) == []


async def drain(rig: Rig[Bus], subscription: str) -> list[ReceivedMessage]:
    """Everything that is free in a subscription, session by session where it has them; all of it completed."""
    if subscription not in SESSION_SUBSCRIPTIONS:
        return await _drain_receiver(rig, await rig.port.receiver(subscription))
    taken: list[ReceivedMessage] = []
    while (session := await rig.port.next_session(subscription, rig.quiet_seconds)) is not None:
        taken += await _drain_receiver(rig, session)
    return taken


async def _drain_receiver(rig: Rig[Bus], receiver: Receiver) -> list[ReceivedMessage]:
    taken: list[ReceivedMessage] = []
    while batch := await receiver.receive(10, rig.quiet_seconds):
        await receiver.complete(batch)
        taken += batch
    await receiver.close()
    return taken
