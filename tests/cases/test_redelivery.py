"""Statistics and archive contain each message once, for any order, repetition and run of delivery.

The roll-up reads a topic in memory whose sessions reorder, repeat and delay messages.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from events.sequence_log import KEEP_NUMBERS, KEEP_RANGES, SequenceLog
from events.stats_shard import Shard
from shared.adapters.bus.port import ReceivedMessage
from shared.adapters.documents.port import VIDEO_STATS, Upsert
from tests.events.test_stats_consumer import NOW, TENANT, World, batch
from tests.events.test_stats_consumer_crashes import BEFORE, Died, SteppedBlobs, SteppedDocuments, Steps, end
from tests.events.topic import MemorySession
from tests.parts import stats_consumer


@pytest.fixture(autouse=True)
def _no_secret_is_ever_logged() -> None:
    """Override the log check, which needs one app per module."""


@dataclass
class OddTopic:
    """A topic whose sessions deliver by plan: some messages reordered, some twice, some only to a later owner."""

    inner: Any
    plan: random.Random = field(default_factory=lambda: random.Random(0))
    held_back: frozenset[int] = frozenset()
    repeats: bool = False

    async def next_session(self, *arguments: Any) -> OddSession | None:
        session = await self.inner.next_session(*arguments)
        return None if session is None else OddSession(session, self)


class OddSession:
    def __init__(self, inner: MemorySession, topic: OddTopic) -> None:
        self._inner, self._topic = inner, topic
        self.session_id = inner.session_id

    async def receive(self, max_messages: int, wait_seconds: float) -> list[ReceivedMessage]:
        found = await self._inner.receive(max_messages, wait_seconds)
        found = [each for each in found if each.sequence_number not in self._topic.held_back]
        if self._topic.repeats:
            found = [*found, *(each for each in found if self._topic.plan.random() < 0.5)]
            self._topic.plan.shuffle(found)
        if not found:
            await asyncio.sleep(0)
        return found

    async def complete(self, messages: Sequence[ReceivedMessage]) -> None:
        await self._inner.complete(messages)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@pytest.fixture
async def world(tmp_path: Path) -> World:
    return await _new_world(tmp_path)


async def _new_world(folder: Path) -> World:
    world = World(folder)
    await world.prepare()
    return world


def _send(world: World, count: int, first: int = 0) -> None:
    for number in range(first, first + count):
        world.send(batch(number))
        messages = world.topic.waiting[TENANT]
        messages[max(messages)] = replace(messages[max(messages)], enqueued_at=NOW)


async def _run(world: World, odd: OddTopic, **changed: Any) -> None:
    await stats_consumer(replace(world.services, bus=odd), rest_seconds=0.0, **changed).run()  # type: ignore[arg-type]


async def _check(world: World, count: int) -> None:
    assert (await world.views())[0] == count
    assert Counter(line["batch"] for line in await world.archived()) == {f"{n:032x}": 1 for n in range(count)}
    assert not world.topic.waiting[TENANT]
    assert world.topic.dead == []


async def test_message_that_arrives_after_higher_sequence_numbers_counts(world: World) -> None:
    _send(world, 5)
    await _run(world, OddTopic(world.topic, held_back=frozenset({3})))
    assert (await world.views())[0] == 4
    await _run(world, OddTopic(world.topic))
    await _check(world, 5)
    _send(world, 2, first=5)
    await _run(world, OddTopic(world.topic))
    await _check(world, 7)


async def test_message_received_twice_at_once_counts_once(world: World) -> None:
    _send(world, 3)
    await _run(world, OddTopic(world.topic, repeats=True))
    await _check(world, 3)


async def test_late_message_redelivered_after_counting_counts_once(world: World) -> None:
    _send(world, 5)
    kept = dict(world.topic.waiting[TENANT])
    for held_back in (frozenset({2, 4}), frozenset({4}), frozenset[int]()):
        await _run(world, OddTopic(world.topic, held_back=held_back))
    world.topic.waiting[TENANT] = dict(kept)
    await _run(world, OddTopic(world.topic, repeats=True))
    await _check(world, 5)


async def test_range_of_an_earlier_version_is_known_and_later_ones_by_number(world: World) -> None:
    _send(world, 3)
    kept = dict(world.topic.waiting[TENANT])
    await _run(world, OddTopic(world.topic))
    shard = Shard.of(TENANT, None)
    stored = await world.documents.read(VIDEO_STATS, TENANT, shard.id)
    assert stored is not None
    former = {name: value for name, value in stored.body.items() if name != "sequences"}
    await world.documents.write(VIDEO_STATS, TENANT, [Upsert(former)])
    world.topic.waiting[TENANT] = kept
    _send(world, 3, first=3)
    await _run(world, OddTopic(world.topic, held_back=frozenset({5})))
    await _run(world, OddTopic(world.topic))
    await _check(world, 6)


async def test_message_that_cannot_be_placed_is_dead_lettered_and_not_guessed(world: World) -> None:
    _send(world, 2)
    await _run(world, OddTopic(world.topic, held_back=frozenset({1})))
    shard = Shard.of(TENANT, await world.documents.read(VIDEO_STATS, TENANT, Shard(TENANT).id))
    assert shard.stored is not None
    assert shard.log is not None
    await world.documents.write(
        VIDEO_STATS, TENANT, [Upsert(shard.stored.body | {"sequences": SequenceLog(shard.log.ranges, 1).to_json()})]
    )
    await _run(world, OddTopic(world.topic))
    assert world.topic.dead == [(1, "late")]
    assert (await world.views())[0] == 1


@given(st.lists(st.sets(st.integers(1, 10**15), min_size=1, max_size=40), max_size=80))
def test_log_knows_exactly_what_was_added_or_reports_that_it_cannot_tell(ranges: list[set[int]]) -> None:
    log, told = SequenceLog(), set()
    for numbers in ranges:
        new = numbers - told
        if not new:
            continue
        log = log.with_range(sorted(new), "blob")
        told |= new
    read = SequenceLog.from_json(log.to_json())
    assert read is not None
    numbers, others = sorted(told), sorted({number + 1 for number in told} - told)
    for number, held in zip(numbers, read.holds(numbers), strict=True):
        assert held or number <= read.floor
    assert not any(read.holds(others))
    assert len(read.ranges) <= KEEP_RANGES


def test_memory_of_a_shard_is_bounded() -> None:
    log = SequenceLog()
    for start in range(0, 100_000, 1_000):
        log = log.with_range(range(start * 120 + 1, (start + 1_000) * 120, 120), "b" * 60)
    assert sum(len(each.numbers) for each in log.ranges) <= KEEP_NUMBERS
    assert log.holds([1]) == [False]
    assert log.floor >= 1
    assert len(str(log.to_json())) < 30_000


misfortune = st.tuples(
    st.integers(0, 4), st.sets(st.integers(1, 14), max_size=6), st.booleans(), st.integers(0, 30), st.integers()
)
"""Number of messages; delayed numbers; whether some repeat; the step of the crash; a seed."""


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(misfortune, min_size=1, max_size=6))
def test_each_message_counts_once_under_reordering_repeats_gaps_and_crashes(
    tmp_path_factory: pytest.TempPathFactory, told: list[tuple[int, set[int], bool, int, int]]
) -> None:
    async def tell() -> None:
        world = await _new_world(tmp_path_factory.mktemp("world"))
        sent = 0
        for more, held_back, repeats, dies_at, seed in told:
            _send(world, more, sent)
            sent += more

            async def die() -> None:
                raise Died

            steps = Steps(dies_at, BEFORE, die)
            services = replace(
                world.services,
                bus=OddTopic(world.topic, random.Random(seed), frozenset(held_back), repeats),  # type: ignore[arg-type]
                documents=SteppedDocuments(world.documents, steps),  # type: ignore[arg-type]
                blobs=SteppedBlobs(world.services.blobs, steps),  # type: ignore[arg-type]
            )
            alive = asyncio.all_tasks()
            with contextlib.suppress(Died):
                await stats_consumer(services, rest_seconds=0.0).run()
            await end(asyncio.all_tasks() - alive)
            world.topic.take_away(TENANT)
        world.topic.waiting.setdefault(TENANT, {})
        for _ in range(3):
            await _run(world, OddTopic(world.topic))
        await _check(world, sent)

    asyncio.run(tell())
