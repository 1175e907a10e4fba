"""The roll-up dies, or loses its session to another owner, at every step of its I/O."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bootstrap import App
from cms.videos.daily_figures import read_days
from shared.adapters.blobs.port import BlobInfo
from shared.adapters.bus.port import ReceivedMessage
from shared.adapters.documents.port import Document, Page
from tests.events.test_sample import sample
from tests.events.test_stats_consumer import NOW, TENANT, World, batch
from tests.events.topic import MemorySession
from tests.parts import stats_consumer

BEFORE, AFTER = "before", "after"
DIE, OVERTAKEN = "die", "overtaken"
MESSAGES = 6
_numbers = itertools.count(1_000)


class Died(BaseException):
    """The process died; nothing catches this."""


@dataclass
class Steps:
    """Counts calls that leave the process and acts at the one numbered `at`. After a death it makes no more calls."""

    at: int
    when: str
    happen: Callable[[], Awaitable[None]]
    count: int = 0
    dead: bool = False

    async def call(self, call: Callable[[], Awaitable[Any]]) -> Any:
        if self.dead:
            raise Died
        number = self.count
        self.count += 1
        if number == self.at and self.when == BEFORE:
            await self._happens()
        result = await call()
        if number == self.at and self.when == AFTER:
            await self._happens()
        return result

    async def _happens(self) -> None:
        try:
            await self.happen()
        except Died:
            self.dead = True
            raise


class SteppedDocuments:
    def __init__(self, inner: Any, steps: Steps) -> None:
        self._inner, self._steps = inner, steps

    async def read(self, *arguments: Any, **named: Any) -> Document | None:
        found: Document | None = await self._steps.call(lambda: self._inner.read(*arguments, **named))
        return found

    async def query(self, *arguments: Any, **named: Any) -> Page:
        page: Page = await self._steps.call(lambda: self._inner.query(*arguments, **named))
        return page

    async def write(self, *arguments: Any) -> list[str | None]:
        etags: list[str | None] = await self._steps.call(lambda: self._inner.write(*arguments))
        return etags


class SteppedBlobs:
    def __init__(self, inner: Any, steps: Steps) -> None:
        self._inner, self._steps = inner, steps

    async def write(self, *arguments: Any) -> None:
        await self._steps.call(lambda: self._inner.write(*arguments))

    async def read(self, *arguments: Any) -> bytes | None:
        found: bytes | None = await self._steps.call(lambda: self._inner.read(*arguments))
        return found

    async def ready(self) -> None:
        await self._steps.call(self._inner.ready)

    async def list(self, *arguments: Any) -> AsyncIterator[BlobInfo]:
        async for blob in self._inner.list(*arguments):
            yield blob


class SteppedTopic:
    """A topic whose sessions return `portion` messages and then, for a while, none, like a slow link."""

    def __init__(self, inner: Any, steps: Steps, portion: int) -> None:
        self._inner, self._steps, self._portion = inner, steps, portion

    async def next_session(self, *arguments: Any) -> SteppedSession | None:
        session = await self._inner.next_session(*arguments)
        return None if session is None else SteppedSession(session, self._steps, self._portion)


class SteppedSession:
    def __init__(self, inner: MemorySession, steps: Steps, portion: int) -> None:
        self._inner, self._steps, self._left = inner, steps, portion
        self.session_id = inner.session_id

    async def receive(self, max_messages: int, wait_seconds: float) -> list[ReceivedMessage]:
        taken: list[ReceivedMessage] = await self._steps.call(lambda: self._inner.receive(self._left, wait_seconds))
        self._left -= len(taken)
        if not taken:
            await asyncio.sleep(0)
        return taken

    async def complete(self, messages: Sequence[ReceivedMessage]) -> None:
        """Complete messages one by one: a process can die in between."""
        for message in messages:
            await self._steps.call(lambda message=message: self._inner.complete([message]))  # type: ignore[misc]

    async def renew(self) -> None:
        await self._inner.renew()

    async def dead_letter(self, *arguments: Any) -> None:
        await self._inner.dead_letter(*arguments)

    async def close(self) -> None:
        await self._inner.close()


async def work(world: World, at: int, when: str, what: str, portion: int = 1_000) -> int:
    """Run a roll-up to which `what` happens at step `at`; return the number of steps."""

    async def happen() -> None:
        world.topic.take_away(TENANT)
        if what == DIE:
            raise Died
        world.send(batch(next(_numbers), (0, 1)))
        await stats_consumer(world.services, rest_seconds=0.0).run()

    steps = Steps(at, when, happen)
    stepped: App = replace(
        world.services,
        documents=SteppedDocuments(world.documents, steps),  # type: ignore[arg-type]
        blobs=SteppedBlobs(world.services.blobs, steps),  # type: ignore[arg-type]
        bus=SteppedTopic(world.topic, steps, portion),  # type: ignore[arg-type]
    )
    alive = asyncio.all_tasks()
    with contextlib.suppress(Died):
        await stats_consumer(stepped, rest_seconds=0.01).run()
    await end(asyncio.all_tasks() - alive)
    world.topic.take_away(TENANT)
    return steps.count


async def end(tasks: set[asyncio.Task[Any]]) -> None:
    """Stop the other tasks of the process that died."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def finish(world: World) -> None:
    for _ in range(3):
        await stats_consumer(world.services, rest_seconds=0.0).run()


