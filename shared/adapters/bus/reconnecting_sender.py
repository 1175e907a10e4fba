"""Reconnecting sender: one connection to the bus for all callers, opened ahead of use, replaced when it fails.

Independent of the SDK: the adapter supplies the connection and opens it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

from shared.adapters.bus.coalescing import RETRY_AFTER_SECONDS, CoalescingWriter
from shared.adapters.bus.port import BusRefused, BusUnavailable

Item = TypeVar("Item")
BUSY_SECONDS = 10.0
"""How long a busy Service Bus asks its clients to wait (learn.microsoft.com/azure/service-bus-messaging/
service-bus-throttling)."""
FIRST_PAUSE_SECONDS = 0.2


class ConnectionBusy(BusUnavailable):
    """The service asks to wait. The connection works; a new one would only add load."""


class Connection(Protocol[Item]):
    """An open connection. After a call that failed or was cut short its state is unknown, except after `BusRefused` and
    `ConnectionBusy`."""

    async def send(self, items: list[Item], seconds: float) -> int:
        """Send the first n items together and return n. Raises `BusUnavailable` or `BusRefused`."""
        ...

    async def close(self) -> None:
        """Close the connection."""
        ...


class ReconnectingSender(Generic[Item]):
    """Sends items over one connection. `open_connection(seconds)` returns one or raises `BusUnavailable`.

    `budget_seconds` limits one send with its repeats. A failed send is repeated once on a new connection; message ids
    must make that harmless. While the service is busy, the send is repeated on the same connection, with growing
    pauses. If the budget ends meanwhile, nothing is sent for as long as the service asked for, and the error tells
    callers how long that is.
    """

    def __init__(
        self,
        open_connection: Callable[[float], Awaitable[Connection[Item]]],
        budget_seconds: float,
        max_items: int,
        busy_seconds: float = BUSY_SECONDS,
    ) -> None:
        self._busy_seconds = busy_seconds
        self._open_connection = open_connection
        self._budget = budget_seconds
        self._connection: Connection[Item] | None = None
        self._busy_until = float("-inf")
        self._lock = asyncio.Lock()
        self._writer: CoalescingWriter[Item] = CoalescingWriter(self._send, max_items=max_items)

    async def submit(self, item: Item, size: int) -> None:
        """Return once the item is confirmed. Raises `BusUnavailable` when that takes longer than the budget."""
        await self._writer.submit(item, size, self._budget)

    async def open(self, seconds: float) -> None:
        """Open the connection if needed. Raises `BusUnavailable`."""
        async with self._lock:
            await self._opened(seconds)

    async def close(self) -> None:
        """Stop sending and close the connection."""
        await self._writer.close()
        await self._drop()

    async def _send(self, items: list[Item]) -> int:
        deadline = _now() + self._budget
        self._hold_off()
        async with self._lock:
            pause, failed = FIRST_PAUSE_SECONDS, False
            while True:
                try:
                    connection = await self._opened(deadline - _now())
                    return await connection.send(items, deadline - _now())
                except BusRefused:
                    raise
                except ConnectionBusy as error:
                    if _now() + pause >= deadline:
                        self._busy_until = _now() + self._busy_seconds
                        raise BusUnavailable("the bus is busy", self._busy_seconds) from error
                    await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 (jitter, not a secret)
                    pause *= 2
                except BusUnavailable as error:
                    await self._drop()
                    if failed or _now() >= deadline:
                        raise BusUnavailable("the bus did not confirm", RETRY_AFTER_SECONDS) from error
                    failed = True
                except BaseException:
                    await self._drop()
                    raise

    def _hold_off(self) -> None:
        """Raise `BusUnavailable` with the remaining time while the service has asked to wait."""
        left = self._busy_until - _now()
        if left > 0:
            raise BusUnavailable("the bus asked to wait", left)

    async def _opened(self, seconds: float) -> Connection[Item]:
        if self._connection is None:
            self._connection = await self._open_connection(seconds)
        return self._connection

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


def _now() -> float:
    """Return the time of the event loop's clock, which its time-outs use."""
    return asyncio.get_running_loop().time()
