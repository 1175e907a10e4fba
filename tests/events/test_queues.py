"""Queue lengths are published as gauges, and dropped when they are old."""

from __future__ import annotations

from typing import Any

from events.queues import KNOWN_SECONDS, Queues
from shared.adapters.bus.port import ROLLUP, SIGNALS, SUBSCRIPTIONS, BusUnavailable
from shared.observability.metrics import Telemetry


class Bus:
    enqueued: float | None = 1_000.0
    down = False

    async def depth(self, subscription: str) -> tuple[int, int]:
        if self.down:
            raise BusUnavailable("gone")
        return 3, 1

    async def oldest(self, subscription: str) -> float | None:
        return self.enqueued


async def test_age_of_the_oldest_message_grows_between_measurements() -> None:
    now, telemetry, bus = 1_000.0, Telemetry(), Bus()
    queues = Queues(bus, telemetry, lambda: now, lambda: now)  # type: ignore[arg-type]

    def told() -> dict[Any, float]:
        return telemetry.read_gauges()

    key = ("queue_oldest_seconds", (ROLLUP,))
    assert key not in told()
    await queues.measure()
    assert told()[key] == 0.0
    assert told()["queue_messages", (SIGNALS,)] == 3
    now += 40.0
    assert told()[key] == 40.0
    bus.enqueued = None
    await queues.measure()
    now += 40.0
    assert told()[key] == 0.0, "nothing waits"


async def test_process_that_stopped_measuring_reports_no_age() -> None:
    """Otherwise an alert would continue for ever on the last value of one process."""
    now, telemetry, bus = 1_000.0, Telemetry(), Bus()
    queues = Queues(bus, telemetry, lambda: now, lambda: now)  # type: ignore[arg-type]
    await queues.measure()
    bus.down = True
    await queues.measure()
    assert telemetry.counters["bus_failures", ("depth",)] == len(SUBSCRIPTIONS)
    now += KNOWN_SECONDS
    assert ("queue_oldest_seconds", (ROLLUP,)) not in telemetry.read_gauges()
