"""An unreadable message blocks no session, erasure, list, replay or sweep.

Runs the served app on the embedded bus; bodies that only Service Bus can carry (no bytes) go through the SDK to our
test broker.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient
from azure.servicebus.amqp import AmqpAnnotatedMessage
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from commands.replay_dead_letters import replay
from events import shard_writer
from events.batch import Batch, decode, encode
from events.dead_letters import all_dead_letters, purge_dead_letters_of, sweep
from events.frame import NewerMessage, UnreadableBatch
from events.schema import Event
from events.set_aside import CUT_BYTES
from shared.adapters.bus.port import MAX_MESSAGE_BYTES, ROLLUP, SIGNALS, SUBSCRIPTIONS, TOPIC, OutgoingMessage
from shared.adapters.bus.servicebus import ServiceBusBus
from shared.adapters.bus.servicebus_layout import DEAD_LETTER_REASON, ORIGINAL_ID, dead_letter_queue
from shared.adapters.documents.port import USER_ACTIVITY, StoreRefused
from shared.domain.feed_receipt import FeedReceipt
from shared.domain.fingerprint import fingerprint
from tests.emulators.broker_here import broker_of_user_events
from tests.emulators.clock import MovableClock
from tests.events.test_stats_consumer import NOW, TENANT, World, batch
from tests.events.topic import MemoryTopic, services_on
from tests.faulty_documents import Trouble
from tests.memory_documents import MemoryDocuments
from tests.served_app import App, make_videos, served

ODD_FIELDS: list[tuple[int, Any]] = [
    (0, -1), (0, True), (0, 999), (1, "a/b"), (1, ""), (1, None), (2, "soon"), (2, -1), (2, 1e300), (3, 2**40),
    (4, "abc"), (4, -1.0), (4, 1e300), (4, True), (4, [1]), (5, "first"), (5, 1.5), (6, 1), (6, -1), (6, "0"),
]  # fmt: skip
"""Position in a row of `encode`, and a value that decodes as JSON but is invalid there."""


@pytest_asyncio.fixture(loop_scope="function")
async def app(tmp_path: Path) -> AsyncIterator[App]:
    async with served(tmp_path) as app:
        yield app


@pytest.fixture(autouse=True)
def _no_secret_is_ever_logged() -> None:
    """Override the log check, which needs one app per module."""


def odd(place: int, value: Any) -> bytes:
    """A batch with an invalid value in one field."""
    raw = orjson.loads(encode(batch(77)))
    raw["events"][0][place] = value
    return orjson.dumps(raw)


@pytest.mark.parametrize(("place", "value"), ODD_FIELDS)
def test_every_field_of_an_event_is_checked_when_its_batch_is_decoded(place: int, value: Any) -> None:
    with pytest.raises(UnreadableBatch):
        decode(odd(place, value))


@pytest.mark.parametrize(
    ("name", "value"),
    [("id", ""), ("id", 7), ("tenant", "a/b"), ("user", "u/../v"), ("acceptedAt", True), ("acceptedAt", "now")],
)
def test_every_field_of_a_batch_is_checked_when_it_is_decoded(name: str, value: Any) -> None:
    with pytest.raises(UnreadableBatch):
        decode(orjson.dumps(orjson.loads(encode(batch(77))) | {name: value}))


def test_quoted_receipt_with_an_invalid_value_makes_its_batch_unreadable() -> None:
    receipt = FeedReceipt(int(NOW), True, True, propensity=float("1e9"))
    event = Event("like", "v1", int(NOW * 1000), 1, request=0)
    with pytest.raises(UnreadableBatch):
        decode(encode(Batch("f" * 32, TENANT, "user", NOW, (event,), (receipt,))))


@hypothesis_settings(max_examples=25)
@given(st.binary(max_size=40))
def test_bytes_that_are_no_batch_are_unreadable(body: bytes) -> None:
    with pytest.raises((UnreadableBatch, NewerMessage)):
        decode(body)


@pytest.mark.parametrize("body", [odd(4, "abc"), odd(6, -1), b"", b"{}", b"\xff" * 10, b"[" * 5_000])
async def test_unreadable_message_of_a_session_is_dead_lettered_and_the_rest_counts(
    tmp_path: Path, body: bytes
) -> None:
    world = World(tmp_path)
    await world.prepare()
    world.send(batch(1))
    world.topic.put(OutgoingMessage("odd", TENANT, body))
    world.send(batch(2))
    await world.rollup.run()
    assert (await world.views())[0] == 2
    assert [reason for _, reason in world.topic.dead] == ["unreadable"]
    assert not world.topic.waiting[TENANT]
    assert world.services.telemetry.counters["messages_set_aside", (ROLLUP, "unreadable")] == 1


class Defect:
    """Makes `stat_events` of the roll-up fail for the batches named, or for any number of them above `most`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *names: str, most: int = 1_000) -> None:
        self.names, self.most = set(names), most
        self._add = shard_writer.stat_events
        monkeypatch.setattr(shard_writer, "stat_events", self)

    def __call__(self, batches: list[Batch], *arguments: Any) -> Any:
        if len(batches) > self.most or self.names & {each.id for each in batches}:
            raise ZeroDivisionError
        return self._add(batches, *arguments)