async def check(world: World, sent: Counter[str]) -> None:
    assert not world.topic.waiting[TENANT], "everything was settled"
    assert world.topic.dead == []
    assert Counter(line["batch"] for line in await world.archived()) == sent
    sampled = [line for lines in (await sample(world)).values() for line in lines]
    assert Counter(line["batch"] for line in sampled) == sent
    assert sum(await world.views()) == sent.total()
    today = datetime.fromtimestamp(NOW, UTC).date()
    days = await read_days(world.documents, TENANT, today - timedelta(days=7), today)
    assert sum(table.total()["views"] for table in days.values()) == sent.total()


def told(world: World) -> Counter[str]:
    """Return the number of events per batch ever sent."""
    return Counter(world.sent)  # type: ignore[attr-defined]


@pytest.fixture
async def world(tmp_path: Path) -> World:
    return await new_world(tmp_path)


async def new_world(folder: Path) -> World:
    world = World(folder)
    await world.prepare()
    world.sent = {}  # type: ignore[attr-defined]
    send = world.send

    def remembering(each: Any, session: str | None = None) -> None:
        world.sent[each.id] = len(each.events)  # type: ignore[attr-defined]
        send(each, session)
        messages = world.topic.waiting[session or each.tenant_id]
        last = max(messages)
        messages[last] = replace(messages[last], enqueued_at=NOW)

    world.send = remembering  # type: ignore[method-assign]
    return world


@pytest.mark.parametrize("what", [DIE, OVERTAKEN])
@pytest.mark.parametrize("when", [BEFORE, AFTER])
async def test_counters_and_archive_have_each_event_once_after_any_crash(tmp_path: Path, what: str, when: str) -> None:
    at = 0
    while True:
        world = await new_world(tmp_path / str(at))
        world.send(batch(0, (0, 1)))
        await world.rollup.run()
        for number in range(1, MESSAGES):
            world.send(batch(number, (number % 5,)))
        steps = await work(world, at, when, what)
        await finish(world)
        await check(world, told(world))
        at += 1
        if at > steps:
            break
    assert at > 10, "the run has steps to die at"


@pytest.mark.parametrize("portion", range(1, MESSAGES))
async def test_range_redelivered_in_parts_without_its_blob_is_archived_whole(world: World, portion: int) -> None:
    for number in range(MESSAGES):
        world.send(batch(number, (number % 5,)))
    await die_between_document_and_blob(world)
    assert sum(await world.views()) == MESSAGES
    assert await world.archived() == []
    for _ in range(3):
        await work(world, 10_000, BEFORE, DIE, portion)
        assert len(world.topic.waiting[TENANT]) == MESSAGES, "a part alone is not settled"
    await finish(world)
    await check(world, told(world))


async def die_between_document_and_blob(world: World) -> None:
    """Find by trial the first step after which statistics are stored and the archive is not."""

    async def die(*_: Any) -> None:
        raise Died

    blobs = world.services.blobs
    broken = replace(world.services, blobs=SteppedBlobs(blobs, Steps(1, BEFORE, die)))  # type: ignore[arg-type]
    alive = asyncio.all_tasks()
    with pytest.raises(Died):
        await stats_consumer(broken).run()
    await end(asyncio.all_tasks() - alive)
    world.topic.take_away(TENANT)


