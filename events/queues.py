"""Publishes queue length and dead-letter count as gauges."""

from __future__ import annotations

from shared.adapters.bus.port import SUBSCRIPTIONS, Bus, BusError
from shared.observability.metrics import Telemetry


async def measure_queues(bus: Bus, telemetry: Telemetry) -> None:
    """Set the gauges for each subscription. A bus that does not answer is counted and passed over."""
    for subscription in SUBSCRIPTIONS:
        try:
            waiting, dead = await bus.depth(subscription)
        except BusError:
            telemetry.count("bus_failures", "depth")
            continue
        telemetry.gauge("queue_messages", waiting, subscription)
        telemetry.gauge("dead_letters", dead, subscription)
