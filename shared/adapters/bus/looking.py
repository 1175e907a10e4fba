"""Measures the subscriptions of the bus: waiting messages, dead letters and the oldest message. Receives nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared.adapters.bus.port import SUBSCRIPTIONS, Bus, BusError
from shared.observability.metrics import Telemetry


@dataclass(frozen=True, slots=True)
class Waiting:
    """Messages and dead letters of a subscription. `oldest_at`: when its oldest message was enqueued (seconds since the
    epoch); None without messages."""

    subscription: str
    messages: int
    dead_letters: int
    oldest_at: float | None


async def look(bus: Bus, telemetry: Telemetry) -> Sequence[Waiting]:
    """Measure each subscription. One that the bus does not answer for is counted as a failure and left out."""
    found = []
    for subscription in SUBSCRIPTIONS:
        try:
            messages, dead = await bus.depth(subscription)
            oldest = await bus.oldest(subscription)
        except BusError:
            telemetry.count("bus_failures", "depth")
            continue
        found.append(Waiting(subscription, messages, dead, oldest))
    return found