async def test_incomplete_range_is_archived_in_part_at_its_last_delivery(world: World) -> None:
    for number in range(MESSAGES):
        world.send(batch(number, (number % 5,)))
    await die_between_document_and_blob(world)
    waiting = world.topic.waiting[TENANT]
    del waiting[min(waiting)]
    await finish(world)
    assert len(waiting) == MESSAGES - 1
    for number, message in list(waiting.items()):
        waiting[number] = replace(message, delivery_count=10)
    await finish(world)
    assert not waiting
    assert len(await world.archived()) == MESSAGES - 1
    assert sum(await world.views()) == MESSAGES


async def test_namespace_with_restarted_numbers_is_counted_from_its_first_message(world: World) -> None:
    for number in range(MESSAGES):
        world.send(batch(number, (0,)))
    await world.rollup.run()
    world.topic._sequence = 0
    for number in range(MESSAGES, MESSAGES + 3):
        world.send(batch(number, (0,)))
    for sequence, message in list(world.topic.waiting[TENANT].items()):
        world.topic.waiting[TENANT][sequence] = replace(message, enqueued_at=NOW + 3_600)
    await world.rollup.run()
    await check(world, told(world))


async def test_session_that_cannot_be_written_blocks_no_other_and_loses_nothing(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await world.prepare("other")
    world.send(batch(1, (0,)))
    world.send(batch(2, (0,), tenant="other"))
    write = world.documents.inner.write
    error = ValueError("too large")

    async def refuse(container: Any, partition: str, operations: Any) -> Any:
        if partition == TENANT:
            raise error
        return await write(container, partition, operations)

    world.documents.inner.write = refuse  # type: ignore[method-assign]
    await world.rollup.run()
    assert sum(await world.views("other")) == 1
    assert len(world.topic.waiting[TENANT]) == 1
    assert "too large" not in caplog.text
    world.documents.inner.write = write  # type: ignore[method-assign]
    await world.rollup.run()
    assert sum(await world.views()) == 1


class BusyTopic:
    """A topic to which another message is published whenever one was received."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def next_session(self, *arguments: Any) -> BusySession | None:
        session = await self.world.topic.next_session(*arguments)
        return None if session is None else BusySession(session, self.world)


class BusySession(SteppedSession):
    def __init__(self, inner: MemorySession, world: World) -> None:
        async def never() -> None:
            pass

        super().__init__(inner, Steps(-1, BEFORE, never), 0)
        self._world = world

    async def receive(self, max_messages: int, wait_seconds: float) -> list[ReceivedMessage]:
        await asyncio.sleep(0.001)
        self._world.send(batch(next(_numbers), (0,)))
        return await self._inner.receive(max_messages, wait_seconds)


async def test_session_that_never_drains_is_written_all_the_same(world: World) -> None:
    busy = replace(world.services, bus=BusyTopic(world))  # type: ignore[arg-type]
    world.send(batch(0, (0,)))
    running = asyncio.create_task(stats_consumer(busy, receive_seconds=0.02).run())
    async with asyncio.timeout(120):
        while sum(await world.views()) < 5:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


misfortunes = st.tuples(
    st.integers(0, 25), st.sampled_from([BEFORE, AFTER]), st.sampled_from([DIE, OVERTAKEN]), st.integers(1, 12)
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(misfortunes, st.integers(0, 4)), min_size=1, max_size=6))
def test_each_event_counts_once_under_any_sequence_of_faults(
    tmp_path_factory: pytest.TempPathFactory, told_of: list[tuple[tuple[int, str, str, int], int]]
) -> None:
    async def tell() -> None:
        world = await new_world(tmp_path_factory.mktemp("world"))
        number = 0
        for (at, when, what, portion), more in told_of:
            for _ in range(more):
                world.send(batch(number, (number % 5, 0)))
                number += 1
            await work(world, at, when, what, portion)
        world.topic.waiting.setdefault(TENANT, {})
        await finish(world)
        await check(world, told(world))

    asyncio.run(tell())
