"""A batch that the fold publishes again, however late, counts once and is archived once.

The bus detects duplicates for an hour. After that, a batch redelivered to the fold is published again, and the bus
cannot tell whether the first copy arrived.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from commands.replay_dead_letters import replay
from events.added_batches import PREFIX
from events.batch import decode, encode, encode_all, marked_again
from feed.catalog import _stored_statistics
from shared.adapters.bus.port import ROLLUP, OutgoingMessage
from shared.adapters.documents.port import VIDEO_STATS, query_all
from shared.adapters.flags.evaluation import ARCHIVE
from shared.adapters.tenant_directory import save_tenant
from shared.domain.records import Tenant
from tests.events.test_dead_letters import World as LettersWorld
from tests.events.test_stats_consumer import TENANT, World, batch
from tests.events.test_stats_consumer_crashes import AFTER, BEFORE, DIE, work

COPIES = st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.booleans()), min_size=1, max_size=8)
"""(batch number, whether the roll-up runs afterwards, format version) of each copy."""
FIRST_COPIES = st.tuples(*[st.integers(0, 3)] * 4)
"""For each batch, the index of the copy (or the last) that the first delivery published: it is not marked."""


@pytest.fixture(autouse=True)
def _no_secret_is_ever_logged() -> None:
    """Override the log check, which needs one app per module."""


@pytest.fixture
async def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    await world.prepare()
    return world


def send(world: World, number: int, *, again: bool, version: int = 1) -> None:
    body = encode(replace(batch(number), again=again), version)
    world.topic.put(OutgoingMessage(f"{number:032x}.rollup", TENANT, body))


async def check(world: World, numbers: set[int]) -> None:
    assert (await world.views())[0] == len(numbers)
    assert Counter(line["batch"] for line in await world.archived()) == {f"{n:032x}": 1 for n in numbers}
    assert not world.topic.waiting[TENANT]
    assert world.topic.dead == []


async def test_repeated_batch_that_had_arrived_counts_once(world: World) -> None:
    send(world, 1, again=False)
    await world.rollup.run()
    for _ in range(2):
        send(world, 1, again=True)
        await world.rollup.run()
    await check(world, {1})
    assert world.services.telemetry.counters["batches_rolled_up", ("again",)] > 0


async def test_repeated_batch_that_had_not_arrived_counts(world: World) -> None:
    send(world, 1, again=False)
    await world.rollup.run()
    send(world, 2, again=True)
    send(world, 2, again=True)
    await world.rollup.run()
    await check(world, {1, 2})


async def test_first_copy_that_arrives_last_counts_once(world: World) -> None:
    send(world, 1, again=True)
    await world.rollup.run()
    send(world, 1, again=False)
    send(world, 2, again=False)
    await world.rollup.run()
    await check(world, {1, 2})
    assert world.services.telemetry.counters["batches_rolled_up", ("again",)] == 1


async def test_repeated_batch_counts_once_without_an_archive(world: World) -> None:
    await save_tenant(world.documents, Tenant(TENANT, feature_flags={ARCHIVE: False}))
    await world.services.tenants_refresher.refresh()
    for again in (False, True, True):
        send(world, 1, again=again)
        await world.rollup.run()
    assert (await world.views())[0] == 1
    assert await world.archived() == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(copies=COPIES, first_copies=FIRST_COPIES)
def test_each_batch_counts_once_in_any_order_of_copies(
    tmp_path: Path, copies: list[tuple[int, bool, bool]], first_copies: tuple[int, ...]
) -> None:
    async def tell() -> None:
        world = World(tmp_path)
        await world.prepare()
        of_each = Counter(number for number, _, _ in copies)
        sent: Counter[int] = Counter()
        for number, run, framed in copies:
            first = sent[number] == min(first_copies[number], of_each[number] - 1)
            send(world, number, again=not first, version=2 if framed else 1)
            sent[number] += 1
            if run:
                await world.rollup.run()
        await world.rollup.run()
        assert (await world.views())[0] == len(sent)
        assert not world.topic.waiting[TENANT]

    asyncio.run(tell())


@pytest.mark.parametrize("when", [BEFORE, AFTER])
async def test_each_batch_counts_once_wherever_the_roll_up_dies(tmp_path: Path, when: str) -> None:
    for at in range(30):
        world = World(tmp_path / f"{at}")
        await world.prepare()
        send(world, 1, again=True)
        await world.rollup.run()
        for number, again in ((1, True), (1, False), (2, True), (3, False), (3, True)):
            send(world, number, again=again)
        steps = await work(world, at, when, DIE)
        await world.rollup.run()
        await check(world, {1, 2, 3})
        if at >= steps:
            return
    raise AssertionError("it never came to an end")


def test_marking_a_message_as_repeated_changes_nothing_else() -> None:
    first, second = batch(1), batch(2)
    assert decode(marked_again(encode(first))) == (replace(first, again=True),)
    both = decode(marked_again(encode_all([first, second])))
    assert both == (replace(first, again=True), replace(second, again=True))
    assert decode(encode(first)) == (first,)


async def test_replayed_dead_letter_of_the_roll_up_is_marked_as_repeated(tmp_path: Path) -> None:
    world = LettersWorld(tmp_path)
    await world.bury(batch(1), ROLLUP)
    letters = await world.letters(ROLLUP)
    assert await replay(world.services, ROLLUP, letters, say=world.said.append) == 0
    session = await world.bus.next_session(ROLLUP, 1.0)
    assert session is not None
    (message,) = await session.receive(10, 1.0)
    assert [each.again for each in decode(message.body)] == [True]


async def test_loading_a_tenant_for_a_feed_reads_no_batch_names(world: World) -> None:
    send(world, 1, again=False)
    await world.rollup.run()
    names = await query_all(world.documents, VIDEO_STATS, TENANT, PREFIX)
    assert len(names) == 1
    loaded = await _stored_statistics(world.documents, TENANT)
    assert [document.id for document in loaded] == [f"stats:{TENANT}"]
