"""The live port: tells somebody who listens, now, that something happened. Nothing here is stored or promised.

What was sent to nobody, or got lost, is found again by whoever asks: the port only saves them the asking.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Frame = Mapping[str, Any]
NUDGE: Frame = {"type": "new"}
"""Says that there is something to fetch, and neither what nor of whom."""
ADDRESS_SECONDS = 3600.0
"""How long an address can be connected to. A connection that stands goes on."""


class LiveUnavailable(Exception):
    """The service did not answer as it should: down, throttled, cut off."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where somebody listens: a WebSocket's URL, whose token is in it, and until when it can be connected to (seconds
    since the epoch)."""

    url: str
    expires_at: float


class Live(Protocol):
    """The port. `who` names one listener of one tenant; backends outside the network see a keyed hash of it alone."""

    @property
    def inside(self) -> bool:
        """Whether frames stay within what the operators run, so that they may say what happened."""
        ...

    async def address(self, who: str, now: float) -> Address:
        """Where to listen, only for `who`. Raises `LiveUnavailable`."""
        ...

    async def send(self, who: str, frames: Sequence[Frame]) -> None:
        """Send each frame, as JSON text, to every connection of `who`; to nobody where there is none. Raises
        `LiveUnavailable`."""
        ...

    async def close(self) -> None:
        """Let go of connections. Safe to call twice."""
        ...
