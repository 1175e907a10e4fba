"""Drains a bus, however many messages each receive returns."""

from __future__ import annotations

from collections.abc import Sequence

from shared.adapters.bus.port import SESSION_SUBSCRIPTIONS, Bus, OutgoingMessage, ReceivedMessage, Receiver
from tests.contracts.backends import Rig

PATIENCE = 60.0
"""Seconds to wait for what must come: never spent by a bus that keeps its promise. The suites run on a loop that
hurries, so a machine that is busy with other things may have no more than a tenth of them."""


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


async def drain(rig: Rig[Bus], subscription: str, count: int) -> list[ReceivedMessage]:
    """The `count` messages that are free in a subscription, all of them completed, and proof that there is no more.

    Session by session where it has them. What must come is waited for with patience; a short wait ends only the
    search for what must not come.
    """
    taken: list[ReceivedMessage] = []
    if subscription in SESSION_SUBSCRIPTIONS:
        while len(taken) < count:
            session = await rig.port.next_session(subscription, PATIENCE)
            assert session is not None, f"{len(taken)} of {count} messages came"
            taken += await _complete_all(rig, session, 1)
            await session.close()
        assert await rig.port.next_session(subscription, rig.quiet_seconds) is None
    else:
        receiver = await rig.port.receiver(subscription)
        taken += await _complete_all(rig, receiver, count)
        await receiver.close()
    assert len(taken) == count
    return taken


async def _complete_all(rig: Rig[Bus], receiver: Receiver, least: int) -> list[ReceivedMessage]:
    """At least `least` messages, and whatever else is there."""
    taken: list[ReceivedMessage] = []
    while True:
        batch = await receiver.receive(10, PATIENCE if len(taken) < least else rig.quiet_seconds)
        if not batch:
            assert len(taken) >= least, f"{len(taken)} of {least} messages came"
            return taken
        await receiver.complete(batch)
        taken += batch
