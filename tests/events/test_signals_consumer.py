from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bootstrap import App
from events.batch import Batch, decode, encode, encode_all
from events.frame import MARK
from events.packing import Packer
from events.schema import Event
from events.signals_consumer import FOLDS_AT_ONCE, HANDED_ON, MAX_AGE_SECONDS, SignalsConsumer
from shared.adapters.bus.port import ROLLUP, SIGNALS, BusUnavailable
from shared.adapters.documents.port import (
    USER_ACTIVITY,
    VIDEOS,
    Container,
    Delete,
    Document,
    Replace,
    StoreRefused,
    StoreUnavailable,
    Upsert,
    query_all,
)
from shared.domain.fingerprint import fingerprint
from shared.domain.signals_document import from_document
from shared.domain.user_signals import SIGNALS_ID, Signals
from tests.events.topic import MemoryTopic, services_on
from tests.faulty_documents import FaultyDocuments, Trouble
from tests.memory_documents import MemoryDocuments
from tests.parts import signals_consumer
from tests.served_app import make_video

NOW = 1_700_000_000.0
TENANT, USER = "tenant_1", "user-key"


class World:
    """A consumer on an in-memory store, topic and clock."""

    def __init__(self, folder: Path) -> None:
        self.now = NOW
        self.documents = FaultyDocuments(MemoryDocuments(lambda: self.now))
        self.topic = MemoryTopic()
        self.services: App = services_on(self.documents, self.topic, lambda: self.now, folder)

    def consumer(self) -> SignalsConsumer:
        """Return a new worker that shares no lock with others."""
        return signals_consumer(self.services)

    async def signals(self, user: str = USER) -> Signals | None:
        found = await self.documents.inner.read(USER_ACTIVITY, user, SIGNALS_ID)
        return from_document(found.body) if found else None

    async def views(self) -> int:
        signals = await self.signals()
        return int(signals.daily["views"].sum()) if signals else 0

    def handed_on(self) -> Counter[int]:
        """Return how often each event was published to the roll-up."""
        return Counter(
            event.identity
            for message in self.topic.published
            if message.to == ROLLUP
            for batch in decode(message.body)
            for event in batch.events
        )


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def batch(number: int, size: int = 3, accepted_at: float = NOW, user: str = USER, first: int | None = None) -> bytes:
    """A batch of views; `first` numbers its first event, so batches can overlap."""
    start = number * size if first is None else first
    events = tuple(
        Event("video_view", f"v{n % 7}", int(NOW * 1000) - 1_000 * n, fingerprint(f"event {n}"), watch_ms=1_000.0)
        for n in range(start, start + size)
    )
    return encode(Batch(f"{number:032x}", TENANT, user, accepted_at, events))


async def test_redelivered_folded_message_is_a_duplicate(world: World) -> None:
    worker = world.consumer()
    assert [await worker.handle(batch(1)) for _ in range(3)] == ["folded", "duplicate", "duplicate"]
    assert await world.views() == 3
    assert world.services.telemetry.counters["batches_folded", ("duplicate",)] == 2


async def test_two_workers_fold_a_message_once_and_all_messages_of_a_user(world: World) -> None:
    first, second = world.consumer(), world.consumer()
    deliveries = [worker.handle(batch(n)) for n in range(10) for worker in (first, second)]
    outcomes = Counter(await asyncio.gather(*deliveries))
    assert outcomes == {"folded": 10, "duplicate": 10}
    assert await world.views() == 30


@pytest.mark.parametrize("cuts", [1, 2])
async def test_applied_write_reported_as_failed_is_found_by_its_marker(world: World, cuts: int) -> None:
    worker = world.consumer()
    await worker.handle(batch(1))
    with world.documents.in_trouble(Trouble(frozenset({USER_ACTIVITY.name}), cut_after_write=cuts)):
        assert await worker.handle(batch(2)) == "duplicate"
    assert await world.views() == 6
    assert set(world.handed_on().values()) == {1}


