"""Reconnecting sender: one connection to the bus for all callers, opened ahead of use, replaced when it fails.

Knows no SDK: what a connection is and how one is opened comes from the adapter.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

from shared.adapters.bus.coalescing import RETRY_AFTER_SECONDS, CoalescingWriter
from shared.adapters.bus.port import BusUnavailable

Item = TypeVar("Item")


class Connection(Protocol[Item]):
    """An open connection. Its state is unknown after a call that failed or was cut short, except for `ValueError`."""

    async def send(self, items: list[Item], seconds: float) -> int:
        """Send the first n as one and return n. Raises `BusUnavailable`, or `ValueError` for what no bus takes."""
        ...

    async def close(self) -> None:
        """Let go."""
        ...


class ReconnectingSender(Generic[Item]):
    """`open_connection(seconds)` gives a connection or raises `BusUnavailable`. `budget_seconds` bounds one send with
    its repeat.

    A send that fails is repeated once on a fresh connection; what the items carry must make that harmless.
    """

    def __init__(
        self, open_connection: Callable[[float], Awaitable[Connection[Item]]], budget_seconds: float, max_items: int
    ) -> None:
        self._open_connection = open_connection
        self._budget = budget_seconds
        self._connection: Connection[Item] | None = None
        self._lock = asyncio.Lock()
        self._writer: CoalescingWriter[Item] = CoalescingWriter(self._send, max_items=max_items)

    async def submit(self, item: Item, size: int) -> None:
        """Return once the item is confirmed. Raises `BusUnavailable` when that takes longer than the budget."""
        await self._writer.submit(item, size, self._budget)

    async def open(self, seconds: float) -> None:
        """Have a connection ready. Raises `BusUnavailable`."""
        async with self._lock:
            await self._opened(seconds)

    async def close(self) -> None:
        """Stop sending and close the connection."""
        await self._writer.close()
        await self._drop()

    async def _send(self, items: list[Item]) -> int:
        deadline = time.monotonic() + self._budget
        async with self._lock:
            for attempt in (1, 2):
                try:
                    connection = await self._opened(deadline - time.monotonic())
                    return await connection.send(items, deadline - time.monotonic())
                except ValueError:
                    raise
                except BusUnavailable as error:
                    await self._drop()
                    if attempt == 2 or time.monotonic() >= deadline:
                        raise BusUnavailable("the bus did not confirm", RETRY_AFTER_SECONDS) from error
                except BaseException:
                    await self._drop()
                    raise
        raise AssertionError

    async def _opened(self, seconds: float) -> Connection[Item]:
        if self._connection is None:
            self._connection = await self._open_connection(seconds)
        return self._connection

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
