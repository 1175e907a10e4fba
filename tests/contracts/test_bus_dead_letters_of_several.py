"""Every bus: a dead letter with several batches.

An erasure removes one user's batches from it; a replay delivers all the others.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from commands.replay_dead_letters import replay
from events.batch import Batch, decode, encode_all
from events.dead_letters import purge_dead_letters_of, readable
from events.schema import Event
from shared.adapters.bus.port import NO_SESSION, ROLLUP, SIGNALS, Bus, OutgoingMessage
from tests.contracts.backends import FEW_DELIVERIES, Rig
from tests.contracts.drain import drain, take
from tests.events.topic import services_on
from tests.memory_documents import MemoryDocuments

NOW = 1_790_000_000.0


def batch(number: int, user: str) -> Batch:
    return Batch(f"{number:032x}", "tenant_1", user, NOW, (Event("like", f"v{number}", int(NOW * 1000), number),))


async def give_up(bus: Rig[Bus], subscription: str, body: bytes) -> None:
    """Deliver a message until the bus gives it up."""
    session = "tenant_1" if subscription == ROLLUP else NO_SESSION
    await bus.port.publish(OutgoingMessage("several", session, body, subscription))
    for _ in range(FEW_DELIVERIES):
        if subscription == ROLLUP:
            receiver = await bus.port.next_session(ROLLUP, 60.0)
            assert receiver is not None
        else:
            receiver = await bus.port.receiver(SIGNALS)
        await receiver.abandon((await take(receiver, 1))[0])
        await receiver.close()


@pytest.mark.parametrize("subscription", [SIGNALS, ROLLUP])
async def test_erasing_a_user_keeps_the_other_batches_and_replay_delivers_all_of_them(
    bus: Rig[Bus], subscription: str, tmp_path: Path
) -> None:
    told = [batch(1, "ann"), batch(2, "bob"), batch(3, "ann"), batch(4, "eve")]
    await give_up(bus, subscription, encode_all(told))
    (letter,) = await bus.port.peek_dead_letters(subscription, 10)
    assert readable(letter.message) == tuple(told)

    assert await purge_dead_letters_of(bus.port, "ann", NOW + 1) == 1
    letters = await bus.port.peek_dead_letters(subscription, 10)
    assert [each.user_key for letter in letters for each in readable(letter.message)] == ["bob", "eve"]

    app = services_on(MemoryDocuments(lambda: NOW), bus.port, lambda: NOW, tmp_path)  # type: ignore[arg-type]
    assert await replay(app, subscription, letters, say=lambda _: None) == 0
    again = [each for message in await drain(bus, subscription, 2) for each in decode(message.body)]
    assert [(each.id, each.again) for each in again] == [(each.id, subscription == ROLLUP) for each in told[1::2]]
    assert await bus.port.depth(subscription) == (0, 0)


async def test_message_to_a_subscription_without_sessions_needs_no_session_id(bus: Rig[Bus]) -> None:
    await bus.port.publish(OutgoingMessage("m1", NO_SESSION, b"body", SIGNALS))
    (received,) = await drain(bus, SIGNALS, 1)
    assert (received.message_id, received.session_id, received.body) == ("m1", NO_SESSION, b"body")
    for to in (ROLLUP, None):
        with pytest.raises(ValueError, match="session id"):
            await bus.port.publish(OutgoingMessage("m2", NO_SESSION, b"body", to))
