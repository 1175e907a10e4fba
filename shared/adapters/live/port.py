"""The live port: sends notifications to listeners over open connections. Nothing is stored or guaranteed.

A listener finds a lost notification by polling the API; the port only saves the polling.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Frame = Mapping[str, Any]
NUDGE: Frame = {"type": "new"}
"""Notification without content: there is something new to fetch."""
ADDRESS_SECONDS = 3600.0
"""Seconds in which a client can connect to an address. An open connection stays open."""


class LiveUnavailable(Exception):
    """The service failed to answer: down, throttled or cut off."""


@dataclass(frozen=True, slots=True)
class Address:
    """WebSocket URL of a listener, with its token, and the time until it can connect (seconds since the epoch)."""

    url: str
    expires_at: float


class Live(Protocol):
    """The port. `who`: name of one listener of one tenant; backends outside the network get only a keyed hash of it."""

    @property
    def inside(self) -> bool:
        """Whether frames stay inside the operators' network, so that they can have content."""
        ...

    async def address(self, who: str, now: float) -> Address:
        """Return an address for `who` alone. Raises `LiveUnavailable`."""
        ...

    async def send(self, who: str, frames: Sequence[Frame]) -> None:
        """Send each frame, as JSON text, to every open connection of `who`. Raises `LiveUnavailable`."""
        ...

    async def close(self) -> None:
        """Close connections. Safe to call twice."""
        ...
