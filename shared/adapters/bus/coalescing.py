"""Coalescing writer: items that arrive during a send are sent together in the next one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from shared.adapters.bus.port import BusRefused, BusUnavailable

Item = TypeVar("Item")
RETRY_AFTER_SECONDS = 2.0


@dataclass(eq=False, slots=True)
class _Waiting(Generic[Item]):
    item: Item
    size: int
    done: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class CoalescingWriter(Generic[Item]):
    """Passes items to `send` one batch at a time, in the order of arrival.

    `send(items)` confirms the first n items and returns n; it raises when it confirmed none. A batch has at most
    `max_items` and `max_bytes` (a single item can be larger). At most `max_pending_bytes` wait; above that, callers
    fail at once.
    """

    def __init__(
        self,
        send: Callable[[list[Item]], Awaitable[int]],
        *,
        max_items: int = 200,
        max_bytes: int = 200_000,
        max_pending_bytes: int = 32_000_000,
    ) -> None:
        self._send = send
        self._max_items, self._max_bytes, self._max_pending_bytes = max_items, max_bytes, max_pending_bytes
        self._queue: deque[_Waiting[Item]] = deque()
        self._pending_bytes = 0
        self._task: asyncio.Task[None] | None = None

    async def submit(self, item: Item, size: int, budget_seconds: float) -> None:
        """Return once the item is confirmed. Raises `BusUnavailable` when that takes longer than the budget.

        An item is not sent if its caller gave up before its turn.
        """
        if self._pending_bytes + size > self._max_pending_bytes:
            raise BusUnavailable("too much waits for the bus already", RETRY_AFTER_SECONDS)
        waiting = _Waiting(item, size)
        self._queue.append(waiting)
        self._pending_bytes += size
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        try:
            async with asyncio.timeout(budget_seconds):
                await waiting.done
        except TimeoutError:
            raise BusUnavailable("the bus did not confirm in time", RETRY_AFTER_SECONDS) from None

    async def close(self) -> None:
        """Stop. Callers that still wait get `BusUnavailable`, as it is unknown whether their item was sent."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        while self._queue:
            self._settle([self._queue.popleft()], BusUnavailable("the bus was closed"))

    async def _run(self) -> None:
        while batch := self._next_batch():
            try:
                sent = await self._send([waiting.item for waiting in batch])
            except asyncio.CancelledError:
                self._settle(batch, BusUnavailable("the bus was closed"))
                raise
            except BusRefused as error:
                if len(batch) == 1:
                    self._settle(batch, error)
                else:
                    await self._send_one_by_one(batch)
            except Exception as error:
                self._settle(batch, error)
            else:
                self._queue.extendleft(reversed(batch[sent:]))
                self._settle(batch[:sent], None)

    async def _send_one_by_one(self, batch: list[_Waiting[Item]]) -> None:
        """Send a refused batch item by item, so that the item at fault does not make the others fail."""
        for n, waiting in enumerate(batch):
            try:
                await self._send([waiting.item])
            except asyncio.CancelledError:
                self._settle(batch[n:], BusUnavailable("the bus was closed"))
                raise
            except Exception as error:
                self._settle([waiting], error)
            else:
                self._settle([waiting], None)

    def _next_batch(self) -> list[_Waiting[Item]]:
        batch: list[_Waiting[Item]] = []
        size = 0
        while self._queue and len(batch) < self._max_items:
            waiting = self._queue[0]
            if waiting.done.done():  # its caller gave up
                self._pending_bytes -= self._queue.popleft().size
                continue
            if batch and size + waiting.size > self._max_bytes:
                break
            batch.append(self._queue.popleft())
            size += waiting.size
        return batch

    def _settle(self, batch: list[_Waiting[Item]], error: Exception | None) -> None:
        for waiting in batch:
            self._pending_bytes -= waiting.size
            if waiting.done.done():
                continue
            if error is None:
                waiting.done.set_result(None)
            else:
                waiting.done.set_exception(error)
