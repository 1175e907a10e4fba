"""Erasure of a user while their messages are late, redelivered, repacked, partly written or rolled up."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bootstrap import App
from events.archive import from_lines
from events.batch import Batch, encode
from events.schema import Event
from privacy.erase import erase
from ranking.stats import STATS_PREFIX, StatsTable, merged
from shared.adapters.blobs.port import ARCHIVE
from shared.adapters.bus.port import SUBSCRIPTIONS, DeadLetter, ReceivedMessage
from shared.adapters.documents.port import USER_ACTIVITY, VIDEO_STATS, VIDEOS, StoreUnavailable, Upsert, query_all
from shared.domain.fingerprint import fingerprint
from shared.domain.signals_document import from_document
from shared.domain.user_signals import SIGNALS_ID
from tests.events.topic import MemoryTopic, services_on
from tests.faulty_documents import FaultyDocuments, Trouble
from tests.memory_documents import MemoryDocuments
from tests.parts import signals_consumer, stats_consumer
from tests.served_app import make_video

NOW = 1_700_000_000.0
TENANT = "tenant_1"
USERS = ("ann", "bob")


class Letters:
    """A dead-letter receiver over a list."""

    def __init__(self, letters: list[ReceivedMessage]) -> None:
        self._letters = letters
        self._seen = 0

    async def receive(self, max_messages: int, wait_seconds: float) -> list[ReceivedMessage]:
        found = self._letters[self._seen : self._seen + max_messages]
        self._seen += len(found)
        return found

    async def complete(self, messages: list[ReceivedMessage]) -> None:
        for message in messages:
            self._letters.remove(message)
            self._seen -= 1

    async def abandon(self, message: ReceivedMessage) -> None:
        pass

    async def close(self) -> None:
        pass


class Topic(MemoryTopic):
    """A topic with dead letters."""

    def __init__(self) -> None:
        super().__init__()
        self.letters: dict[str, list[ReceivedMessage]] = {name: [] for name in SUBSCRIPTIONS}

    async def depth(self, subscription: str) -> tuple[int, int]:
        return 0, len(self.letters[subscription])

    async def peek_dead_letters(self, subscription: str, limit: int, after: int = 0) -> list[DeadLetter]:
        found = [letter for letter in self.letters[subscription] if letter.sequence_number > after]
        return [DeadLetter(letter, "poison", "") for letter in found[:limit]]

    async def receiver(self, subscription: str, *, dead_letters: bool = False) -> Letters:
        assert dead_letters
        return Letters(self.letters[subscription])


class World:
    """Two users, each with their own video, so that statistics are distinguishable."""

    def __init__(self, folder: Path) -> None:
        self.now = NOW
        self.documents = FaultyDocuments(MemoryDocuments(lambda: self.now))
        self.topic = Topic()
        self.services: App = services_on(self.documents, self.topic, lambda: self.now, folder)
        self.messages: list[Batch] = []
        self.erased_at = dict.fromkeys(USERS, 0.0)
        self.views_then = dict.fromkeys(USERS, 0)
        self.lines_then: dict[str, set[tuple[str, int]]] = {user: set() for user in USERS}

    async def prepare(self) -> None:
        videos = [Upsert(make_video(f"of-{user}").to_document()) for user in USERS]
        await self.documents.write(VIDEOS, TENANT, videos)

    def accept(self, user: str, events: list[int]) -> None:
        """Accept a batch as the API does; the test decides when it is delivered."""
        self.now += 0.01
        told = tuple(
            Event("video_view", f"of-{user}", int(NOW * 1000) - n, fingerprint(f"{user} {n}"), watch_ms=20_000.0)
            for n in dict.fromkeys(events)
        )
        self.messages.append(Batch(f"{len(self.messages):032x}", TENANT, user, self.now, told, trusted=True))

    async def deliver(self, number: int) -> None:
        if self.messages:
            batch = self.messages[number % len(self.messages)]
            await signals_consumer(self.services).handle(encode(batch))

    async def deliver_and_die(self, number: int, cut: bool) -> None:
        """Deliver a batch to a worker that dies after its write, or after that and before publishing."""
        trouble = Trouble(frozenset({USER_ACTIVITY.name}), cut_after_write=1, writes_fail=not cut)
        handling = asyncio.create_task(self.deliver(number))
        with self.documents.in_trouble(trouble):
            for _ in range(20):
                await asyncio.sleep(0)
        handling.cancel()
        await asyncio.gather(handling, return_exceptions=True)

    async def erase(self, user: str) -> None:
        self.now += 0.01
        self.views_then[user] = 0  # messages rolled up during the run are set below
        erased = await erase(self.services.documents, self.services.bus, self.services.clock, TENANT, user)
        self.now += 0.01
        self.erased_at[user] = erased.at
        self.views_then[user] = (await self.views())[user]
        self.lines_then[user] = set(await self.lines(user))

    async def roll_up(self) -> None:
        await stats_consumer(self.services, rest_seconds=0.0).run()

    async def views(self) -> dict[str, int]:
        shards = await query_all(self.documents.inner, VIDEO_STATS, TENANT, STATS_PREFIX)
        table = merged(StatsTable.unpack(str(shard.body["packed"])) for shard in shards)
        return {user: table.week(f"of-{user}", NOW)["views"] for user in USERS}

    async def lines(self, user: str) -> Counter[tuple[str, int]]:
        """Return batch and time of each archived event of a user."""
        pseudonym = self.services.identity.archive_pseudonym(user)
        found: Counter[tuple[str, int]] = Counter()
        async for blob in self.services.blobs.list(ARCHIVE):
            for line in from_lines(await self.services.blobs.read(ARCHIVE, blob.name) or b""):
                if line["user"] == pseudonym:
                    found[line["batch"], line["timestamp"]] += 1
        return found

    async def settle(self) -> None:
        """Deliver everything pending, twice."""
        for number in [*range(len(self.messages)), *range(len(self.messages))]:
            await self.deliver(number)
        await self.roll_up()

    async def check(self) -> None:
        views = await self.views()
        for user in USERS:
            later = [batch for batch in self.messages if batch.user_key == user]
            later = [batch for batch in later if batch.accepted_at > self.erased_at[user]]
            wanted = {event.at_ms for batch in later for event in batch.events}
            stored = await self.documents.inner.read(USER_ACTIVITY, user, SIGNALS_ID)
            signals = from_document(stored.body) if stored else None
            assert (signals.events if signals else 0) == len(wanted)
            assert views[user] == self.views_then[user] + len(wanted)
            since = {batch.id for batch in later}
            lines = await self.lines(user)
            assert set(lines.values()) <= {1}
            assert Counter(at for id, at in lines if id in since) == Counter(wanted)
            before = {line for line in lines if line[0] not in since}
            assert before <= self.lines_then[user], "nothing accepted before the erasure is archived after it"


events_of_a_batch = st.lists(st.integers(0, 30), min_size=1, max_size=6)
steps = st.one_of(
    st.tuples(st.just("accept"), st.sampled_from(USERS), events_of_a_batch),
    st.tuples(st.just("deliver"), st.integers(0, 50)),
    st.tuples(st.just("die"), st.integers(0, 50), st.booleans()),
    st.tuples(st.just("erase"), st.sampled_from(USERS)),
    st.tuples(st.just("erase during a fold"), st.sampled_from(USERS), st.integers(0, 50)),
    st.tuples(st.just("fold during an erasure"), st.sampled_from(USERS), events_of_a_batch),
    st.tuples(st.just("erase and break off"), st.sampled_from(USERS)),
    st.tuples(st.just("roll up")),
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(steps, max_size=25))
def test_erasure_drops_earlier_batches_and_no_later_ones_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, told: list[tuple[Any, ...]]
) -> None:
    async def tell() -> None:
        world = World(tmp_path_factory.mktemp("world"))
        await world.prepare()
        for step, *details in told:
            await play(world, step, *details)
        await world.settle()
        await world.check()

    asyncio.run(tell())


async def play(world: World, step: str, *details: Any) -> None:
    match step:
        case "accept":
            world.accept(*details)
        case "deliver":
            await world.deliver(*details)
        case "die":
            await world.deliver_and_die(*details)
        case "erase":
            await world.erase(*details)
        case "erase during a fold":
            user, number = details
            trouble = Trouble(frozenset({USER_ACTIVITY.name}), before_write=lambda: world.erase(user))
            with world.documents.in_trouble(trouble):
                await world.deliver(number)
        case "fold during an erasure":
            user, events = details

            async def fold() -> None:
                world.accept(user, events)
                await world.deliver(len(world.messages) - 1)

            with world.documents.in_trouble(Trouble(frozenset({USER_ACTIVITY.name}), before_write=fold)):
                await world.erase(user)
        case "erase and break off":
            (user,) = details
            with (
                world.documents.in_trouble(Trouble(frozenset({USER_ACTIVITY.name}), cut_after_write=1)),
                contextlib.suppress(StoreUnavailable),
            ):
                await world.erase(user)
            await world.erase(user)  # after the announced wait
        case "roll up":
            await world.roll_up()


async def test_erasure_reports_what_it_deleted_and_a_second_one_finds_nothing(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.prepare()
    world.accept("ann", [1, 2])
    world.accept("ann", [3])
    world.accept("bob", [1])
    for number in range(3):
        await world.deliver(number)
    ann_dead, bob_dead = (
        ReceivedMessage("m", "s", encode(world.messages[number]), number + 1, 10, NOW) for number in (0, 2)
    )
    world.topic.letters["signals"] = [ann_dead, bob_dead]
    first = await erase(world.services.documents, world.services.bus, world.services.clock, TENANT, "ann")
    assert (first.signals, first.markers, first.dead_letters) == (1, 2, 1)
    assert world.topic.letters["signals"] == [bob_dead]
    again = await erase(world.services.documents, world.services.bus, world.services.clock, TENANT, "ann")
    assert (again.signals, again.markers, again.dead_letters) == (0, 0, 0)
    assert again.at >= first.at
    left = {document.id for document in await query_all(world.documents, USER_ACTIVITY, "ann")}
    assert left == {SIGNALS_ID}, "only the tombstone"
    assert {d.id for d in await query_all(world.documents, USER_ACTIVITY, "bob")} > {SIGNALS_ID}


async def test_constantly_active_user_is_erased(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.prepare()
    left = 5

    async def another_batch() -> None:
        nonlocal left
        left -= 1
        world.accept("ann", [left])
        await world.deliver(len(world.messages) - 1)
        if left:
            trouble.before_write = another_batch

    trouble = Trouble(frozenset({USER_ACTIVITY.name}), before_write=another_batch)
    with world.documents.in_trouble(trouble):
        await world.erase("ann")
    await world.settle()
    await world.check()


async def test_a_batch_folded_while_an_erasure_ends_keeps_its_marker_and_counts_later(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.prepare()
    world.accept("ann", [1])
    await world.deliver(0)

    async def fold_and_die() -> None:
        world.now += 0.01
        world.accept("ann", [2, 3])
        await world.deliver_and_die(1, cut=True)

    with world.documents.in_trouble(Trouble(partitions=frozenset({f"erasures.{TENANT}"}), before_write=fold_and_die)):
        await world.erase("ann")
    assert not world.topic.waiting.get(TENANT) or len(world.topic.waiting[TENANT]) == 1, "the second died before that"
    await world.settle()
    await world.check()
