"""A user's lists change in the same atomic batch as the signals, exactly once under any failure."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from events.batch import Batch, decode, encode, encode_all, marked_again, parts
from events.schema import Event
from shared.adapters.documents.port import USER_ACTIVITY, VIDEOS, StoreUnavailable, Upsert
from shared.domain.fingerprint import fingerprint
from shared.domain.finished_episodes import Finished, FinishedEpisodes
from shared.domain.follows import Subject
from shared.domain.series_place import UNNUMBERED, SeriesPlace
from shared.domain.user_lists import FOLLOWING, SAVED, UserList, document_id
from tests.events.test_signals_consumer import NOW, TENANT, USER, World
from tests.faulty_documents import Trouble
from tests.served_app import make_video


def event(kind: str, number: int, ago: int = 0, subject: Subject | None = None) -> Event:
    identity = fingerprint(f"{kind} {number} {ago} {subject}")
    return Event(kind, "" if subject else f"v{number}", int(NOW * 1000) - ago, identity, subject=subject)


def message(number: int, *events: Event, accepted_at: float = NOW) -> bytes:
    return encode(Batch(f"{number:032x}", TENANT, USER, accepted_at, events), 2)


async def stored(world: World, name: str) -> UserList:
    found = await world.documents.inner.read(USER_ACTIVITY, USER, document_id(name))
    return UserList.from_document(found.body) if found else UserList(name)


async def listed(world: World, name: str) -> list[str]:
    return [id for id, _ in (await stored(world, name)).listed(world.now)]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.mark.parametrize("cuts", [1, 2])
async def test_a_cut_write_changes_a_list_once(world: World, cuts: int) -> None:
    worker = world.consumer()
    await worker.handle(message(1, event("save", 1, 30)))
    with world.documents.in_trouble(Trouble(frozenset({USER_ACTIVITY.name}), cut_after_write=cuts)):
        assert await worker.handle(message(2, event("save", 2, 20), event("unsave", 1, 10))) == "duplicate"
    assert await listed(world, SAVED) == ["v2"]
    assert world.handed_on().total() == 3


async def test_concurrent_workers_lose_no_list_change(world: World) -> None:
    first, second = world.consumer(), world.consumer()
    messages = [message(n, event("save", n, n)) for n in range(12)]
    outcomes = await asyncio.gather(*(worker.handle(body) for body in messages for worker in (first, second)))
    assert Counter(outcomes) == {"folded": 12, "duplicate": 12}
    assert await listed(world, SAVED) == [f"v{n}" for n in range(12)]


async def test_list_from_before_an_erasure_starts_empty(world: World) -> None:
    await world.consumer().handle(message(1, event("save", 1)))
    tombstone = {"id": "signals", "kind": "erased", "tenantId": TENANT, "erasedAt": NOW + 10}
    await world.documents.write(USER_ACTIVITY, USER, [Upsert(tombstone)])
    world.now = NOW + 20
    assert await world.consumer().handle(message(2, event("save", 2))) == "erased"
    assert await world.consumer().handle(message(3, event("save", 3), accepted_at=NOW + 15)) == "folded"
    assert await listed(world, SAVED) == ["v3"]


async def test_damaged_list_starts_empty_and_a_newer_format_waits(world: World) -> None:
    await world.documents.write(USER_ACTIVITY, USER, [Upsert({"id": document_id(SAVED), "v": 1, "entries": 7})])
    await world.consumer().handle(message(1, event("save", 1)))
    assert await listed(world, SAVED) == ["v1"]
    newer = UserList(SAVED).to_document(TENANT) | {"v": 2}
    await world.documents.write(USER_ACTIVITY, USER, [Upsert(newer)])
    handling = asyncio.create_task(world.consumer().handle(message(2, event("save", 2))))
    while not world.services.telemetry.counters["store_failures", ("newer_list",)]:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    world.now += world.services.settings.fold_patience_seconds
    with pytest.raises(StoreUnavailable):
        await handling


async def test_signals_contain_the_followed_items_of_the_list(world: World) -> None:
    anna, drama = Subject("creator", "anna"), Subject("category", "drama")
    worker = world.consumer()
    await worker.handle(message(1, event("follow", 0, 30, anna), event("follow", 0, 20, drama)))
    await worker.handle(message(2, event("save", 1)))
    await worker.handle(message(3, event("unfollow", 0, 10, anna)))
    signals = await world.signals()
    assert signals is not None
    assert signals.follows.keys.tolist() == [drama.fingerprint]
    assert not len(signals.seen.keys) - 1, "only the saved video was seen"
    assert signals.events == 4
    assert await listed(world, FOLLOWING) == ["category:drama"]


async def test_furthest_finished_episode_of_a_series_is_remembered(world: World) -> None:
    for number, place in ((1, SeriesPlace("s", 1, 1)), (2, SeriesPlace("s", 1, 2)), (3, SeriesPlace())):
        body = make_video(f"v{number}", place=place).to_document()
        await world.documents.write(VIDEOS, TENANT, [Upsert(body)])
    worker = world.consumer()
    for number, at in enumerate((2, 1, 3)):
        await worker.handle(message(number, event("complete", at, number)))
    signals = await world.signals()
    assert signals is not None
    assert signals.finished.rows == (Finished(fingerprint("s"), 1, 2, int(NOW // 86_400)),)


subjects = st.builds(
    Subject, st.sampled_from(["creator", "category", "series"]), st.text("aé漢: \t", min_size=1, max_size=9)
)
batches = st.lists(
    st.builds(event, st.sampled_from(["like", "unsave"]), st.integers(0, 9), st.integers(0, 9))
    | st.builds(event, st.sampled_from(["follow", "unfollow"]), st.just(0), st.integers(0, 9), subjects),
    max_size=9,
).map(lambda events: Batch("0" * 32, TENANT, USER, NOW, tuple(events)))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches, batches)
def test_messages_of_both_versions_carry_followed_items(one: Batch, other: Batch) -> None:
    assert decode(encode(one, 1)) == (one,)
    both = encode_all([one, other])
    assert decode(both) == (one, other)
    assert [decode(each) for each in parts(both)] == [(one,), (other,)]
    assert decode(marked_again(both)) == (replace(one, again=True), replace(other, again=True))


finished = st.builds(
    Finished, st.integers(0, 4), st.integers(0, 3) | st.just(UNNUMBERED), st.integers(0, 3), st.integers(0, 90)
)


@given(st.lists(finished, max_size=12), st.randoms(use_true_random=False))
def test_finished_episodes_are_equal_in_any_order_and_after_storage(rows: list[Finished], random: Random) -> None:
    shuffled = random.sample(rows, len(rows))
    once = FinishedEpisodes().with_all(rows, 0)
    again = FinishedEpisodes()
    for row in (*shuffled, *shuffled[:3]):
        again = again.with_all([row], 0)
    assert once == again == FinishedEpisodes.unpack(once.pack())


@pytest.mark.parametrize("raw", [b"x", b"\xff" * 14, bytes(14 * 9)])
def test_damaged_finished_episodes_are_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match="rows"):
        FinishedEpisodes.unpack(raw)
