"""Publishes queue lengths, dead-letter counts and the age of the oldest message as gauges."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from shared.adapters.bus.looking import look
from shared.adapters.bus.port import SUBSCRIPTIONS, Bus
from shared.observability.metrics import Telemetry

KNOWN_SECONDS = 180.0
"""How long a measured age is reported. The timer can continue in another process, and this one must not repeat its
value."""


class Queues:
    """Measures the bus when called. Ages are computed at the moment they are read."""

    def __init__(
        self, bus: Bus, telemetry: Telemetry, clock: Callable[[], float], elapsed: Callable[[], float]
    ) -> None:
        self._bus = bus
        self._telemetry = telemetry
        self._clock = clock
        self._elapsed = elapsed
        self._looked: dict[str, tuple[float, float | None]] = {}
        """By subscription: time of measurement (by `elapsed`), and when its oldest message arrived (None: none)."""
        for subscription in SUBSCRIPTIONS:
            telemetry.watch("queue_oldest_seconds", partial(self._age, subscription), subscription)

    async def measure(self) -> None:
        """Set the gauges for each subscription. A bus that does not answer is counted and skipped."""
        for seen in await look(self._bus, self._telemetry):
            self._telemetry.gauge("queue_messages", seen.messages, seen.subscription)
            self._telemetry.gauge("dead_letters", seen.dead_letters, seen.subscription)
            self._looked[seen.subscription] = self._elapsed(), seen.oldest_at

    def _age(self, subscription: str) -> float | None:
        """Return how long the oldest message has waited, in seconds; None if the last measurement is too old."""
        at, oldest = self._looked.get(subscription, (-KNOWN_SECONDS, None))
        if self._elapsed() - at >= KNOWN_SECONDS:
            return None
        return 0.0 if oldest is None else max(0.0, self._clock() - oldest)
