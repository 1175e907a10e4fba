"""Follows, requests and blocks are complete or finished by a retry after any failure, and limited in number."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.adapters.documents.port import PEOPLE, Upsert, query_all
from shared.domain.records import APPROVAL, MUTUALS, OPEN
from shared.web.problems import Problem
from stories.circle import MAX_FOLLOWS, Circle, has
from stories.graph import ACCEPTED, FOLLOW, REQUESTED, UNSETTLED_SECONDS, Graph
from stories.identity import Person
from stories.people_pages import PeoplePages
from tests.memory_documents import MemoryDocuments
from tests.stories.breaking_store import BreakingStore, Killed, killed_between_any_writes

NOW = 1_800_000_000.0


def person(number: int) -> Person:
    return Person("t", f"{number:04d}".ljust(21, "0") + "A")


A, B, C = map(person, (1, 2, 3))


class World:
    """A graph with a clock that tests move."""

    def __init__(self, documents: MemoryDocuments | BreakingStore | None = None) -> None:
        self.now = NOW
        self.documents = documents or MemoryDocuments()
        self.graph = Graph(self.documents, lambda: self.now)  # type: ignore[arg-type]
        self.pages = PeoplePages(self.documents, self.graph)  # type: ignore[arg-type]

    async def circle(self, who: Person) -> Circle:
        return (await self.graph.circle(who, latest=True)).circle

    async def follows(self, who: Person, whom: Person) -> bool:
        return has((await self.circle(who)).follows, whom.key)

    async def followers(self, whom: Person) -> dict[str, str]:
        page = await self.pages.followers(whom, None, 50)
        return {id: each.body["state"] for id, each in zip(page.ids(), page.documents, strict=True)}

    async def following(self, who: Person) -> dict[str, str]:
        page = await self.pages.following(who, None, 50)
        return {id: each.body["state"] for id, each in zip(page.ids(), page.documents, strict=True)}


async def test_follow_is_visible_and_ends_on_both_sides() -> None:
    world = World()
    assert await world.graph.follow(A, B, OPEN) == ACCEPTED
    assert await world.graph.follow(A, B, OPEN) == ACCEPTED
    assert await world.follows(A, B)
    assert not await world.follows(B, A)
    assert await world.followers(B) == {A.id: ACCEPTED}
    assert await world.following(A) == {B.id: ACCEPTED}
    await world.graph.unfollow(A, B)
    await world.graph.unfollow(A, B)
    assert not await world.follows(A, B)
    assert await world.followers(B) == {}


async def test_follow_request_waits_for_consent() -> None:
    world = World()
    assert await world.graph.follow(A, B, APPROVAL) == REQUESTED
    assert not await world.follows(A, B)
    assert await world.followers(B) == {A.id: REQUESTED}
    await world.graph.accept(B, A)
    await world.graph.accept(B, A)
    assert await world.follows(A, B)
    assert await world.followers(B) == {A.id: ACCEPTED}
    with pytest.raises(Problem, match="not_found"):
        await world.graph.accept(B, C)
    await world.graph.follow(C, B, APPROVAL)
    await world.graph.unfollow(C, B)
    with pytest.raises(Problem, match="not_found"):
        await world.graph.accept(B, C)


async def test_friends_are_followed_people_or_mutual_follows_as_configured() -> None:
    world = World()
    await world.graph.follow(A, B, OPEN)
    assert len((await world.circle(A)).friends(MUTUALS)) == 0
    await world.graph.follow(B, A, OPEN)
    for one, other in ((A, B), (B, A)):
        assert has((await world.circle(one)).friends(MUTUALS), other.key)
    await world.graph.unfollow(B, A)
    assert len((await world.circle(A)).friends(MUTUALS)) == 0
    assert await world.follows(A, B)


async def test_block_ends_both_follows_and_refuses_new_ones_from_either_side() -> None:
    world = World()
    await world.graph.follow(A, B, OPEN)
    await world.graph.follow(B, A, OPEN)
    await world.graph.block(A, B)
    await world.graph.block(A, B)
    for one, other in ((A, B), (B, A)):
        assert not await world.follows(one, other)
        assert await world.followers(one) == {}
        assert (await world.circle(one)).hides(other.key)
        with pytest.raises(Problem, match="cannot_follow"):
            await world.graph.follow(one, other, OPEN)
    assert (await world.pages.blocks(A, None, 50)).ids() == [B.id]
    assert (await world.pages.blocks(B, None, 50)).ids() == [], "who is blocked is not told"
    await world.graph.unblock(A, B)
    assert not (await world.circle(B)).hides(A.key)
    assert await world.graph.follow(B, A, OPEN) == ACCEPTED


async def test_self_follow_self_block_and_exceeding_the_limit_are_refused() -> None:
    world = World()
    for change in (world.graph.follow(A, A, OPEN), world.graph.block(A, A)):
        with pytest.raises(Problem, match="cannot_"):
            await change
    full = Circle()
    for number in range(10, 10 + MAX_FOLLOWS):
        full = full.adding(number, "follows") if number % 2 else full.adding(number, "requested")
    await world.documents.write(PEOPLE, A.partition, [Upsert(full.to_document())])
    with pytest.raises(Problem, match="too_many_follows"):
        await world.graph.follow(A, B, OPEN)
    assert await world.followers(B) == {}


async def test_concurrent_follows_are_all_kept() -> None:
    world = World()
    many = [person(number) for number in range(10, 22)]
    await asyncio.gather(*(world.graph.follow(A, each, OPEN) for each in many))
    await asyncio.gather(*(world.graph.follow(each, A, OPEN) for each in many))
    circle = await world.circle(A)
    assert len(circle.follows) == len(circle.followed_back) == 12
    assert len(await world.followers(A)) == 12


async def consistent(world: World, *people: Person) -> None:
    """Fail unless edges, mirrors and circles agree, after a minute and a read of every list of followers."""
    world.now += UNSETTLED_SECONDS + 1
    listed = {whom: await world.followers(whom) for whom in people}
    for who in people:
        circle = await world.circle(who)
        edges = {each.id.removeprefix(FOLLOW): each.body["state"] for each in await query_all(
            world.documents, PEOPLE, who.partition, FOLLOW)}  # type: ignore[arg-type]  # fmt: skip
        for whom in people:
            state = edges.get(whom.id)
            assert listed[whom].get(who.id) == state, "an edge without a mirror, or the other way round"
            assert has(circle.follows, whom.key) == (state == ACCEPTED)
            assert has(circle.requested, whom.key) == (state == REQUESTED)
            if circle.hides(whom.key):
                assert state is None
        for whom in people:
            back = ACCEPTED == edges.get(whom.id) == listed[who].get(whom.id)
            assert not has(circle.followed_back, whom.key) or back, "a friend who follows no longer"


CALLS = {
    "follow": lambda graph: graph.follow(A, B, OPEN),
    "ask": lambda graph: graph.follow(C, B, APPROVAL),
    "accept": lambda graph: graph.accept(B, C),
    "unfollow": lambda graph: graph.unfollow(B, A),
    "block": lambda graph: graph.block(A, B),
    "unblock": lambda graph: graph.unblock(B, A),
}


@pytest.mark.parametrize("name", CALLS)
async def test_follow_killed_between_any_two_writes_is_finished_by_repeating(name: str) -> None:
    async def prepared(store: BreakingStore) -> None:
        graph = World(store).graph
        await graph.follow(B, A, OPEN)
        if name == "accept":
            await graph.follow(C, B, APPROVAL)
        if name == "unblock":
            await graph.block(B, A)

    async def then(store: BreakingStore, number: int) -> None:
        world = World(store)
        if name == "block" and number == 1:
            assert (await world.circle(B)).hides(A.key), "the blocked person stops seeing first"
        if name not in ("block", "unblock"):
            await consistent(World(store), A, B, C)
        await CALLS[name](world.graph)
        await consistent(world, A, B, C)

    writes = await killed_between_any_writes(prepared, lambda store: CALLS[name](World(store).graph), then)
    assert writes >= 2


async def call(graph: Graph, name: str, who: Person, whom: Person) -> None:
    if name in ("follow", "ask"):
        await graph.follow(who, whom, OPEN if name == "follow" else APPROVAL)
    else:
        await getattr(graph, name)(who, whom)


STEPS = st.lists(
    st.tuples(st.sampled_from(["follow", "ask", "unfollow", "accept", "block", "unblock"]),
              st.integers(1, 3), st.integers(1, 3), st.integers(0, 6)),
    max_size=12,
)  # fmt: skip


@settings(max_examples=60)
@given(steps=STEPS)
async def test_lists_agree_in_the_end_whatever_is_called_and_killed(steps: list[tuple[str, int, int, int]]) -> None:
    store = BreakingStore()
    world = World(store)
    for name, one, other, left in steps:
        who, whom = person(one), person(other)
        if who == whom:
            continue
        store.left = left if left < 4 else None
        try:
            await call(world.graph, name, who, whom)
        except Problem:
            pass
        except Killed:
            store.left = None
            if name in ("block", "unblock"):  # hides too much until it is repeated
                await call(world.graph, name, who, whom)
        store.left = None
    await consistent(world, A, B, C)


async def test_a_stored_circle_reads_back_and_a_damaged_one_is_an_outage() -> None:
    circle = Circle().adding(7, "follows", "followed_back").adding(2**64 - 1, "blocked_by").adding(3, "follows")
    again = Circle.from_document(circle.to_document())
    assert [list(map(int, each)) for each in (again.follows, again.followed_back, again.blocked_by)] == [
        [3, 7], [7], [2**64 - 1],
    ]  # fmt: skip
    assert all(int(a) < int(b) for a, b in pairwise(again.follows))
    world = World()
    for damage in ({"v": 2}, {"follows": "!"}, {"blocked": None}):
        await world.documents.write(PEOPLE, A.partition, [Upsert({**circle.to_document(), **damage})])
        with pytest.raises(Exception, match="cannot be read"):
            await world.graph.circle(A)
