"""Contract of every bus: single messages; sessions and dead letters have their own modules."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from shared.adapters.bus.port import (
    DUPLICATE_WINDOW_SECONDS,
    LOCK_SECONDS,
    MAX_MESSAGE_BYTES,
    ROLLUP,
    SIGNALS,
    Bus,
    LockLost,
    OutgoingMessage,
)
from tests.contracts.backends import Rig
from tests.contracts.drain import PATIENCE, drain, ids, message, nothing, take


async def test_a_published_message_reaches_every_subscription(bus: Rig[Bus]) -> None:
    await bus.port.publish(message("m1"))

    assert ids(await drain(bus, SIGNALS, 1)) == ["m1"]
    assert ids(await drain(bus, ROLLUP, 1)) == ["m1"]


async def test_a_message_arrives_as_sent_with_its_delivery_count_and_enqueue_time(bus: Rig[Bus]) -> None:
    body = bytes(range(256)) * 10
    await bus.port.publish(OutgoingMessage("m1", "tenant_1", body))

    (received,) = await take(await bus.port.receiver(SIGNALS), 1)

    assert (received.message_id, received.session_id, received.body) == ("m1", "tenant_1", body)
    assert received.delivery_count == 1
    assert abs(received.enqueued_at - bus.now()) < 5


async def test_sequence_numbers_rise_in_publishing_order(bus: Rig[Bus]) -> None:
    for n in range(5):
        await bus.port.publish(message(f"m{n}"))

    received = sorted(await drain(bus, SIGNALS, 5), key=lambda m: m.sequence_number)

    assert ids(received) == [f"m{n}" for n in range(5)]
    assert len({m.sequence_number for m in received}) == 5


async def test_empty_subscription_returns_an_empty_list(bus: Rig[Bus]) -> None:
    receiver = await bus.port.receiver(SIGNALS)

    assert await receiver.receive(10, bus.quiet_seconds) == []


async def test_receive_returns_no_more_than_requested(bus: Rig[Bus]) -> None:
    for n in range(5):
        await bus.port.publish(message(f"m{n}"))
    receiver = await bus.port.receiver(SIGNALS)

    assert 1 <= len(await receiver.receive(2, PATIENCE)) <= 2


async def test_waiting_receive_returns_when_a_message_is_published(bus: Rig[Bus]) -> None:
    receiver = await bus.port.receiver(SIGNALS)
    waiting = asyncio.create_task(receiver.receive(10, PATIENCE))
    await asyncio.sleep(0.01)

    await bus.port.publish(message("m1"))

    assert ids(await waiting) == ["m1"]


async def test_waiting_receive_returns_when_another_client_publishes(bus: Rig[Bus]) -> None:
    receiver = await (await bus.another()).receiver(SIGNALS)
    waiting = asyncio.create_task(receiver.receive(10, PATIENCE))
    await asyncio.sleep(0.01)

    await bus.port.publish(message("m1"))

    assert ids(await waiting) == ["m1"]


# Locks


async def test_locked_message_is_delivered_to_nobody_else(bus: Rig[Bus]) -> None:
    await bus.port.publish(message("m1"))
    await take(await bus.port.receiver(SIGNALS), 1)

    await nothing(bus, await bus.port.receiver(SIGNALS))
    await nothing(bus, await (await bus.another()).receiver(SIGNALS))


async def test_completed_message_is_never_redelivered(bus: Rig[Bus]) -> None:
    await bus.port.publish(message("m1"))
    receiver = await bus.port.receiver(SIGNALS)
    await receiver.complete(await take(receiver, 1))

    await bus.advance(LOCK_SECONDS + 1)

    await nothing(bus, receiver)
    assert await bus.port.depth(SIGNALS) == (0, 0)


async def test_completing_in_one_subscription_does_not_affect_the_other(bus: Rig[Bus]) -> None:
    await bus.port.publish(message("m1"))

    await drain(bus, SIGNALS, 1)

    assert ids(await drain(bus, ROLLUP, 1)) == ["m1"]


async def test_expired_lock_counts_as_a_failed_delivery_and_the_message_is_redelivered(bus: Rig[Bus]) -> None:
    await bus.port.publish(message("m1"))
    first = await bus.port.receiver(SIGNALS)
    (lost,) = await take(first, 1)
    await bus.advance(LOCK_SECONDS + 1)

    second = await bus.port.receiver(SIGNALS)
    (again,) = await take(second, 1)

    assert (again.message_id, again.delivery_count) == ("m1", 2)
    assert again.sequence_number == lost.sequence_number
    with pytest.raises(LockLost):
        await first.complete([lost])
    await second.complete([again])
    await nothing(bus, second)


async def test_settling_after_lock_expiry_fails_even_if_nobody_took_the_message(bus: Rig[Bus]) -> None:
    for id in ("m1", "m2", "m3", "m4"):
        await bus.port.publish(message(id))
    receiver = await bus.port.receiver(SIGNALS)
    one, two, three, four = await take(receiver, 4)
    await bus.advance(LOCK_SECONDS + 1)

    with pytest.raises(LockLost):
        await receiver.complete([one])
    with pytest.raises(LockLost):
        await receiver.abandon(two)
    with pytest.raises(LockLost):
        await receiver.dead_letter(three, "reason")
    with pytest.raises(LockLost):
        await receiver.renew(four)

    assert sorted(ids(await drain(bus, SIGNALS, 4))) == ["m1", "m2", "m3", "m4"]


async def test_rest_is_settled_when_one_of_several_locks_is_lost(bus: Rig[Bus]) -> None:
    receiver = await bus.port.receiver(SIGNALS)
    await bus.port.publish(message("early"))
    (early,) = await take(receiver, 1)
    await bus.advance(LOCK_SECONDS * 0.75)
    await bus.port.publish(message("late"))
    (late,) = await take(receiver, 1)
    await bus.advance(LOCK_SECONDS * 0.5)

    with pytest.raises(LockLost):
        await receiver.complete([early, late])

    assert ids(await drain(bus, SIGNALS, 1)) == ["early"]


async def test_completing_twice_reports_a_lost_lock(bus: Rig[Bus]) -> None:
    await bus.port.publish(message("m1"))
    receiver = await bus.port.receiver(SIGNALS)
    received = await take(receiver, 1)
    await receiver.complete(received)

    with pytest.raises(LockLost):
        await receiver.complete(received)


async def test_completing_nothing_does_nothing(bus: Rig[Bus]) -> None:
    await (await bus.port.receiver(SIGNALS)).complete([])


async def test_renewed_lock_lasts_for_its_whole_time_again(bus: Rig[Bus]) -> None:
    await bus.port.publish(message("m1"))
    receiver = await bus.port.receiver(SIGNALS)
    (held,) = await take(receiver, 1)
    for _ in range(3):
        await bus.advance(LOCK_SECONDS * 0.75)
        await receiver.renew(held)
        await nothing(bus, await bus.port.receiver(SIGNALS))

    await receiver.complete([held])

    assert await bus.port.depth(SIGNALS) == (0, 0)


async def test_abandoned_message_is_redelivered_at_once_with_its_delivery_counted(bus: Rig[Bus]) -> None:
    await bus.port.publish(message("m1"))
    receiver = await bus.port.receiver(SIGNALS)
    (held,) = await take(receiver, 1)

    await receiver.abandon(held)

    (again,) = await take(await bus.port.receiver(SIGNALS), 1)
    assert (again.message_id, again.delivery_count) == ("m1", 2)


async def test_closing_a_receiver_releases_its_messages(bus: Rig[Bus]) -> None:
    for id in ("m1", "m2"):
        await bus.port.publish(message(id))
    receiver = await bus.port.receiver(SIGNALS)
    one, _ = await take(receiver, 2)
    await receiver.complete([one])
    await receiver.close()
    await receiver.close()

    await bus.advance(LOCK_SECONDS + 1)

    assert ids(await drain(bus, SIGNALS, 1)) == ["m2"]


async def test_closing_a_client_releases_its_unsettled_messages(bus: Rig[Bus]) -> None:
    await bus.port.publish(message("m1"))
    await bus.port.publish(message("m2"))
    await take(await bus.port.receiver(SIGNALS), 1)
    await bus.port.close()
    await bus.port.close()
    await bus.advance(LOCK_SECONDS + 1)

    bus.port = await bus.another()

    assert sorted(ids(await drain(bus, SIGNALS, 2))) == ["m1", "m2"]


async def test_a_message_for_one_subscription_reaches_no_other(bus: Rig[Bus]) -> None:
    await bus.port.publish(replace(message("m1"), to=ROLLUP))
    await bus.port.publish(replace(message("m2"), to=SIGNALS))

    assert ids(await drain(bus, SIGNALS, 1)) == ["m2"]
    assert ids(await drain(bus, ROLLUP, 1)) == ["m1"]


async def test_duplicates_of_a_message_for_one_subscription_are_dropped(bus: Rig[Bus]) -> None:
    for _ in range(3):
        await bus.port.publish(replace(message("m1"), to=ROLLUP))

    assert ids(await drain(bus, ROLLUP, 1)) == ["m1"]


# Duplicates


async def test_duplicate_message_id_within_the_window_is_accepted_and_dropped(bus: Rig[Bus]) -> None:
    await bus.port.publish(message("m1"))
    await bus.port.publish(message("m1"))
    assert ids(await drain(bus, SIGNALS, 1)) == ["m1"]

    await bus.advance(DUPLICATE_WINDOW_SECONDS * 0.5)
    await (await bus.another()).publish(message("m1"))

    await nothing(bus, await bus.port.receiver(SIGNALS))
    assert ids(await drain(bus, ROLLUP, 1)) == ["m1"]


async def test_same_message_id_after_the_window_is_a_new_message(bus: Rig[Bus]) -> None:
    for n in range(6):
        await bus.port.publish(message(f"m{n}"))
    await drain(bus, SIGNALS, 6)

    await bus.advance(DUPLICATE_WINDOW_SECONDS + 5)
    for id in ("m5", "m0", "m5"):
        await bus.port.publish(message(id))

    assert sorted(ids(await drain(bus, SIGNALS, 2))) == ["m0", "m5"]


async def test_concurrent_publishers_of_one_id_yield_one_message(bus: Rig[Bus]) -> None:
    await asyncio.gather(*[bus.port.publish(message("m1")) for _ in range(20)])

    assert ids(await drain(bus, SIGNALS, 1)) == ["m1"]


# Many at once


async def test_many_publishers_and_competing_receivers_lose_and_repeat_nothing(bus: Rig[Bus]) -> None:
    clients = [bus.port, await bus.another()]
    wanted = [f"m{n}" for n in range(120)]
    seen: list[str] = []

    async def publish(part: list[str], client: Bus) -> None:
        for id in part:
            await client.publish(message(id))

    async def consume(client: Bus) -> None:
        receiver = await client.receiver(SIGNALS)
        while len(seen) < len(wanted):
            batch = await receiver.receive(7, 0.05)
            seen.extend(ids(batch))
            await receiver.complete(batch)

    await asyncio.gather(
        *[publish(wanted[n::8], clients[n % 2]) for n in range(8)], *[consume(client) for client in clients * 2]
    )

    assert sorted(seen) == sorted(wanted)
    assert await bus.port.depth(SIGNALS) == (0, 0)
    assert (await bus.port.depth(ROLLUP))[0] == len(wanted)


# Wrong use


async def test_message_above_the_size_limit_is_refused_and_one_at_the_limit_is_not(bus: Rig[Bus]) -> None:
    with pytest.raises(ValueError, match="m1"):
        await bus.port.publish(OutgoingMessage("m1", "tenant_1", b"x" * (MAX_MESSAGE_BYTES + 1)))

    await bus.port.publish(OutgoingMessage("m2", "tenant_1", b"x" * MAX_MESSAGE_BYTES))

    (received,) = await drain(bus, SIGNALS, 1)
    assert len(received.body) == MAX_MESSAGE_BYTES


async def test_opening_a_subscription_in_the_wrong_session_mode_is_refused(bus: Rig[Bus]) -> None:
    with pytest.raises(ValueError, match="session"):
        await bus.port.receiver(ROLLUP)
    with pytest.raises(ValueError, match="session"):
        await bus.port.next_session(SIGNALS, bus.quiet_seconds)
    with pytest.raises(ValueError, match="nowhere"):
        await bus.port.receiver("nowhere")


async def test_ready_can_be_called_at_any_time(bus: Rig[Bus]) -> None:
    await bus.port.ready()
    await bus.port.publish(message("m1"))
    await bus.port.ready()

    assert ids(await drain(bus, SIGNALS, 1)) == ["m1"]
