"""A store that fails after a number of writes, like a killed process, and keeps what was written."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.adapters.documents.port import Container, Operation
from tests.memory_documents import MemoryDocuments


class Killed(BaseException):
    """The process died; no product code may catch this."""


@dataclass
class BreakingStore:
    """`DocumentStore` around `inner`. `left`: number of writes until it fails; None for no limit."""

    inner: MemoryDocuments = field(default_factory=MemoryDocuments)
    left: int | None = None
    writes: int = 0

    async def write(self, container: Container, partition: str, operations: Sequence[Operation]) -> list[str | None]:
        if self.left is not None:
            if self.left == 0:
                raise Killed
            self.left -= 1
        self.writes += 1
        return await self.inner.write(container, partition, operations)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


async def killed_between_any_writes(
    prepared: Callable[[BreakingStore], Awaitable[None]],
    step: Callable[[BreakingStore], Awaitable[object]],
    then: Callable[[BreakingStore, int], Awaitable[None]],
) -> int:
    """Run `step` on a store from `prepared`, killed before each of its writes in turn, and check with `then` after
    each kill and after the complete run. Return the number of writes."""
    number = 0
    while True:
        store = BreakingStore()
        await prepared(store)
        store.left = number
        try:
            await step(store)
        except Killed:
            store.left = None
            await then(store, number)
            number += 1
            continue
        store.left = None
        await then(store, number)
        return number
