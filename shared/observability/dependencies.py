"""Tracks failing dependencies: logs one line when one begins to fail, and one when it works again.

A dependency is a part that can fail alone, with a name such as `documents.write`, `bus.publish` or `flags`. Callers
report how each call ended. Thousands of failures make one line, whose `errorId` clients get in the meantime.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from shared.observability.logs import log_event

log = logging.getLogger("feed.dependencies")

QUIET_SECONDS = 10.0
"""A dependency works again when a call succeeds and none has failed for this long. So one that fails now and then is
reported once."""


@dataclass(slots=True)
class Outage:
    """A failing dependency. Times in seconds of a monotonic clock."""

    error_id: str
    reason: str
    since: float
    last_failure: float
    failures: int = 1
    last_success: float = float("-inf")


class Gauges(Protocol):
    """Setter of gauges, as `Telemetry` has it."""

    def gauge(self, name: str, value: float, *labels: str) -> None: ...


class Dependencies:
    """Failing dependencies of one process."""

    def __init__(
        self,
        telemetry: Gauges,
        clock: Callable[[], float] = time.monotonic,
        quiet_seconds: float = QUIET_SECONDS,
    ) -> None:
        self._telemetry = telemetry
        self._clock = clock
        self._outages: dict[str, Outage] = {}
        self.quiet_seconds = quiet_seconds

    def failed(self, name: str, reason: str) -> str:
        """Record a failed call; return the outage's error id. `reason`: a fixed text or a type name, never a value."""
        now = self._clock()
        outage = self._outages.get(name)
        if outage is not None:
            outage.last_failure, outage.reason = now, reason
            outage.failures += 1
            return outage.error_id
        outage = self._outages[name] = Outage(secrets.token_hex(8), reason, now, now)
        self._telemetry.gauge("dependency_failing", 1.0, name)
        log_event(
            log, logging.ERROR, "dependency_fails", always=True,
            dependency=name, reason=reason, errorId=outage.error_id,
        )  # fmt: skip
        return outage.error_id

    def works(self, name: str) -> None:
        """Record a call that succeeded. Costs one look-up while nothing fails."""
        outage = self._outages.get(name)
        if outage is None:
            return
        now = outage.last_success = self._clock()
        if now - outage.last_failure < self.quiet_seconds:
            return
        del self._outages[name]
        self._telemetry.gauge("dependency_failing", 0.0, name)
        log_event(
            log, logging.WARNING, "dependency_works_again", always=True,
            dependency=name, failures=outage.failures, seconds=round(now - outage.since, 1), errorId=outage.error_id,
        )  # fmt: skip

    def broken(self, within_seconds: float) -> list[str]:
        """Return the dependencies whose last call failed within the last `within_seconds`."""
        failing = self.failing(within_seconds).items()
        return [name for name, outage in failing if outage.last_success < outage.last_failure]

    def now(self) -> float:
        """Return the present time of the clock that outages use."""
        return self._clock()

    def failing(self, within_seconds: float = float("inf")) -> dict[str, Outage]:
        """Return the outages with a failed call within the last `within_seconds`, by name."""
        now = self._clock()
        return {name: each for name, each in self._outages.items() if now - each.last_failure <= within_seconds}
