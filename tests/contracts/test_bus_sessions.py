"""Contract of every bus: the sessions of the roll-up."""

from __future__ import annotations

import asyncio

import pytest

from shared.adapters.bus.port import LOCK_SECONDS, ROLLUP, Bus, LockLost, Receiver
from tests.contracts.backends import FEW_DELIVERIES, Rig
from tests.contracts.drain import PATIENCE, drain, ids, message, take


async def publish(rig: Rig[Bus], session: str, *names: str) -> None:
    for id in names:
        await rig.port.publish(message(id, session))


async def own(client: Bus) -> Receiver:
    """Own a session, which must exist."""
    session = await client.next_session(ROLLUP, PATIENCE)
    assert session is not None
    return session


async def test_no_session_is_available_without_messages(bus: Rig[Bus]) -> None:
    assert await bus.port.next_session(ROLLUP, bus.quiet_seconds) is None


async def test_session_returns_its_own_messages_in_publishing_order(bus: Rig[Bus]) -> None:
    for n in range(6):
        await publish(bus, f"tenant_{n % 2}", f"m{n}")

    first = await own(bus.port)
    one = await take(first, 3)
    second = await own(bus.port)
    two = await take(second, 3)

    by_session = {first.session_id: ids(one), second.session_id: ids(two)}
    assert by_session == {"tenant_0": ["m0", "m2", "m4"], "tenant_1": ["m1", "m3", "m5"]}
    assert {m.session_id for m in one} == {first.session_id}
    assert [m.sequence_number for m in one] == sorted(m.sequence_number for m in one)


async def test_small_receives_keep_the_order_and_repeat_nothing(bus: Rig[Bus]) -> None:
    await publish(bus, "tenant_1", *[f"m{n}" for n in range(7)])
    session = await own(bus.port)

    received: list[str] = []
    while len(received) < 7:
        received += ids(await session.receive(3, PATIENCE))

    assert received == [f"m{n}" for n in range(7)]


async def test_an_owned_session_is_given_to_nobody_else(bus: Rig[Bus]) -> None:
    await publish(bus, "tenant_1", "m1", "m2")
    owner = await own(bus.port)
    await take(owner, 1)

    assert await bus.port.next_session(ROLLUP, bus.quiet_seconds) is None
    assert await (await bus.another()).next_session(ROLLUP, bus.quiet_seconds) is None


async def test_owner_receives_messages_published_while_it_owns_the_session(bus: Rig[Bus]) -> None:
    await publish(bus, "tenant_1", "m1")
    session = await own(bus.port)
    await session.complete(await take(session, 1))
    waiting = asyncio.create_task(session.receive(10, PATIENCE))
    await asyncio.sleep(0.01)

    await publish(bus, "tenant_1", "m2")

    assert ids(await waiting) == ["m2"]


async def test_waiting_for_a_session_ends_when_one_gets_a_message(bus: Rig[Bus]) -> None:
    waiting = asyncio.create_task(bus.port.next_session(ROLLUP, PATIENCE))
    await asyncio.sleep(0.01)

    await publish(bus, "tenant_1", "m1")

    session = await waiting
    assert session is not None
    assert session.session_id == "tenant_1"


async def test_every_session_is_served_however_busy_another_is(bus: Rig[Bus]) -> None:
    """The busy one is drained one message at a time and is never empty."""
    for n in range(5):
        await publish(bus, f"quiet_{n}", f"q{n}")
    turns: list[str | None] = []
    for n in range(12):
        await publish(bus, "busy", f"b{n}", f"b{n} too")
        session = await own(bus.port)
        turns.append(session.session_id)
        await session.complete(await take(session, 1))
        await session.close()

    assert {f"quiet_{n}" for n in range(5)} <= set(turns)


async def test_closed_session_is_free_at_once_and_redelivers_unsettled_messages_first(bus: Rig[Bus]) -> None:
    await publish(bus, "tenant_1", "m1", "m2", "m3")
    first = await own(bus.port)
    one, _ = await take(first, 2)
    await first.complete([one])
    await first.close()
    await first.close()

    second = await own(await bus.another())

    assert second.session_id == "tenant_1"
    assert ids(await take(second, 2)) == ["m2", "m3"]


async def test_drained_and_closed_session_is_not_offered_again(bus: Rig[Bus]) -> None:
    await publish(bus, "tenant_1", "m1")
    await drain(bus, ROLLUP, 1)

    assert await bus.port.next_session(ROLLUP, bus.quiet_seconds) is None
    assert await bus.port.depth(ROLLUP) == (0, 0)