async def test_lasting_store_outage_returns_the_message(world: World) -> None:
    with world.documents.in_trouble(Trouble(writes_fail=True)) as trouble:
        handling = asyncio.create_task(world.consumer().handle(batch(1)))
        while not world.services.telemetry.counters["store_failures", ("fold",)]:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        world.now += world.services.settings.fold_patience_seconds
        with pytest.raises(StoreUnavailable):
            await handling
        trouble.writes_fail = False
    assert await world.consumer().handle(batch(1)) == "folded"


async def test_repacked_message_publishes_only_its_new_events(world: World) -> None:
    worker = world.consumer()
    await worker.handle(batch(1, size=10, first=0))
    await worker.handle(batch(2, size=10, first=6))
    assert await worker.handle(batch(3, size=10, first=3)) == "nothing_new"
    assert await world.views() == 16
    assert world.handed_on() == {fingerprint(f"event {n}"): 1 for n in range(16)}


async def test_publish_cut_midway_publishes_each_event_once(world: World) -> None:
    worker = world.consumer()
    await worker.handle(batch(1, size=10, first=0))
    world.topic.publish_fails = 3
    assert await worker.handle(batch(2, size=10, first=6)) == "folded"
    assert world.handed_on() == {fingerprint(f"event {n}"): 1 for n in range(16)}


async def test_bus_outage_returns_the_message_and_the_retry_publishes_the_same_events(
    world: World,
) -> None:
    worker = world.consumer()
    await worker.handle(batch(1, size=10, first=0))
    world.topic.publish_fails = 1_000_000
    handling = asyncio.create_task(worker.handle(batch(2, size=10, first=6)))
    while not world.services.telemetry.counters["bus_failures", ("fold",)]:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    world.now += world.services.settings.fold_patience_seconds
    with pytest.raises(BusUnavailable):
        await handling
    world.topic.publish_fails = 0
    assert await worker.handle(batch(2, size=10, first=6)) == "duplicate"
    assert world.handed_on() == {fingerprint(f"event {n}"): 1 for n in range(16)}


async def test_client_copy_of_a_folded_batch_days_later_publishes_nothing(world: World) -> None:
    worker = world.consumer()
    await worker.handle(batch(1))
    world.now += 10 * 86_400
    assert await worker.handle(batch(1, accepted_at=world.now)) == "duplicate"
    assert set(world.handed_on().values()) == {1}


async def test_message_older_than_any_marker_is_refused(world: World) -> None:
    await world.consumer().handle(batch(1))
    world.now += MAX_AGE_SECONDS + 1
    assert await world.consumer().handle(batch(1)) == "too_old"
    assert await world.views() == 3


async def test_marker_outlives_every_message_it_can_meet(world: World) -> None:
    worker = world.consumer()
    await worker.handle(batch(1))
    world.now += MAX_AGE_SECONDS - 1
    assert await worker.handle(batch(1)) == "duplicate"


async def test_signals_name_the_tenant_of_everything_in_the_partition(world: World) -> None:
    await world.consumer().handle(batch(1))
    stored = await query_all(world.documents, USER_ACTIVITY, USER)
    assert {document.id for document in stored} == {SIGNALS_ID, f"batch:{1:032x}"}
    assert [document.body["tenantId"] for document in stored if document.id == SIGNALS_ID] == [TENANT]


async def test_marker_of_an_older_release_is_recognized(world: World, tmp_path: Path) -> None:
    await world.consumer().handle(batch(1))
    stored = await world.documents.read(USER_ACTIVITY, USER, f"batch:{1:032x}")
    assert stored is not None
    older = stored.body | {"kind": "marker", "tenantId": TENANT}
    await world.documents.write(USER_ACTIVITY, USER, [Replace(older, stored.etag)])
    world.topic = MemoryTopic()
    world.services = services_on(world.documents, world.topic, lambda: world.now, tmp_path)
    assert await world.consumer().handle(batch(1)) == "duplicate"
    assert len(world.handed_on()) == 3, "its events are handed on, in case the first delivery did not come so far"


async def test_marker_holds_only_fields_that_are_read(world: World) -> None:
    await world.consumer().handle(batch(1))
    marker = await world.documents.read(USER_ACTIVITY, USER, f"batch:{1:032x}")
    assert marker is not None
    assert set(marker.body) <= {"id", "ttl", "userKey", "acceptedAt", "fresh", "counted"}
    assert len(orjson.dumps(marker.body)) < 200


