"""Compares this instance's clock with the `Date` header of App Configuration and Cosmos DB.

With a wrong clock, an instance would accept events at wrong times, and delete data that is not old. The clock counts as
wrong only when both services say so, twice in a row, and agree with each other. When they disagree, the state is
`disputed`: an alarm that refuses nothing. On one machine there is no service to compare with.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime

from shared.observability.logs import log_event
from shared.observability.metrics import Telemetry

log = logging.getLogger("feed.clock")

TOLERANCE_SECONDS = 30.0
ANSWERS_IN_A_ROW = 2
LOOK_EVERY_SECONDS = 0.25
"""Least time between two dates of a service that are read: parsing one costs some microseconds."""
APP_CONFIGURATION, COSMOS = "app_configuration", "cosmos"
RIGHT, WRONG, DISPUTED = "right", "wrong", "disputed"


class ClockGuard:
    """Compares the clock with the dates of the services' answers.

    `clock` returns seconds since the epoch, `elapsed` monotonic seconds. Their difference reveals at once, also between
    two answers, when the clock is set.
    """

    def __init__(self, clock: Callable[[], float], elapsed: Callable[[], float], telemetry: Telemetry) -> None:
        self._clock, self._elapsed, self._telemetry = clock, elapsed, telemetry
        self._looked_at: dict[str, float] = {}
        self._zeros: dict[str, deque[float]] = {
            service: deque(maxlen=ANSWERS_IN_A_ROW) for service in (APP_CONFIGURATION, COSMOS)
        }
        """By service: the time of day at `elapsed` 0, from each of its last dates."""
        self._zero = clock() - elapsed()
        self._state = RIGHT
        for service in self._zeros:
            telemetry.watch("clock_ahead_seconds", lambda name=service: self._ahead(name), service)  # type: ignore[misc]
        telemetry.watch("clock_wrong", lambda: float(self._state == WRONG))
        telemetry.watch("clock_disputed", lambda: float(self._state == DISPUTED))

    def saw(self, service: str, headers: Mapping[str, str]) -> None:
        """Read the headers of a well-formed answer, on any thread. Ignores a cached answer (header `Age`)."""
        now = self._elapsed()
        if 0 <= now - self._looked_at.get(service, float("-inf")) < LOOK_EVERY_SECONDS:
            return
        lower = {name.lower(): value for name, value in headers.items() if name.lower() in ("date", "age")}
        if "age" in lower or "date" not in lower:
            return
        try:
            date = parsedate_to_datetime(lower["date"]).timestamp()
        except (ValueError, TypeError, OverflowError):
            return
        self._looked_at[service] = now
        self._zeros[service].append(date + 0.5 - now)  # a date is truncated to whole seconds

    def trusted(self) -> bool:
        """Whether writes can use this clock's time. A change of state is logged."""
        zero = self._clock() - self._elapsed()
        if abs(zero - self._zero) > TOLERANCE_SECONDS:
            self._telemetry.count("clock_steps")
            log_event(log, logging.WARNING, "clock_stepped", seconds=round(zero - self._zero, 1))
        self._zero = zero
        state = self._judged(zero)
        if state != self._state:
            self._state = state
            level = {RIGHT: logging.INFO, DISPUTED: logging.WARNING, WRONG: logging.ERROR}[state]
            ahead = {service: self._ahead(service) for service in self._zeros}
            told = [f"{name} {each:+.0f} s" for name, each in ahead.items() if each is not None]
            log_event(log, level, f"clock_{state}", ahead=told)
        return state != WRONG

    def _ahead(self, service: str) -> float | None:
        """Return the seconds by which this clock is ahead of a service's last date; None without a date."""
        zeros = self._zeros[service]
        return self._clock() - self._elapsed() - zeros[-1] if zeros else None

    def _judged(self, zero: float) -> str:
        off: list[bool] = []
        last: list[float] = []
        for zeros in self._zeros.values():
            seen = tuple(zeros)
            if len(seen) < ANSWERS_IN_A_ROW:
                return RIGHT
            off.append(all(abs(zero - each) > TOLERANCE_SECONDS for each in seen))
            last.append(seen[-1])
        if not any(off):
            return RIGHT
        return WRONG if all(off) and max(last) - min(last) <= TOLERANCE_SECONDS else DISPUTED
