"""Reads and writes the social graph: follows, their acceptance, and blocks.

A follow is stored twice: as an edge in the follower's partition, and as a mirror in the followed person's partition.
The edge is authoritative. It changes in one atomic batch with the follower's circle, which enforces the limit of 2,000
follows and earlier blocks. The mirror is written as *unsettled* before the edge changes, and as settled after it. An
interrupted call leaves at most an unsettled mirror, never an edge without a mirror. Readers of an unsettled mirror
check the edge (`settle`). Repeating a call finishes it.

A block is first written for the blocked person, then for the one who blocks; unblocking works in the reverse order. An
interrupted call hides too much rather than too little, and repeating it finishes it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from shared.adapters.documents.port import (
    PEOPLE,
    Create,
    Delete,
    Document,
    DocumentStore,
    Json,
    Operation,
    Replace,
    StoreUnavailable,
    Upsert,
    WriteRejected,
)
from shared.adapters.retry import retry
from shared.domain.records import OPEN
from shared.web.problems import Problem
from stories.circle import CIRCLE_ID, MAX_BLOCKED_BY, MAX_BLOCKS, MAX_FOLLOWS, Circle, UnreadableCircle, has
from stories.identity import Person

ACCEPTED, REQUESTED = "accepted", "requested"
FOLLOW, FOLLOWER, BLOCK = "follow:", "follower:", "block:"
ATTEMPTS = 30
UNSETTLED_SECONDS = 60.0
"""A mirror that has no edge after this time was left by an interrupted call. Before, the call can still be running."""
T = TypeVar("T")


class _Crossed(Exception):
    """Write conflict: read again and retry."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A circle as read from the store, with its ETag (None: not stored yet)."""

    circle: Circle
    etag: str | None

    def write(self, circle: Circle) -> Operation:
        body = circle.to_document()
        return Create(body) if self.etag is None else Replace(body, self.etag)


