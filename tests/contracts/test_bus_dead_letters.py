"""Contract of every bus: dead letters and their replay."""

from __future__ import annotations

from shared.adapters.bus.port import (
    LOCK_SECONDS,
    MESSAGE_TTL_SECONDS,
    ROLLUP,
    SIGNALS,
    Bus,
    OutgoingMessage,
)
from tests.contracts.backends import FEW_DELIVERIES, Rig
from tests.contracts.drain import drain, ids, message, nothing, take


async def dead_ids(rig: Rig[Bus], subscription: str) -> list[str]:
    return [dead.message.message_id for dead in await rig.port.peek_dead_letters(subscription, 100)]


async def test_dead_letter_keeps_its_content_and_reason_and_is_not_redelivered(bus: Rig[Bus]) -> None:
    await bus.port.publish(OutgoingMessage("m1", "tenant_1", b"{not json"))
    receiver = await bus.port.receiver(SIGNALS)
    (held,) = await take(receiver, 1)

    await receiver.dead_letter(held, "unreadable", "expected a JSON object")

    await bus.advance(LOCK_SECONDS + 1)
    await nothing(bus, receiver)
    (dead,) = await bus.port.peek_dead_letters(SIGNALS, 10)
    assert (dead.reason, dead.description) == ("unreadable", "expected a JSON object")
    assert (dead.message.message_id, dead.message.session_id) == ("m1", "tenant_1")
    assert dead.message.body == b"{not json"


async def test_dead_letter_of_one_subscription_stays_a_message_of_the_other(bus: Rig[Bus]) -> None:
    await bus.port.publish(message("m1"))
    receiver = await bus.port.receiver(SIGNALS)
    await receiver.dead_letter((await take(receiver, 1))[0], "reason")

    assert await dead_ids(bus, ROLLUP) == []
    assert ids(await drain(bus, ROLLUP, 1)) == ["m1"]
    assert await dead_ids(bus, SIGNALS) == ["m1"]


async def test_message_abandoned_ten_times_is_dead_lettered(bus: Rig[Bus]) -> None:
    await bus.port.publish(message("m1"))
    receiver = await bus.port.receiver(SIGNALS)
    counts = []
    for _ in range(FEW_DELIVERIES):
        (held,) = await take(receiver, 1)
        counts.append(held.delivery_count)
        await receiver.abandon(held)

    assert counts == list(range(1, FEW_DELIVERIES + 1))
    (dead,) = await bus.port.peek_dead_letters(SIGNALS, 10)
    assert (dead.message.message_id, dead.reason) == ("m1", "MaxDeliveryCountExceeded")
    await nothing(bus, receiver)


async def test_message_whose_lock_expired_ten_times_is_dead_lettered(bus: Rig[Bus]) -> None:
    await bus.port.publish(message("m1"))
    for _ in range(FEW_DELIVERIES):
        await take(await bus.port.receiver(SIGNALS), 1)
        await bus.advance(LOCK_SECONDS + 1)

    await nothing(bus, await bus.port.receiver(SIGNALS))

    (dead,) = await bus.port.peek_dead_letters(SIGNALS, 10)
    assert (dead.message.message_id, dead.reason) == ("m1", "MaxDeliveryCountExceeded")


async def test_the_tenth_delivery_can_still_succeed(bus: Rig[Bus]) -> None:
    await bus.port.publish(message("m1"))
    receiver = await bus.port.receiver(SIGNALS)
    for _ in range(FEW_DELIVERIES - 1):
        await receiver.abandon((await take(receiver, 1))[0])

    await receiver.complete(await take(receiver, 1))

    assert await bus.port.depth(SIGNALS) == (0, 0)


async def test_expired_message_is_dead_lettered(
    bus: Rig[Bus],
) -> None:
    await bus.port.publish(message("old"))
    await bus.advance(MESSAGE_TTL_SECONDS - 60)
    await bus.port.publish(message("young"))
    await bus.advance(120)

    assert ids(await drain(bus, SIGNALS, 1)) == ["young"]
    assert ids(await drain(bus, ROLLUP, 1)) == ["young"]
    for subscription in (SIGNALS, ROLLUP):
        (dead,) = await bus.port.peek_dead_letters(subscription, 10)
        assert (dead.message.message_id, dead.reason) == ("old", "TTLExpiredException")


async def test_peek_pages_by_sequence_number_and_locks_nothing(bus: Rig[Bus]) -> None:
    for n in range(5):
        await bus.port.dead_letter(SIGNALS, message(f"m{n}"), f"reason {n}")

    first = await bus.port.peek_dead_letters(SIGNALS, 3)
    rest = await bus.port.peek_dead_letters(SIGNALS, 3, after=first[-1].message.sequence_number)

    numbers = [dead.message.sequence_number for dead in first + rest]
    assert numbers == sorted(set(numbers))
    assert [dead.reason for dead in first + rest] == [f"reason {n}" for n in range(5)]
    assert await bus.port.peek_dead_letters(SIGNALS, 3, after=numbers[-1]) == []
    assert len(await take(await bus.port.receiver(SIGNALS, dead_letters=True), 5)) == 5


