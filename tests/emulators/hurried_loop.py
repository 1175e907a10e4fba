"""An event loop with faster time, for a client that sleeps during every connection.

The Service Bus SDK opens a link in half a second and closes one in a second, nearly all of it in fixed sleeps. On this
loop a second of `asyncio` time takes a tenth of one; sockets, threads and the wall clock are not changed.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import Any

SPEED = 10.0


class _HurriedSelector(selectors.DefaultSelector):
    def select(self, timeout: float | None = None) -> Any:
        return super().select(None if timeout is None else timeout / SPEED)


class HurriedLoop(asyncio.SelectorEventLoop):
    """A selector loop with time running `SPEED` times as fast."""

    def __init__(self) -> None:
        super().__init__(_HurriedSelector())

    def time(self) -> float:
        return super().time() * SPEED
