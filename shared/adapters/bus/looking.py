"""Looks at what waits on the bus, a subscription at a time, without receiving any of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared.adapters.bus.port import SUBSCRIPTIONS, Bus, BusError
from shared.observability.metrics import Telemetry


@dataclass(frozen=True, slots=True)
class Waiting:
    """Messages that wait in a queue. `oldest_at`: when the oldest message was enqueued (seconds since the epoch), None
    for none."""

    subscription: str
    messages: int
    dead_letters: int
    oldest_at: float | None


async def look(bus: Bus, telemetry: Telemetry) -> Sequence[Waiting]:
    """Each subscription that could be looked at. A bus that does not answer is counted and passed over."""
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
