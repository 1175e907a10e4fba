"""Reads pages of a person's follows, followers and blocks."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from shared.adapters.documents.port import PEOPLE, Document, DocumentStore
from stories.graph import BLOCK, FOLLOW, FOLLOWER, Graph
from stories.identity import Person


@dataclass(frozen=True, slots=True)
class PeoplePage:
    """Documents about people, in the order of their ids. `next` is the id to continue after, None at the end."""

    documents: list[Document]
    next: str | None

    def ids(self) -> list[str]:
        return [each.id.partition(":")[2] for each in self.documents]


class PeoplePages:
    """Reads pages from a person's own partition. Raises `StoreUnavailable`."""

    def __init__(self, documents: DocumentStore, graph: Graph) -> None:
        self._documents = documents
        self._graph = graph

    async def following(self, person: Person, after: str | None, limit: int) -> PeoplePage:
        return await self._page(person, FOLLOW, after, limit)

    async def blocks(self, person: Person, after: str | None, limit: int) -> PeoplePage:
        return await self._page(person, BLOCK, after, limit)

    async def followers(self, person: Person, after: str | None, limit: int) -> PeoplePage:
        """Return people who follow or request to. Repairs entries that an interrupted call left unsettled."""
        page = await self._page(person, FOLLOWER, after, limit)
        settled = await asyncio.gather(*(self._settled(person, each) for each in page.documents))
        return PeoplePage([each for each in settled if each is not None], page.next)

    async def _settled(self, person: Person, mirror: Document) -> Document | None:
        if mirror.body["settled"]:
            return mirror
        follower = Person(person.tenant_id, mirror.id.removeprefix(FOLLOWER))
        body = await self._graph.settled(person, follower)
        return None if body is None else Document(mirror.partition, mirror.id, body, mirror.etag)

    async def _page(self, person: Person, prefix: str, after: str | None, limit: int) -> PeoplePage:
        last = None if after is None else prefix + after
        page = await self._documents.query(PEOPLE, person.partition, id_prefix=prefix, after=last, limit=limit)
        return PeoplePage(page.documents, None if page.next is None else page.next.removeprefix(prefix))