@pytest.mark.parametrize("body", [b"", b"{}", b'{"v": 0}', b"\xff", batch(1)[:-1]])
async def test_an_unreadable_message_is_dead_lettered_with_a_reason(world: World, body: bytes) -> None:
    for _ in range(2):
        assert await world.consumer().handle(body) == "unreadable"
    ids = {id for id, _ in world.topic.dead_letters}
    assert len(ids) == 1, "the same body is the same dead letter"
    assert {reason for _, reason in world.topic.dead_letters} == {"unreadable"}
    assert world.services.telemetry.counters["messages_set_aside", (SIGNALS, "unreadable")] == 2


@pytest.mark.parametrize("body", [b'{"v": 3}', bytes([MARK, 3, 0, 0, 1, 0]), bytes([MARK, 2, 3, 1, 1, 0])])
async def test_message_of_a_newer_version_is_an_outage_and_is_redelivered(world: World, body: bytes) -> None:
    with pytest.raises(BusUnavailable):
        await signals_consumer(world.services, patience_seconds=0.0).handle(body)
    assert world.topic.dead_letters == []
    assert world.services.telemetry.counters["bus_failures", ("newer_message",)] == 1


async def test_bad_batch_of_a_message_is_dead_lettered_alone(world: World) -> None:
    (first,), (second,), (third,) = (decode(batch(n, user=f"user{n}", first=10 * n)) for n in (1, 2, 3))
    body = encode_all([first, replace(second, user_key="no/key"), third])
    for outcome in ("folded", "duplicate"):
        assert await world.consumer().handle(body) == outcome
    assert [await world.signals(f"user{n}") is None for n in (1, 2, 3)] == [False, True, False]
    assert {reason for _, reason in world.topic.dead_letters} == {"unreadable"}
    assert len({id for id, _ in world.topic.dead_letters}) == 1
    assert sorted(world.handed_on().values()) == [1] * 6


def pack(*numbers: int, users: int = 1_000) -> bytes:
    """A message of several batches, each of its own user unless there are few."""
    batches = [decode(batch(n, user=f"user{n % users}", first=10 * n))[0] for n in numbers]
    return encode_all(batches)


async def test_batches_of_a_message_are_folded_concurrently(world: World) -> None:
    """Each fold waits in the store until all of them do."""
    waiting, all_wait = 0, asyncio.Event()
    write = world.documents.write

    async def write_together(*arguments: Any) -> list[str | None]:
        nonlocal waiting
        waiting += 1
        if waiting == 4:
            all_wait.set()
        await asyncio.wait_for(all_wait.wait(), 5)
        return await write(*arguments)

    world.documents.write = write_together  # type: ignore[method-assign]
    assert await world.consumer().handle(pack(1, 2, 3, 4)) == "folded"
    assert sorted(world.handed_on().values()) == [1] * 12


async def test_batches_of_one_user_in_a_message_are_folded_in_sequence(world: World) -> None:
    assert await world.consumer().handle(pack(1, 2, 3, 4, users=1)) == "folded"
    signals = await world.signals("user0")
    assert signals is not None
    assert signals.events == 12
    assert world.services.telemetry.counters["fold_conflicts", ()] == 0


async def test_concurrent_store_calls_stay_within_the_limit(world: World) -> None:
    at_once = most = 0
    read = world.documents.read

    async def read_slowly(container: Container, *arguments: Any, **named: Any) -> Document | None:
        nonlocal at_once, most
        if container is not USER_ACTIVITY:
            return await read(container, *arguments, **named)
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.001)
        at_once -= 1
        return await read(container, *arguments, **named)

    world.documents.read = read_slowly  # type: ignore[method-assign]
    consumer = world.consumer()
    packs = [pack(*range(20 * n, 20 * n + 20)) for n in range(5)]
    assert await asyncio.gather(*(consumer.handle(each) for each in packs)) == ["folded"] * 5
    assert most == FOLDS_AT_ONCE


