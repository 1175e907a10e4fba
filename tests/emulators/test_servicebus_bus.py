"""The Service Bus adapter keeps its promises when the service or the network misbehaves (against our test broker)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from shared.adapters.bus.port import NO_SESSION, ROLLUP, SIGNALS, TOPIC, BusUnavailable, LockLost, OutgoingMessage
from shared.adapters.bus.servicebus import ServiceBusBus
from tests.emulators.faults import AFTER, BEFORE, Fault
from tests.emulators.servicebus import wire

SEND, OPEN = f"send {TOPIC}", f"open {TOPIC}"
LINK_DETACHED = "amqp:link:detach-forced"


def message(id: str, session: str = "tenant", body: bytes = b"events") -> OutgoingMessage:
    return OutgoingMessage(id, session, body)


def in_subscription(broker: Any, subscription: str = SIGNALS) -> list[str]:
    """Return the ids of the messages in a subscription."""
    queue = broker.namespace.queues[f"{TOPIC}/subscriptions/{subscription}"]
    return broker.call(lambda: [stored.message_id for stored in queue.messages.values()])


def close_senders(broker: Any) -> None:
    """Close idle sender links, as the service does after ten minutes."""
    from proton import Condition

    def close() -> None:
        for attached in [a for a in broker._links.values() if a.kind == "send"]:
            attached.link.condition = Condition(LINK_DETACHED, "The link was inactive for more than 10 minutes.")
            attached.link.close()
            del broker._links[attached.link]

    broker.call(close)


async def test_message_carries_only_properties_that_are_read(broker, bus):
    """A message to the fold has its id and target, one to the roll-up also its session."""
    id, body = "f" * 32, b"x" * 100
    await bus.publish(OutgoingMessage(id, NO_SESSION, body, SIGNALS))
    await bus.publish(OutgoingMessage(f"{id}.rollup", "tenant", body, ROLLUP))
    queues = broker.namespace.queues
    stored = {
        name: broker.call(lambda queue=queues[f"{TOPIC}/subscriptions/{name}"]: list(queue.messages.values()))
        for name in (SIGNALS, ROLLUP)
    }
    beside = {name: len(found[0].raw) - len(body) for name, found in stored.items()}
    assert beside == {SIGNALS: 81, ROLLUP: 94}
    for found in stored.values():
        codes = [code for code, _ in wire.sections(found[0].raw)]
        assert codes == [wire.PROPERTIES, wire.APPLICATION_PROPERTIES, wire.DATA]


async def test_nothing_connects_before_the_first_use(broker, bus):
    await asyncio.sleep(0.1)
    assert broker.faults.requests == []


async def test_concurrent_requests_share_one_sender_and_few_batches(broker, bus):
    await bus.ready()
    await asyncio.gather(*(bus.publish(message(f"m{i}", f"tenant-{i % 7}")) for i in range(100)))
    assert broker.faults.count(OPEN) == 1
    assert broker.faults.count(SEND) <= 3
    assert in_subscription(broker) == [f"m{i}" for i in range(100)]
    assert in_subscription(broker, ROLLUP) == [f"m{i}" for i in range(100)]


async def test_sender_is_opened_before_the_first_request(broker, bus):
    await bus.ready()
    opened = broker.faults.count(OPEN)
    await bus.publish(message("m"))
    assert broker.faults.count(OPEN) == opened == 1


async def test_message_above_the_batch_limit_is_sent_alone(broker, bus):
    bodies = [b"x" * 100_000, b"y" * 400_000, b"z" * 100]
    await asyncio.gather(*(bus.publish(message(f"m{i}", body=body)) for i, body in enumerate(bodies)))
    assert sorted(in_subscription(broker)) == ["m0", "m1", "m2"]


async def test_link_closed_for_idleness_is_replaced_unnoticed(broker, bus):
    await bus.publish(message("before"))
    close_senders(broker)
    await bus.publish(message("after"))
    assert in_subscription(broker) == ["before", "after"]


@pytest.mark.parametrize("when", [BEFORE, AFTER])
async def test_a_connection_cut_during_a_send_neither_loses_nor_doubles_the_message(broker, bus, when):
    await bus.ready()
    broker.faults.add(Fault(SEND, cut=when))
    await bus.publish(message("m"))
    assert broker.faults.count(SEND) == 2
    assert in_subscription(broker) == ["m"]


async def test_briefly_busy_bus_is_retried(broker, bus):
    broker.faults.add(Fault(SEND, condition="com.microsoft:server-busy"))
    await bus.publish(message("m"))
    assert in_subscription(broker) == ["m"]


async def test_bus_that_stays_busy_is_unavailable_with_retry_after(broker, bus):
    broker.faults.add(Fault(SEND, condition="com.microsoft:server-busy", times=None))
    with pytest.raises(BusUnavailable) as raised:
        await bus.publish(message("m"))
    assert raised.value.retry_after_seconds
    assert in_subscription(broker) == []


async def test_a_bus_that_does_not_confirm_in_time_is_unavailable(broker):
    impatient = ServiceBusBus(connection_string=broker.connection_string, publish_budget_seconds=3)
    await impatient.ready()
    broker.faults.add(Fault(SEND, delay=2, times=None))
    with pytest.raises(BusUnavailable) as raised:
        await impatient.publish(message("m"))
    assert raised.value.retry_after_seconds
    await impatient.close()


async def test_bus_recovers_from_ten_minutes_of_outage_without_restart(broker, bus, clock):
    await bus.publish(message("before"))
    broker.faults.go_down(600)
    broker.call(broker.tick)
    with pytest.raises(BusUnavailable):
        await bus.publish(message("during"))
    clock.advance(601)
    broker.call(broker.tick)
    await bus.publish(message("after"))
    assert in_subscription(broker) == ["before", "after"]


async def test_a_bus_that_is_down_at_the_start_is_found_later(broker, bus):
    broker.refuse()
    with pytest.raises(BusUnavailable):
        await bus.ready()
    broker.accept()
    await bus.publish(message("m"))
    assert in_subscription(broker) == ["m"]


async def test_lock_reported_as_lost_is_lost_and_the_rest_are_settled(broker, bus):
    for id in ("a", "b", "c"):
        await bus.publish(message(id))
    receiver = await bus.receiver(SIGNALS)
    held = await receiver.receive(3, 5)
    while len(held) < 3:
        held += await receiver.receive(3 - len(held), 5)
    broker.faults.add(Fault("settle", condition="com.microsoft:message-lock-lost"))
    with pytest.raises(LockLost):
        await receiver.complete(held)
    assert in_subscription(broker) == [held[0].message_id]


async def session_with(bus, number: int) -> tuple[Any, list[Any]]:
    """A session that holds so many messages, and these."""
    await asyncio.gather(*(bus.publish(OutgoingMessage(f"m{i}", "tenant", b"events", ROLLUP)) for i in range(number)))
    session, held = await bus.next_session(ROLLUP, 5), []
    while len(held) < number:
        held += await session.receive(number - len(held), 5)
    return session, held


def frames_of(session: Any) -> list[int]:
    """Record how many messages each settlement frame covers."""
    link, sizes = session._receiver._handler._link, []
    send = link.send_disposition

    async def counted(*, first_delivery_id, last_delivery_id=None, **named):
        sizes.append((last_delivery_id or first_delivery_id) - first_delivery_id + 1)
        await send(first_delivery_id=first_delivery_id, last_delivery_id=last_delivery_id, **named)

    link.send_disposition = counted
    return sizes


async def test_consecutive_session_messages_are_settled_by_few_frames(broker, bus):
    session, held = await session_with(bus, 450)
    sizes = frames_of(session)
    await session.complete(held)
    assert sizes == [200, 200, 50]
    assert in_subscription(broker, ROLLUP) == []


async def test_message_left_out_is_not_settled_with_its_neighbors(broker, bus):
    session, held = await session_with(bus, 9)
    await session.complete([each for each in held if each is not held[4]])
    assert in_subscription(broker, ROLLUP) == [held[4].message_id]


async def test_message_whose_lock_is_lost_is_reported_and_the_others_are_settled(broker, bus):
    session, held = await session_with(bus, 9)
    broker.faults.add(Fault("settle", condition="com.microsoft:message-lock-lost"))
    with pytest.raises(LockLost):
        await session.complete(held)
    assert len(in_subscription(broker, ROLLUP)) == 1


async def test_unconfirmed_range_is_redelivered_and_settled_one_by_one(broker):
    bus = ServiceBusBus(connection_string=broker.connection_string, publish_budget_seconds=200, call_seconds=10)
    session, held = await session_with(bus, 9)
    broker.faults.add(Fault("settle", stall=True))
    with pytest.raises(BusUnavailable):
        await session.complete(held)
    await session.close()
    again = await bus.next_session(ROLLUP, 5)
    held = await again.receive(9, 5)
    sizes = frames_of(again)
    await again.complete(held)
    assert sizes == [1] * len(held)
    assert in_subscription(broker, ROLLUP) == []
    await bus.close()


async def test_messages_held_when_the_connection_was_cut_are_redelivered(broker, bus):
    await bus.publish(message("m"))
    receiver = await bus.receiver(SIGNALS)
    held = await receiver.receive(1, 5)
    broker.faults.add(Fault("settle", cut=BEFORE))
    with pytest.raises((BusUnavailable, LockLost)):
        await receiver.complete(held)
    assert in_subscription(broker) == ["m"]


async def test_session_with_a_cut_connection_is_lost_and_free_for_others(broker, bus):
    await bus.publish(message("m"))
    session = await bus.next_session(ROLLUP, 5)
    held = await session.receive(1, 5)
    broker.refuse()
    with pytest.raises((BusUnavailable, LockLost)):
        await session.receive(1, 1)
    broker.accept()
    for call in (session.complete(held), session.renew(), session.receive(1, 0.1)):
        with pytest.raises(LockLost):
            await call
    again = await bus.next_session(ROLLUP, 5)
    assert again.session_id == "tenant"
    assert [m.message_id for m in await again.receive(1, 5)] == ["m"]


async def test_dead_letters_of_the_consumer_and_of_the_service_are_in_one_place(broker, bus):
    await bus.dead_letter(SIGNALS, message("odd"), "unreadable", "no such version")
    await bus.publish(message("bad"))
    receiver = await bus.receiver(SIGNALS)
    [held] = await receiver.receive(1, 5)
    await receiver.dead_letter(held, "broken", "really")
    found = await bus.peek_dead_letters(SIGNALS, 10)
    assert [(d.message.message_id, d.reason, d.description) for d in found] == [
        ("odd", "unreadable", "no such version"),
        ("bad", "broken", "really"),
    ]
    assert await bus.peek_dead_letters(ROLLUP, 10) == []


async def test_a_replayed_message_keeps_its_id_and_is_not_taken_for_a_duplicate(broker, bus):
    await bus.publish(message("m"))
    await bus.resend(SIGNALS, message("m"))
    receiver = await bus.receiver(SIGNALS)
    held = await receiver.receive(10, 5)
    while len(held) < 2:
        held += await receiver.receive(10, 5)
    assert [m.message_id for m in held] == ["m", "m"]
    assert in_subscription(broker, ROLLUP) == ["m"]


async def test_wrong_key_is_reported_as_unavailable_and_not_shown(broker):
    wrong = broker.connection_string.replace("SAS_KEY_VALUE", "not-the-key")
    stranger = ServiceBusBus(connection_string=wrong, call_seconds=60)
    with pytest.raises(BusUnavailable) as raised:
        await stranger.ready()
    assert "not-the-key" not in str(raised.value)
    await stranger.close()


def test_bus_without_credentials_is_refused():
    with pytest.raises(ValueError, match="either"):
        ServiceBusBus()
    with pytest.raises(ValueError, match="credential"):
        ServiceBusBus(namespace="example.servicebus.windows.net")