async def test_dead_letter_is_received_under_lock_and_completed(bus: Rig[Bus]) -> None:
    for n in range(2):
        await bus.port.dead_letter(SIGNALS, message(f"m{n}"), "reason")
    receiver = await bus.port.receiver(SIGNALS, dead_letters=True)
    one, two = await take(receiver, 2)
    await nothing(bus, await bus.port.receiver(SIGNALS, dead_letters=True))

    await receiver.complete([one])
    await receiver.abandon(two)

    assert await dead_ids(bus, SIGNALS) == [two.message_id]


async def test_dead_letter_never_expires_however_often_it_was_peeked(bus: Rig[Bus]) -> None:
    await bus.port.dead_letter(SIGNALS, message("m1"), "reason")
    receiver = await bus.port.receiver(SIGNALS, dead_letters=True)
    for _ in range(FEW_DELIVERIES + 2):
        await receiver.abandon((await take(receiver, 1))[0])
    await bus.advance(MESSAGE_TTL_SECONDS * 2)

    assert ids(await take(receiver, 1)) == ["m1"]


async def test_a_dead_lettered_message_is_in_that_subscription_alone(bus: Rig[Bus]) -> None:
    await bus.port.dead_letter(ROLLUP, message("m1"), "unreadable", "no such schema version")

    (dead,) = await bus.port.peek_dead_letters(ROLLUP, 10)
    assert (dead.reason, dead.description) == ("unreadable", "no such schema version")
    assert dead.message.body == message("m1").body
    assert await bus.port.depth(ROLLUP) == (0, 1)
    assert await bus.port.depth(SIGNALS) == (0, 0)
    assert await drain(bus, SIGNALS, 0) == []
    assert await drain(bus, ROLLUP, 0) == []


async def test_dead_lettering_a_new_message_is_not_taken_for_a_duplicate(bus: Rig[Bus]) -> None:
    await bus.port.publish(message("m1"))

    await bus.port.dead_letter(SIGNALS, message("m1"), "reason")

    assert len(await dead_ids(bus, SIGNALS)) == 1
    assert ids(await drain(bus, SIGNALS, 1)) == ["m1"]


async def test_reasons_are_truncated_to_what_every_bus_keeps(bus: Rig[Bus]) -> None:
    await bus.port.publish(message("m1"))
    receiver = await bus.port.receiver(SIGNALS)

    await receiver.dead_letter((await take(receiver, 1))[0], "r" * 5000, "d" * 5000)
    await bus.port.dead_letter(SIGNALS, message("m2"), "r" * 5000, "d" * 5000)

    for dead in await bus.port.peek_dead_letters(SIGNALS, 10):
        assert (dead.reason, dead.description) == ("r" * 4096, "d" * 4096)


async def test_message_republished_to_one_subscription_reaches_it_alone(
    bus: Rig[Bus],
) -> None:
    await bus.port.publish(message("m1", "tenant_7"))
    await drain(bus, SIGNALS, 1)
    await drain(bus, ROLLUP, 1)

    await bus.port.resend(SIGNALS, message("m1", "tenant_7"))

    (again,) = await drain(bus, SIGNALS, 1)
    assert (again.session_id, again.body, again.delivery_count) == ("tenant_7", message("m1").body, 1)
    assert await drain(bus, ROLLUP, 0) == []


async def test_republished_message_joins_its_session(bus: Rig[Bus]) -> None:
    await bus.port.publish(message("m1", "tenant_7"))

    await bus.port.resend(ROLLUP, message("m0", "tenant_7"))

    assert [m.body for m in await drain(bus, ROLLUP, 2)] == [message("m1").body, message("m0").body]
    assert len(await drain(bus, SIGNALS, 1)) == 1


async def test_depth_separates_active_from_dead_messages(bus: Rig[Bus]) -> None:
    for n in range(3):
        await bus.port.publish(message(f"m{n}"))
    receiver = await bus.port.receiver(SIGNALS)
    await receiver.dead_letter((await take(receiver, 1))[0], "reason")

    assert await bus.port.depth(SIGNALS) == (2, 1)
    assert await bus.port.depth(ROLLUP) == (3, 0)


async def test_oldest_message_is_known_until_it_is_settled_whoever_locks_it(bus: Rig[Bus]) -> None:
    assert await bus.port.oldest(SIGNALS) is None
    await bus.port.publish(message("m1", "tenant_1"))
    await bus.advance(LOCK_SECONDS / 2)
    await bus.port.publish(message("m2", "tenant_2"))
    receiver = await bus.port.receiver(SIGNALS)
    held = await take(receiver, 2)
    first, in_sessions = await bus.port.oldest(SIGNALS), await bus.port.oldest(ROLLUP)
    assert first is not None
    assert in_sessions is not None
    assert abs(first - held[0].enqueued_at) < 0.01
    assert abs(first - in_sessions) < 0.01
    await receiver.complete(held[:1])
    second = await bus.port.oldest(SIGNALS)
    assert second is not None
    assert second - first > LOCK_SECONDS / 2 - 1
    await receiver.complete(held[1:])
    assert await bus.port.oldest(SIGNALS) is None