async def test_batch_that_must_wait_returns_the_message_and_the_rest_cost_nothing(world: World) -> None:
    newer = {"id": SIGNALS_ID, "kind": "signals", "v": 4, "packed": "b3Ro", "updatedAt": NOW}
    await world.documents.write(USER_ACTIVITY, "user2", [Upsert(newer)])
    consumer = signals_consumer(world.services, patience_seconds=0.0)
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await consumer.handle(pack(1, 2, 3))
    assert sorted(world.handed_on().values()) == [1] * 6
    await world.documents.write(USER_ACTIVITY, "user2", [Delete(SIGNALS_ID)])
    written = world.documents.writes
    await consumer.handle(pack(1, 2, 3))
    assert world.documents.writes == written + 1, "the others are known as done without a look at the store"
    assert sorted(world.handed_on().values()) == [1] * 9
    assert world.topic.dead_letters == []
    assert await world.consumer().handle(pack(1, 2, 3)) == "duplicate"
    assert {identity: times for identity, times in world.handed_on().items() if times != 1} == {}


async def test_redelivery_to_another_process_is_published_as_repeated(world: World) -> None:
    await world.consumer().handle(pack(1, 2))
    world.topic.published.clear()
    world.topic.forget()
    written = world.documents.writes
    assert await world.consumer().handle(pack(1, 2)) == "duplicate"
    assert world.documents.writes == written, "nothing is written for a batch that is known"
    assert [each.again for message in world.topic.published for each in decode(message.body)] == [True, True]


@pytest.mark.parametrize("reason", ["refused", "failed"])
async def test_failing_batch_of_a_message_is_dead_lettered_alone(world: World, reason: str) -> None:
    write = world.documents.write

    async def fails_for_one(container: Container, partition: str, operations: Any) -> list[str | None]:
        if partition == "user2":
            raise StoreRefused("for ever") if reason == "refused" else RuntimeError
        return await write(container, partition, operations)

    world.documents.write = fails_for_one  # type: ignore[method-assign]
    await world.consumer().handle(pack(1, 2, 3))
    assert [why for _, why in world.topic.dead_letters] == [reason]
    (letter,) = world.topic.letters
    assert [each.user_key for each in decode(letter.body)] == ["user2"]
    assert sorted(world.handed_on().values()) == [1] * 6


async def test_publish_of_several_batches_cut_midway_publishes_each_event_once(world: World) -> None:
    packer = Packer(world.topic, version=2, linger_seconds=0.005, suffix=HANDED_ON)  # type: ignore[arg-type]
    world.topic.publish_fails = 3
    assert await signals_consumer(world.services, packer=packer).handle(pack(1, 2, 3, 4)) == "folded"
    assert sorted(world.handed_on().values()) == [1] * 12
    messages = [message for message in world.topic.published if message.to == ROLLUP]
    assert len(messages) == 2, "one at once, and one for all that came in its linger"
    assert all(message.message_id.endswith(HANDED_ON) for message in messages)


async def test_batches_republished_after_an_outage_are_marked_as_repeated(world: World) -> None:
    packer = Packer(world.topic, version=2, linger_seconds=0.005, suffix=HANDED_ON)  # type: ignore[arg-type]
    world.topic.publish_fails = 1_000
    impatient = signals_consumer(world.services, packer=packer, patience_seconds=0.0)
    with pytest.raises(BusUnavailable):
        await impatient.handle(pack(1, 2, 3))
    taken = {each.id for message in world.topic.published for each in decode(message.body)}
    assert len(taken) == 3, "the bus had them, and did not say so"
    world.topic.publish_fails = 0
    world.topic.published.clear()
    for number in (3, 1, 2):
        await impatient.handle(pack(number))
    again = [each for message in world.topic.published for each in decode(message.body)]
    assert [each.again for each in again] == [True, True], "what was alone before has the id it had, and is dropped"


async def test_client_copy_in_another_message_publishes_nothing(world: World) -> None:
    """The first message's confirmation was lost, so each client resent its batch, which was packed with others."""
    first = [replace(decode(batch(n, user=f"user{n}"))[0], accepted_at=NOW) for n in (1, 2)]
    copies = [replace(each, accepted_at=NOW + 3) for each in first]
    stranger = decode(batch(9, user="user9"))[0]
    bodies = [encode_all(first), encode_all([copies[0], stranger]), encode_all([copies[1]])]
    for order in ([0, 1, 2], [2, 1, 0]):
        for at in order:
            await world.consumer().handle(bodies[at])
    assert len(world.handed_on()) == 9
    assert set(world.handed_on().values()) == {1}
    for user in ("user1", "user2", "user9"):
        signals = await world.signals(user)
        assert signals is not None
        assert signals.events == 3


