"""A bus that refuses everything while a test says so."""

from __future__ import annotations

from typing import Any

from shared.adapters.bus.port import Bus, BusUnavailable, OutgoingMessage


class FaultyBus:
    """`Bus` around `inner`. While `down` is set, publishing raises it."""

    def __init__(self, inner: Bus) -> None:
        self.inner = inner
        self.down: BusUnavailable | None = None

    async def publish(self, message: OutgoingMessage) -> None:
        if self.down is not None:
            raise self.down
        await self.inner.publish(message)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)
