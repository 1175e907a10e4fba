"""How much waits on the bus: a glance now and then, as gauges."""

from __future__ import annotations

from bootstrap import Services
from shared.adapters.bus.port import SUBSCRIPTIONS, BusError


async def measure(services: Services) -> None:
    """Messages and dead letters of each subscription. A glance may fail without harm: it is counted."""
    for subscription in SUBSCRIPTIONS:
        try:
            waiting, dead = await services.bus.depth(subscription)
        except BusError:
            services.telemetry.count("bus_failures", "depth")
            continue
        services.telemetry.gauge("queue_messages", waiting, subscription)
        services.telemetry.gauge("dead_letters", dead, subscription)
