"""Starts the test broker with the project's entities, where its library is installed."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from shared.adapters.bus.port import LOCK_SECONDS, MAX_DELIVERIES
from tests.emulators.clock import MovableClock
from tests.skip_reasons import leave_out

if TYPE_CHECKING:
    from tests.emulators.servicebus.broker import ServiceBusBroker


def broker_of_user_events(
    clock: MovableClock | None = None,
    port: int = 0,
    lock_seconds: float = LOCK_SECONDS,
    max_deliveries: int = MAX_DELIVERIES,
) -> ServiceBusBroker:
    """Return a broker, not started. Skips the test when python-qpid-proton, which needs a C compiler, is missing."""
    try:
        from tests.emulators.servicebus.broker import ServiceBusBroker
    except ImportError:
        leave_out(
            "Service Bus tests need python-qpid-proton, which a C compiler builds (apt-get install build-essential)"
        )
    from tests.emulators.servicebus.layout import user_events

    return ServiceBusBroker(partial(user_events, lock_seconds=lock_seconds, max_deliveries=max_deliveries), clock, port)