class Graph:
    """Reads and changes the graph. `clock` gives seconds since 1970. All methods can raise `StoreUnavailable`."""

    def __init__(self, documents: DocumentStore, clock: Callable[[], float]) -> None:
        self._documents = documents
        self._clock = clock

    async def circle(self, person: Person, *, latest: bool = False) -> Stored:
        """Return a person's circle. Raises `StoreUnavailable` if it is unreadable, because blocks are unknown then."""
        stored = await self._documents.read(PEOPLE, person.partition, CIRCLE_ID, latest=latest)
        try:
            return Stored(Circle.from_document(stored.body if stored else None), stored.etag if stored else None)
        except UnreadableCircle as error:
            raise StoreUnavailable("a circle cannot be read") from error

    # ---- follows

    async def follow(self, who: Person, whom: Person, policy: str) -> str:
        """Follow somebody, or request to; return the state. Raises a `Problem` if it is not allowed.

        `policy`: the tenant's `followPolicy`, `open` or `approval`.
        """
        if who == whom:
            raise Problem(400, "cannot_follow", "A person cannot follow themselves. Send another person's id.")

        async def once() -> str:
            edge = await self._read(who, FOLLOW + whom.id)
            stored = await self.circle(who, latest=True)
            if stored.circle.hides(whom.key):
                raise Problem(400, "cannot_follow", "You cannot follow this person.")
            if edge is None:
                if stored.circle.asked >= MAX_FOLLOWS:
                    raise Problem(
                        409,
                        "too_many_follows",
                        f"A person can follow at most {MAX_FOLLOWS:,} people: unfollow one first.",
                    )
                state = ACCEPTED if policy == OPEN else REQUESTED
                await self._unsettle(whom, who, state)
                body = {"id": FOLLOW + whom.id, "kind": "follow", "state": state, "createdAt": self._clock()}
                circle = stored.circle.adding(whom.key, "follows" if state == ACCEPTED else "requested")
                await self._write(who, [Create(body), stored.write(circle)])
            await self.settle(whom, who)
            return str(edge.body["state"]) if edge else state

        state = await self._until_alone(once)
        await self._update_followed_back(who, whom)
        return state

    async def unfollow(self, who: Person, whom: Person) -> None:
        """End a follow or a request; either of the two can ask for it. Does nothing if there is none."""

        async def once() -> None:
            edge = await self._read(who, FOLLOW + whom.id)
            if edge is not None:
                await self._unsettle(whom, who, edge.body["state"])
                stored = await self.circle(who, latest=True)
                circle = stored.circle.removing(whom.key, "follows", "requested", "followed_back")
                await self._write(who, [Delete(edge.id, edge.etag), stored.write(circle)])
            mirror = await self._read(whom, FOLLOWER + who.id)
            if mirror is not None:
                await self._write(whom, [Delete(mirror.id, mirror.etag)])

        await self._until_alone(once)

    async def accept(self, who: Person, follower: Person) -> None:
        """Accept a follow request. Raises a 404 `Problem` if there is none."""

        async def once() -> None:
            edge = await self._read(follower, FOLLOW + who.id)
            mirror = await self._read(who, FOLLOWER + follower.id)
            if edge is None or mirror is None:
                raise Problem(404, "not_found", "This person has no open request to follow.")
            if edge.body["state"] == REQUESTED:
                await self._unsettle(who, follower, ACCEPTED)
                stored = await self.circle(follower, latest=True)
                circle = stored.circle.removing(who.key, "requested").adding(who.key, "follows")
                agreed = {**edge.body, "state": ACCEPTED, "acceptedAt": self._clock()}
                await self._write(follower, [Replace(agreed, edge.etag), stored.write(circle)])
            await self.settle(who, follower)

        await self._until_alone(once)
        await self._update_followed_back(follower, who)

    async def settled(self, whom: Person, who: Person) -> Json | None:
        """Run `settle` and retry on write conflicts; for callers that only read."""
        return await self._until_alone(lambda: self.settle(whom, who))

    async def settle(self, whom: Person, who: Person) -> Json | None:
        """Update a mirror from its edge and return it; None if there is no follow."""
        mirror = await self._read(whom, FOLLOWER + who.id)
        if mirror is None or mirror.body["settled"]:
            return mirror.body if mirror else None
        edge = await self._read(who, FOLLOW + whom.id)
        if edge is None:
            if self._clock() - mirror.body["since"] >= UNSETTLED_SECONDS:
                await self._write(whom, [Delete(mirror.id, mirror.etag)])
            return None
        settled = {**mirror.body, "state": edge.body["state"], "settled": True}
        await self._write(whom, [Replace(settled, mirror.etag)])
        await self._update_followed_back(whom, who)
        return settled

    async def _unsettle(self, whom: Person, who: Person, state: str) -> None:
        """Mark the mirror as unsettled before its edge changes; until then it does not count as following back."""
        mirror = {
            "id": FOLLOWER + who.id,
            "kind": "follower",
            "state": state,
            "since": self._clock(),
            "settled": False,
        }
        stored = await self.circle(whom, latest=True)
        operations: list[Operation] = [Upsert(mirror)]
        if has(stored.circle.followed_back, who.key):
            operations.append(stored.write(stored.circle.removing(who.key, "followed_back")))
        await self._write(whom, operations)

    async def _update_followed_back(self, one: Person, other: Person) -> None:
        """Update in the circle of `one` whether `other` is followed and follows back.

        Called after either edge changed, so the later of two concurrent changes sees both.
        """

        async def once() -> None:
            stored = await self.circle(one, latest=True)
            mirror = await self._read(one, FOLLOWER + other.id)
            back = mirror is not None and mirror.body["settled"] and mirror.body["state"] == ACCEPTED
            want = back and has(stored.circle.follows, other.key)
            if want != has(stored.circle.followed_back, other.key):
                change = stored.circle.adding if want else stored.circle.removing
                await self._write(one, [stored.write(change(other.key, "followed_back"))])

        await self._until_alone(once)

    # ---- blocks

    async def block(self, who: Person, whom: Person) -> None:
        """Block somebody: neither sees the other, and their follows of each other end.

        Raises a `Problem` if it is not allowed.
        """
        if who == whom:
            raise Problem(400, "cannot_block", "A person cannot block themselves. Send another person's id.")

        async def once() -> None:
            mine = await self.circle(who, latest=True)
            if not has(mine.circle.blocked, whom.key) and len(mine.circle.blocked) >= MAX_BLOCKS:
                raise Problem(409, "too_many", f"A person can block at most {MAX_BLOCKS:,} people: unblock one first.")
            theirs = await self.circle(whom, latest=True)
            if not has(theirs.circle.blocked_by, who.key):
                if len(theirs.circle.blocked_by) >= MAX_BLOCKED_BY:
                    raise Problem(
                        409,
                        "too_many",
                        "The limit of blocks against this person is reached, so this block was not stored.",
                    )
                await self._separate(whom, who, theirs, "blocked_by")
            if not has(mine.circle.blocked, whom.key):
                block = {"id": BLOCK + whom.id, "kind": "block", "at": self._clock()}
                await self._separate(who, whom, mine, "blocked", Upsert(block))

        await self._until_alone(once)

    async def unblock(self, who: Person, whom: Person) -> None:
        """Remove a block. Follows that it ended stay ended."""

        async def once() -> None:
            mine = await self.circle(who, latest=True)
            if has(mine.circle.blocked, whom.key):
                operations: list[Operation] = [mine.write(mine.circle.removing(whom.key, "blocked"))]
                if await self._read(who, BLOCK + whom.id) is not None:
                    operations.append(Delete(BLOCK + whom.id))
                await self._write(who, operations)
            theirs = await self.circle(whom, latest=True)
            if has(theirs.circle.blocked_by, who.key):
                await self._write(whom, [theirs.write(theirs.circle.removing(who.key, "blocked_by"))])

        await self._until_alone(once)

    async def _separate(self, one: Person, other: Person, stored: Stored, how: str, *more: Operation) -> None:
        """Remove `other` from the data of `one` and add them to the set `how`, in one batch."""
        circle = stored.circle.removing(other.key, "follows", "requested", "followed_back").adding(other.key, how)
        await self._write(one, [stored.write(circle), *more, *await self._deletes(one, other)])

    async def forget(self, one: Person, other: Person) -> None:
        """Erase `other` from the data of `one` in one batch. Blocks that `one` made stay."""

        async def once() -> None:
            stored, gone = await self.circle(one, latest=True), await self._deletes(one, other)
            circle = stored.circle.removing(other.key, "follows", "requested", "followed_back", "blocked_by")
            if stored.etag is not None:
                await self._write(one, [stored.write(circle), *gone])
            elif gone:
                await self._write(one, gone)

        await self._until_alone(once)

    async def _deletes(self, one: Person, other: Person) -> list[Operation]:
        found = [await self._read(one, id) for id in (FOLLOW + other.id, FOLLOWER + other.id)]
        return [Delete(each.id, each.etag) for each in found if each is not None]

    # ---- reads and writes

    async def _read(self, person: Person, id: str) -> Document | None:
        return await self._documents.read(PEOPLE, person.partition, id, latest=True)

    async def _write(self, person: Person, operations: Sequence[Operation]) -> None:
        try:
            await self._documents.write(PEOPLE, person.partition, operations)
        except WriteRejected as refused:
            raise _Crossed from refused

    async def _until_alone(self, once: Callable[[], Awaitable[T]]) -> T:
        """Run a read-and-write step, and repeat it after write conflicts; each attempt reads anew."""
        try:
            return await retry(once, (_Crossed,), attempts=ATTEMPTS, first_pause=0.002, longest_pause=0.1)
        except _Crossed as crossed:
            raise StoreUnavailable("people change faster than they can be written", 1.0) from crossed