async def test_batch_that_fails_alone_is_dead_lettered_from_its_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On an unexpected error each batch is tried alone; the one at fault is dead-lettered, the others count once."""
    world = World(tmp_path)
    await world.prepare()
    for number in range(1, 6):
        world.send(batch(number))
    Defect(monkeypatch, batch(3).id)
    assert await world.rollup.run() == 4
    assert (await world.views())[0] == 4
    assert [reason for _, reason in world.topic.dead] == ["failed"]
    assert not world.topic.waiting[TENANT]
    assert {line["batch"] for line in await world.archived()} == {batch(n).id for n in (1, 2, 4, 5)}
    counters = world.services.telemetry.counters
    assert counters["messages_set_aside", (ROLLUP, "failed")] == 1
    assert counters["batches_rolled_up", ("added",)] == 4


async def test_batches_that_fail_only_together_stay_on_the_bus_for_a_later_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No batch is at fault, so none is dead-lettered: the session waits until it works."""
    world = World(tmp_path)
    await world.prepare()
    for number in range(1, 4):
        world.send(batch(number))
    defect = Defect(monkeypatch, most=1)
    assert await world.rollup.run() == 0
    assert len(world.topic.waiting[TENANT]) == 3
    assert not world.topic.dead
    assert world.services.telemetry.gauges["rollup_sessions_parked", ()] == 1
    defect.most = 1_000
    assert await world.rollup.run() == 3
    assert (await world.views())[0] == 3
    assert world.services.telemetry.gauges["rollup_sessions_parked", ()] == 0


async def test_batch_that_cannot_be_folded_is_dead_lettered_with_a_reason(tmp_path: Path) -> None:
    """The store refuses one user's document permanently, or processing it fails: the batch is not redelivered for
    days."""
    for defect, reason in ((StoreRefused("too large"), "refused"), (ZeroDivisionError(), "failed")):
        world = World(tmp_path)
        await world.prepare()
        consumer = world.services.signals_consumer
        with world.documents.in_trouble(Trouble(frozenset({USER_ACTIVITY.name}), frozenset({"user-1"}), defect=defect)):
            assert await consumer.handle(encode(batch(1))) == reason
            assert await consumer.handle(encode(batch(2))) == "folded"
        assert [said for _, said in world.topic.dead_letters] == [reason]
        assert world.services.telemetry.counters["messages_set_aside", (SIGNALS, reason)] == 1


async def test_unreadable_message_above_the_bus_limit_is_dead_lettered_truncated(tmp_path: Path) -> None:
    bodies: list[bytes] = []

    class Topic(MemoryTopic):
        async def dead_letter(self, subscription: str, message: OutgoingMessage, *why: str) -> None:
            bodies.append(message.body)
            await super().dead_letter(subscription, message, *why)

    services = services_on(MemoryDocuments(), Topic(), lambda: NOW, tmp_path)
    assert await services.signals_consumer.handle(b"x" * (MAX_MESSAGE_BYTES + 1)) == "unreadable"
    assert [len(body) for body in bodies] == [CUT_BYTES]


