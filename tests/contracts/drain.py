"""Drains a bus, however many messages each receive returns."""

from __future__ import annotations

from collections.abc import Sequence

from shared.adapters.bus.port import SESSION_SUBSCRIPTIONS, Bus, OutgoingMessage, ReceivedMessage, Receiver
from tests.contracts.backends import Rig

PATIENCE = 60.0
"""Seconds to wait for expected messages: not used up by a correct bus. The suites run on a faster loop, so a busy
machine can have a tenth of them."""


def message(id: str, session: str = "tenant_1") -> OutgoingMessage:
    return OutgoingMessage(id, session, f"body of {id}".encode())


def ids(messages: Sequence[ReceivedMessage]) -> list[str]:
    return [m.message_id for m in messages]


async def take(receiver: Receiver, count: int) -> list[ReceivedMessage]:
    """Receive exactly `count` messages under lock."""
    taken: list[ReceivedMessage] = []
    while len(taken) < count:
        more = await receiver.receive(count - len(taken), PATIENCE)
        assert more, f"{len(taken)} of {count} messages came"
        taken += more
    return taken


async def nothing(rig: Rig[Bus], receiver: Receiver) -> None:
    """Fail if any message is available."""
    assert ids(await receiver.receive(10, rig.quiet_seconds)) == []


async def drain(rig: Rig[Bus], subscription: str, count: int) -> list[ReceivedMessage]:
    """Receive and complete the `count` free messages of a subscription, and check that there are no more.

    Drains session by session where there are sessions. Expected messages are awaited patiently; a short wait ends only
    the check for unexpected ones.
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
    """Complete at least `least` messages, and any others available."""
    taken: list[ReceivedMessage] = []
    while True:
        batch = await receiver.receive(10, PATIENCE if len(taken) < least else rig.quiet_seconds)
        if not batch:
            assert len(taken) >= least, f"{len(taken)} of {least} messages came"
            return taken
        await receiver.complete(batch)
        taken += batch
