"""The nightly learning queue: one message per tenant, sent once, processed and retried alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from commands.replay_dead_letters import replay
from events.dead_letters import all_dead_letters, purge_dead_letters_of_tenant
from learning.queue import GIVE_UP_SECONDS, LearningQueue
from shared.adapters.blobs.port import BlobsUnavailable
from shared.adapters.bus.port import LEARNING, NO_SESSION, ROLLUP, SIGNALS, OutgoingMessage
from shared.domain.learning_message import decode, encode
from shared.domain.records import Tenant
from tests.learning.generated_nights import AT_NIGHT, DAY, START, Generated, day_named, generated

NIGHT = day_named(0)


class Learning:
    """Stands for the nightly learning; fails for some tenants."""

    def __init__(self) -> None:
        self.ran: list[tuple[str, str]] = []
        self.fails: dict[str, Exception] = {}

    async def run(self, tenant_id: str, night: str) -> str:
        self.ran.append((tenant_id, night))
        if tenant_id in self.fails:
            raise self.fails[tenant_id]
        return "learned"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Generated]:
    world = generated(tmp_path)
    for tenant_id in ("a", "b", "c"):
        await world.change(Tenant(tenant_id, "R"))
    world.to_night_after(0)
    yield world
    await world.app.close()


def queue_of(world: Generated, learning: Any) -> LearningQueue:
    app = world.app
    return LearningQueue(
        bus=app.bus,
        tenants=app.tenants,
        learning=learning,
        telemetry=app.telemetry,
        clock=app.clock,
        elapsed=app.elapsed,
    )


async def test_timer_sends_one_message_per_tenant_and_none_twice(world: Generated) -> None:
    queue = queue_of(world, Learning())
    assert await queue.send_all() == 3
    assert await queue.send_all() == 3
    assert (await world.app.bus.depth(LEARNING))[0] == 3
    assert (await world.app.bus.depth(SIGNALS), await world.app.bus.depth(ROLLUP)) == ((0, 0), (0, 0))


async def test_event_messages_do_not_reach_the_learning_queue(world: Generated) -> None:
    await world.app.bus.publish(OutgoingMessage("m", "a", b"events"))
    assert await world.app.bus.depth(LEARNING) == (0, 0)


async def test_failing_tenant_stops_no_other_and_is_retried_alone(
    world: Generated, caplog: pytest.LogCaptureFixture
) -> None:
    learning = Learning()
    learning.fails = {"a": BlobsUnavailable("cut off"), "b": ZeroDivisionError("of one tenant")}
    queue = queue_of(world, learning)
    await queue.send_all()
    assert await queue.work() == 1
    assert sorted(learning.ran) == [("a", NIGHT), ("b", NIGHT), ("c", NIGHT)]
    assert world.app.telemetry.counters["learning_runs", ("failed",)] == 2
    assert "of one tenant" not in caplog.text
    learning.fails, learning.ran = {}, []
    assert await queue.work() == 2
    assert sorted(learning.ran) == [("a", NIGHT), ("b", NIGHT)]
    assert await world.app.bus.depth(LEARNING) == (0, 0)


async def test_failing_night_is_dead_lettered_after_two_hours_and_can_be_replayed(world: Generated) -> None:
    learning = Learning()
    learning.fails = {"b": BlobsUnavailable("cut off")}
    queue = queue_of(world, learning)
    await queue.send_all()
    await queue.work()
    world._clock[0] += GIVE_UP_SECONDS + 1
    await queue.work()
    assert await world.app.bus.depth(LEARNING) == (0, 1)
    letters = [letter async for letter in all_dead_letters(world.app.bus, LEARNING)]
    assert [letter.reason for letter in letters] == ["failed"]
    said: list[str] = []
    assert await replay(world.app, LEARNING, letters, say=said.append) == 0
    assert "the night" in said[0]
    assert await world.app.bus.depth(LEARNING) == (1, 0)
    learning.fails = {}
    assert await queue.work() == 1


async def test_unreadable_message_is_dead_lettered_at_once(world: Generated) -> None:
    await world.app.bus.publish(OutgoingMessage("odd", NO_SESSION, b"no json", LEARNING))
    learning = Learning()
    await queue_of(world, learning).work()
    assert (learning.ran, await world.app.bus.depth(LEARNING)) == ([], (0, 1))


async def test_night_that_takes_too_long_is_abandoned(world: Generated) -> None:
    class Slow(Learning):
        async def run(self, tenant_id: str, night: str) -> str:
            await asyncio.sleep(5)
            return "learned"

    queue = queue_of(world, Slow())
    queue._night_seconds = 0.01
    await queue.send_all()
    assert await queue.work() == 0
    assert (await world.app.bus.depth(LEARNING))[0] == 3


async def test_dead_letters_of_a_removed_tenant_are_deleted(world: Generated) -> None:
    for tenant_id in ("a", "b"):
        letter = OutgoingMessage(tenant_id, NO_SESSION, encode(tenant_id, NIGHT, START), LEARNING)
        await world.app.bus.dead_letter(LEARNING, letter, "failed")
    assert await purge_dead_letters_of_tenant(world.app.bus, "a") == 1
    left = [decode(letter.message.body) async for letter in all_dead_letters(world.app.bus, LEARNING)]
    assert left == [("b", NIGHT, START)]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"v":2,"tenant":"a","night":"n","sentAt":1}', b"\xff"])
def test_other_bodies_are_no_learning_messages(body: bytes) -> None:
    assert decode(body) is None


async def test_timers_train_a_tenant_from_its_sample(tmp_path: Path) -> None:
    world = generated(tmp_path)
    await world.begin()
    await world.sample_day(0)
    world._clock[0] = START + DAY + AT_NIGHT
    await world.app.nightly()
    await world.app.learn()
    served = await world.served()
    assert served is not None
    assert served.popularity == f"auto-{NIGHT}"
    await world.app.close()
