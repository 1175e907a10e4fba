"""Each event counts once although the fold of several batches dies at any step of its I/O.

The message is redelivered to another process, and events it published reach the statistics once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bootstrap import App
from events.batch import Batch, encode_all
from events.packing import Packer
from events.signals_consumer import HANDED_ON
from shared.adapters.bus.port import OutgoingMessage
from shared.adapters.documents.port import USER_ACTIVITY
from shared.domain.signals_document import from_document
from shared.domain.user_signals import SIGNALS_ID
from tests.events.test_stats_consumer import TENANT, World
from tests.events.test_stats_consumer import batch as one_batch
from tests.events.test_stats_consumer_crashes import AFTER, BEFORE, Died, SteppedDocuments, Steps, end
from tests.parts import signals_consumer

BATCHES = 4


class SteppedBus:
    """Counts publishes as steps."""

    def __init__(self, inner: Any, steps: Steps) -> None:
        self._inner, self._steps = inner, steps

    async def publish(self, message: OutgoingMessage) -> None:
        await self._steps.call(lambda: self._inner.publish(message))


def batches(lone: bool) -> list[Batch]:
    """Batches of one user, or each of its own user."""
    made = (one_batch(n, (n % 5, (n + 1) % 5), trusted=True, quoting=False, decided=False) for n in range(BATCHES))
    return [replace(batch, user_key="user" if lone else f"user-{n}") for n, batch in enumerate(made)]


async def fold(app: App, bus: Any, body: bytes, linger: float) -> None:
    packer = Packer(bus, version=2, linger_seconds=linger, suffix=HANDED_ON)
    await signals_consumer(app, bus=bus, packer=packer, patience_seconds=0.0).handle(body)


async def fold_and_die(world: World, body: bytes, at: int, when: str, linger: float) -> int:
    """Fold once and die at step `at`; return the number of steps."""

    async def happen() -> None:
        raise Died

    steps = Steps(at, when, happen)
    stepped: App = replace(world.services, documents=SteppedDocuments(world.documents, steps))  # type: ignore[arg-type]
    alive = asyncio.all_tasks()
    folding = asyncio.create_task(fold(stepped, SteppedBus(world.topic, steps), body, linger))
    while not folding.done() and not steps.dead:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    folding.cancel()
    with contextlib.suppress(Died, asyncio.CancelledError):
        await folding
    await end(asyncio.all_tasks() - alive)
    return steps.count


@pytest.mark.parametrize("linger", [0.0, 0.005])
@pytest.mark.parametrize("bus_remembers", [True, False])
@pytest.mark.parametrize("lone", [True, False])
@pytest.mark.parametrize("when", [BEFORE, AFTER])
async def test_each_event_counts_once_wherever_the_fold_of_several_batches_dies(
    tmp_path: Path, when: str, lone: bool, bus_remembers: bool, linger: float
) -> None:
    """`bus_remembers`: the message is redelivered within the duplicate detection window."""
    at, told = 0, batches(lone)
    body = encode_all(told)
    while True:
        world = World(tmp_path / str(at))
        await world.prepare()
        steps = await fold_and_die(world, body, at, when, linger)
        if not bus_remembers:
            world.topic.forget()
        for _ in range(2):
            await fold(world.services, world.topic, body, linger)
        await world.rollup.run()
        await check(world, told)
        at += 1
        if at > steps:
            break
    assert at > 2 * BATCHES, "the fold has steps to die at"


async def check(world: World, told: list[Batch]) -> None:
    users = {batch.user_key for batch in told}
    stored = [await world.documents.inner.read(USER_ACTIVITY, user, SIGNALS_ID) for user in users]
    signals = [from_document(document.body) for document in stored if document]
    assert sum(each.events for each in signals if each) == sum(len(batch.events) for batch in told)
    assert Counter(line["batch"] for line in await world.archived()) == {b.id: len(b.events) for b in told}
    assert sum(await world.views()) == sum(len(batch.events) for batch in told)
    assert not world.topic.waiting.get(TENANT)
    assert world.topic.dead_letters == world.topic.dead == []