async def test_unreadable_stored_document_starts_afresh_and_is_reported(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await world.documents.write(USER_ACTIVITY, USER, [Upsert({"id": SIGNALS_ID, "packed": "odd", "updatedAt": 1})])
    assert await world.consumer().handle(batch(1)) == "folded"
    assert await world.views() == 3
    assert world.services.telemetry.counters["store_failures", ("unreadable_signals",)] == 1
    assert USER not in caplog.text


async def test_document_of_a_newer_version_is_an_outage_and_stays_unchanged(world: World) -> None:
    newer = {"id": SIGNALS_ID, "kind": "signals", "v": 4, "packed": "b3Ro", "updatedAt": NOW}
    await world.documents.write(USER_ACTIVITY, USER, [Upsert(newer)])
    impatient = signals_consumer(world.services, patience_seconds=0.0)
    with pytest.raises(StoreUnavailable):
        await impatient.handle(batch(1))
    found = await world.documents.inner.read(USER_ACTIVITY, USER, SIGNALS_ID)
    assert found is not None
    assert {name: found.body[name] for name in newer} == newer
    assert world.topic.dead_letters == []
    assert world.services.telemetry.counters["store_failures", ("newer_signals",)] == 1


@pytest.mark.parametrize("stored", ["lost", "erased"])
async def test_pages_served_before_signals_were_lost_or_erased_no_longer_count(world: World, stored: str) -> None:
    gone = {
        "lost": {"kind": "signals", "packed": "odd", "updatedAt": 1},
        "erased": {"kind": "erased", "erasedAt": NOW - 10, "tenantId": TENANT},
    }[stored]
    await world.documents.write(USER_ACTIVITY, USER, [Upsert({"id": SIGNALS_ID, **gone})])
    assert await world.consumer().handle(batch(1)) == "folded"
    signals = await world.signals()
    assert signals is not None
    assert signals.counted.oldest == (NOW if stored == "lost" else NOW - 10)


async def test_facts_come_from_the_tenants_own_videos(world: World) -> None:
    for tenant, category in ((TENANT, "fitness"), ("tenant_2", "cooking")):
        documents = [Upsert(make_video(f"v{n}", category).to_document()) for n in range(7)]
        await world.documents.write(VIDEOS, tenant, documents)
    await world.consumer().handle(batch(0))
    signals = await world.signals()
    assert signals is not None
    assert signals.categories.keys.tolist() == [fingerprint("fitness")]
    assert world.services.telemetry.counters["events_unknown_video", (TENANT,)] == 0


async def test_events_about_unknown_videos_are_counted(world: World) -> None:
    await world.consumer().handle(batch(0))
    assert world.services.telemetry.counters["events_unknown_video", (TENANT,)] == 3


deliveries = st.lists(
    st.tuples(st.integers(0, 59), st.sampled_from(["", "cut", "down", "bus"])), min_size=1, max_size=120
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(deliveries)
def test_every_batch_counts_once_however_deliveries_fail_and_repeat(
    tmp_path: Path, story: list[tuple[int, str]]
) -> None:
    """With far more events than the ring of identities holds, so only the markers prevent double counting."""

    async def tell() -> None:
        world = World(tmp_path)
        workers = [world.consumer(), world.consumer()]
        for turn, (number, failure) in enumerate(story):
            worker = workers[turn % 2]
            trouble = Trouble(frozenset({USER_ACTIVITY.name}), cut_after_write=int(failure == "cut"))
            world.topic.publish_fails = int(failure == "bus")
            with world.documents.in_trouble(trouble):
                try:
                    await worker.handle(batch(number, size=5))
                except BusUnavailable:
                    await worker.handle(batch(number, size=5))
            world.topic.publish_fails = 0
        delivered = {number for number, _ in story}
        assert await world.views() == 5 * len(delivered)
        assert world.handed_on() == {fingerprint(f"event {5 * n + k}"): 1 for n in delivered for k in range(5)}

    asyncio.run(tell())
