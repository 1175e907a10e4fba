"""Wraps a document store and makes it slow, unavailable or cut off when a test says so."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from shared.adapters.documents.port import (
    Changes,
    Container,
    Document,
    DocumentStore,
    Operation,
    Page,
    StoreUnavailable,
)


@dataclass
class Trouble:
    """An injected fault. Empty `containers` and `partitions` mean all of them."""

    containers: frozenset[str] = frozenset()
    partitions: frozenset[str] = frozenset()
    delay_seconds: float = 0.0
    reads_fail: bool = False
    writes_fail: bool = False
    cut_after_write: int = 0
    """Number of the next writes that are applied and then reported as failed."""
    before_write: Callable[[], Awaitable[None]] | None = None
    """Called once, just before the next write."""
    defect: Exception | None = None
    """Raised by every read: an error the store never raises on purpose."""

    def concerns(self, container: Container, partition: str | None) -> bool:
        return (not self.containers or container.name in self.containers) and (
            not self.partitions or partition is None or partition in self.partitions
        )


@dataclass
class FaultyDocuments:
    """`DocumentStore` around `inner`. `troubles` are in force until the context that made them ends."""

    inner: DocumentStore
    troubles: list[Trouble] = field(default_factory=list)
    reads: int = 0
    writes: int = 0
    touched: Counter[str] = field(default_factory=Counter)
    """How often each container was read or written."""
    first_pages: Counter[tuple[str, str]] = field(default_factory=Counter)

    def loads(self, container: str) -> dict[str, int]:
        """Return how often each partition of a container was read from its beginning."""
        return {partition: times for (name, partition), times in self.first_pages.items() if name == container}

    @contextmanager
    def in_trouble(self, trouble: Trouble) -> Iterator[Trouble]:
        """Inject `trouble` until the context ends."""
        self.troubles.append(trouble)
        try:
            yield trouble
        finally:
            self.troubles.remove(trouble)

    async def _suffer(self, container: Container, partition: str | None, *, writing: bool) -> list[Trouble]:
        self.touched[container.name] += 1
        felt = [trouble for trouble in self.troubles if trouble.concerns(container, partition)]
        for trouble in felt:
            if trouble.delay_seconds:
                await asyncio.sleep(trouble.delay_seconds)
            if writing and trouble.before_write is not None:
                meanwhile, trouble.before_write = trouble.before_write, None
                await meanwhile()
            if trouble.defect is not None and not writing:
                raise trouble.defect
            if trouble.writes_fail if writing else trouble.reads_fail:
                raise StoreUnavailable("down, as the test asked")
        return felt

    async def read(self, container: Container, partition: str, id: str, *, latest: bool = False) -> Document | None:
        self.reads += 1
        await self._suffer(container, partition, writing=False)
        return await self.inner.read(container, partition, id, latest=latest)

    async def write(self, container: Container, partition: str, operations: Sequence[Operation]) -> list[str | None]:
        self.writes += 1
        felt = await self._suffer(container, partition, writing=True)
        etags = await self.inner.write(container, partition, operations)
        for trouble in felt:
            if trouble.cut_after_write > 0:
                trouble.cut_after_write -= 1
                raise StoreUnavailable("cut off after the write, as the test asked")
        return etags

    async def query(
        self,
        container: Container,
        partition: str,
        *,
        id_prefix: str = "",
        after: str | None = None,
        limit: int = 200,
    ) -> Page:
        if after is None and not id_prefix:
            self.first_pages[container.name, partition] += 1
        await self._suffer(container, partition, writing=False)
        return await self.inner.query(container, partition, id_prefix=id_prefix, after=after, limit=limit)

    async def changes(self, container: Container, since: str | None, *, limit: int = 500) -> Changes:
        await self._suffer(container, None, writing=False)
        return await self.inner.changes(container, since, limit=limit)

    async def ready(self) -> None:
        for trouble in self.troubles:
            if trouble.reads_fail:
                raise StoreUnavailable("down, as the test asked")
        await self.inner.ready()

    async def close(self) -> None:
        await self.inner.close()