async def test_unreadable_dead_letter_blocks_no_erasure_list_replay_or_sweep(app: App) -> None:
    client = await app.tenant(make_videos(5))
    tenant, bus = client.tenant_id, app.services.bus
    of_user = Batch("a" * 32, tenant, client.user_key, app.clock.now(), (_like(app),))
    of_other = Batch("b" * 32, tenant, "somebody", app.clock.now(), (_like(app),))
    for subscription in SUBSCRIPTIONS:
        for number, body in enumerate((b"", b"\x00 odd", odd(4, "abc"), encode(of_user), encode(of_other))):
            await bus.dead_letter(subscription, OutgoingMessage(f"m{number}", tenant, body), "why")
    answer = await app.request("POST", "/v1/privacy/erase", {**client.with_key(app.ops_key).headers})
    assert answer.status == 200
    assert answer.json["deleted"]["deadLetters"] == len(SUBSCRIPTIONS)
    said: list[str] = []
    letters = [letter async for letter in all_dead_letters(bus, SIGNALS)]
    assert await replay(app.services, SIGNALS, letters, say=said.append) == 1
    assert said[-1] == "1 of 4 replayed to signals"
    assert await app.services.sweep_dead_letters() == 0
    assert len([letter async for letter in all_dead_letters(bus, SIGNALS)]) == 3


def _like(app: App) -> Event:
    return Event("like", "vid_fitness_1", app.now_ms(), fingerprint("like"))


@pytest.fixture
def broker() -> Iterator[Any]:
    with broker_of_user_events(MovableClock()) as broker:
        yield broker


FOREIGN: list[dict[str, Any]] = [
    {"value_body": {"hello": [1, 2.5, None]}},
    {"value_body": "text"},
    {"sequence_body": [[1, "two"], [3]]},
    {"data_body": [b""]},
]
"""Message bodies of other programs."""


async def _send(broker: Any, path: str, messages: list[Any]) -> None:
    async with ServiceBusClient.from_connection_string(broker.connection_string) as client:
        sender = client.get_topic_sender(path) if path == TOPIC else client.get_queue_sender(path)
        async with sender:
            for message in messages:
                await sender.send_messages(message)


async def test_non_binary_bodies_are_received_as_unreadable_among_good_ones(broker: Any) -> None:
    """A session of the roll-up, through the SDK: a value, a sequence and no body, each between good messages."""
    first, last = (ServiceBusMessage(encode(batch(1)), session_id=TENANT, message_id=id) for id in "az")
    foreign = [
        AmqpAnnotatedMessage(**body, properties={"group_id": TENANT, "message_id": f"foreign {number}"})
        for number, body in enumerate(FOREIGN)
    ]
    await _send(broker, TOPIC, [first, *foreign, last])
    bus = ServiceBusBus(connection_string=broker.connection_string, call_seconds=30)
    session = await bus.next_session(ROLLUP, 20)
    assert session is not None
    bodies: list[bytes] = []
    while len(bodies) < len(FOREIGN) + 2:
        received = await session.receive(100, 5)
        bodies += [message.body for message in received]
        for message in received:
            try:
                decode(message.body)
            except UnreadableBatch as error:
                await session.dead_letter(message, "unreadable", str(error))
            else:
                await session.complete([message])
    assert [body == encode(batch(1)) for body in bodies] == [True, *([False] * len(FOREIGN)), True]
    await session.close()
    letters = [letter async for letter in all_dead_letters(bus, ROLLUP)]
    assert [letter.reason for letter in letters] == ["unreadable"] * len(FOREIGN)
    await bus.close()


async def test_non_binary_dead_letters_block_neither_erasure_nor_sweep(broker: Any, tmp_path: Path) -> None:
    mine = ServiceBusMessage(encode(batch(1)), message_id="mine")
    odd_properties = ServiceBusMessage(
        b"odd", message_id="odd", application_properties={DEAD_LETTER_REASON: 7, ORIGINAL_ID: 1.5}
    )
    foreign = [AmqpAnnotatedMessage(**body) for body in FOREIGN]
    await _send(broker, dead_letter_queue(SIGNALS), [*foreign, odd_properties, mine])
    bus = ServiceBusBus(connection_string=broker.connection_string, call_seconds=30)
    services = services_on(MemoryDocuments(lambda: NOW), bus, lambda: NOW, tmp_path)  # type: ignore[arg-type]
    listed = [letter async for letter in all_dead_letters(bus, SIGNALS)]
    assert len(listed) == len(FOREIGN) + 2
    said: list[str] = []
    assert await replay(services, SIGNALS, listed, dry_run=True, say=said.append) == 1
    assert sum("unreadable" in line for line in said) == len(FOREIGN) + 1
    assert await purge_dead_letters_of(bus, "user-1", NOW) == 1
    assert await sweep(bus, services.documents, services.tenants, services.telemetry, NOW) == 0
    assert len([letter async for letter in all_dead_letters(bus, SIGNALS)]) == len(FOREIGN) + 1
    await bus.close()
