"""Simulated time: days of an app's life in seconds, the same for the same input.

`SimulatedLoop` never waits: when every task sleeps, its time jumps to the first that is due. Work for a thread runs in
place, so no time passes beside it. No sockets.
"""

from __future__ import annotations

import asyncio
import selectors
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from shared.adapters import sqlite

T = TypeVar("T")


TURN_SECONDS = 1e-5
"""Shortest turn of the loop; otherwise a task that waits for a clock to move would wait for ever."""


class _Selector(selectors.DefaultSelector):
    now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        found = super().select(0)
        self.now += TURN_SECONDS
        if found:
            return found
        if timeout is None:
            raise RuntimeError("every task waits for something that will never come")
        self.now += max(0.0, timeout)
        return []


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop with its own time, in seconds from 0."""

    def __init__(self) -> None:
        self._simulated = _Selector()
        super().__init__(self._simulated)

    def time(self) -> float:
        return self._simulated.now

    def jump(self, seconds: float) -> None:
        """Let time pass at once, as for a frozen process: tasks due meanwhile run late."""
        self._simulated.now += seconds

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:
            done.set_exception(error)
        return done


class SimulatedClock:
    """The clock of the loop. `start` is the time of day, in seconds since the epoch, when the loop was at 0."""

    def __init__(self, loop: SimulatedLoop, start: float) -> None:
        self._loop, self._start = loop, start

    def now(self) -> float:
        return self._start + self._loop.time()

    def elapsed(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class SqliteInPlace(sqlite.SqliteThread):
    """A database in memory without a thread: each call is done when it returns."""

    def __init__(self, schema: str, unavailable: Callable[[str], Exception]) -> None:
        super().__init__(Path(":memory:"), schema, unavailable, writes=True)
        self._connection = self._open()

    def call(self, work: Callable[[sqlite3.Connection], T], *, durable: bool = True) -> asyncio.Future[T]:
        loop = asyncio.get_running_loop()
        call = sqlite._Call(work, loop, loop.create_future(), durable)
        sqlite._run_in_one_transaction(self._connection, [call])
        sqlite._settle([call])
        return call.future

    async def close(self) -> None:
        self._connection.close()