async def test_session_with_an_expired_lock_has_a_new_owner_and_the_old_one_is_powerless(bus: Rig[Bus]) -> None:
    await publish(bus, "tenant_1", "m1", "m2", "m3")
    old = await own(bus.port)
    held = await take(old, 2)
    await bus.advance(LOCK_SECONDS + 1)

    new = await own(await bus.another())
    again = await take(new, 3)

    assert ids(again) == ["m1", "m2", "m3"]
    assert [m.delivery_count for m in again] == [2, 2, 1]
    with pytest.raises(LockLost):
        await old.complete(held)
    with pytest.raises(LockLost):
        await old.renew()
    with pytest.raises(LockLost):
        await old.receive(1, bus.quiet_seconds)
    await new.complete(again)
    await new.close()
    assert await bus.port.depth(ROLLUP) == (0, 0)


async def test_settling_after_session_lock_expiry_fails_even_if_nobody_took_it(bus: Rig[Bus]) -> None:
    await publish(bus, "tenant_1", "m1")
    old = await own(bus.port)
    held = await take(old, 1)
    await bus.advance(LOCK_SECONDS + 1)

    with pytest.raises(LockLost):
        await old.complete(held)

    assert ids(await drain(bus, ROLLUP, 1)) == ["m1"]


@pytest.mark.parametrize("by_message", [False, True])
async def test_renewal_keeps_the_session_and_its_locked_messages(bus: Rig[Bus], by_message: bool) -> None:
    await publish(bus, "tenant_1", "m1", "m2")
    session = await own(bus.port)
    held = await take(session, 2)
    for _ in range(3):
        await bus.advance(LOCK_SECONDS * 0.75)
        await session.renew(held[0] if by_message else None)
        assert await bus.port.next_session(ROLLUP, bus.quiet_seconds) is None

    await session.complete(held)

    assert await bus.port.depth(ROLLUP) == (0, 0)


async def test_a_message_abandoned_in_a_session_is_its_next_again(bus: Rig[Bus]) -> None:
    await publish(bus, "tenant_1", "m1", "m2")
    session = await own(bus.port)
    (held,) = await take(session, 1)

    await session.abandon(held)

    again = await take(session, 2)
    assert ids(again) == ["m1", "m2"]
    assert [m.delivery_count for m in again] == [2, 1]


async def test_a_message_given_up_in_a_session_lets_the_next_one_through(bus: Rig[Bus]) -> None:
    await publish(bus, "tenant_1", "bad", "good")
    session = await own(bus.port)
    for _ in range(FEW_DELIVERIES):
        (held,) = await take(session, 1)
        assert held.message_id == "bad"
        await session.abandon(held)

    assert ids(await take(session, 1)) == ["good"]
    assert [d.message.message_id for d in await bus.port.peek_dead_letters(ROLLUP, 10)] == ["bad"]


async def test_a_message_dead_lettered_in_a_session_is_found_without_one(bus: Rig[Bus]) -> None:
    await publish(bus, "tenant_1", "m1", "m2")
    session = await own(bus.port)
    bad, good = await take(session, 2)
    await session.dead_letter(bad, "unreadable", "not JSON")
    await session.complete([good])
    await session.close()

    dead = await bus.port.receiver(ROLLUP, dead_letters=True)
    (found,) = await take(dead, 1)

    assert (found.message_id, found.session_id, found.body) == ("m1", "tenant_1", bad.body)
    await dead.complete([found])
    assert await bus.port.depth(ROLLUP) == (0, 0)


async def test_competing_owners_receive_every_message_once_and_in_order(bus: Rig[Bus]) -> None:
    clients = [bus.port, await bus.another()]
    for n in range(60):
        await publish(bus, f"tenant_{n % 6}", f"{n:02}")
    seen: dict[str | None, list[str]] = {}
    count = 0

    async def consume(client: Bus) -> None:
        nonlocal count
        while count < 60:
            session = await client.next_session(ROLLUP, 0.05)
            if session is None:
                continue
            batch = await take(session, 1)
            seen.setdefault(session.session_id, []).extend(ids(batch))
            await session.complete(batch)
            count += 1
            await session.close()

    await asyncio.gather(*[consume(client) for client in clients * 3])

    assert seen == {f"tenant_{k}": [f"{n:02}" for n in range(60) if n % 6 == k] for k in range(6)}
