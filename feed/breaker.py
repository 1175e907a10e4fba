"""Circuit breaker: stops requests from waiting for a dependency that keeps failing or answers too late.

    closed ── too many of the last calls failed ──▶ open ── its pause is over ──▶ probing
       ▲                                              ▲                              │
       └────────── enough probes in a row worked ─────┼──────────── one failed ──────┘
                                                      └─ the pause doubles, up to a limit

Pure: times are arguments, in seconds of any clock that does not go back. See Nygard, Release It!, 2nd ed., ch. 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """State of a breaker."""

    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


@dataclass(frozen=True, slots=True)
class Objective:
    """When a breaker opens and closes.

    It opens when at least `least_calls` were made within about `window_seconds`, and `failing_share` or more of them
    failed. While open, it lets nothing through for `pause_seconds`, then one probe at a time. `probes_to_close`
    successful probes in a row close it.
    """

    window_seconds: float = 10.0
    least_calls: int = 20
    failing_share: float = 0.5
    pause_seconds: float = 1.0
    longest_pause_seconds: float = 15.0
    probes_to_close: int = 3
    probe_patience_seconds: float = 5.0
    """A probe without an answer by then counts as lost, and another one can start."""


class Breaker:
    """Call `allows` before each call of the dependency. If it returns True, report the outcome with `record`."""

    def __init__(self, objective: Objective | None = None) -> None:
        self._objective = objective or Objective()
        self.state = State.CLOSED
        self._window_from = float("-inf")
        self._calls = self._failures = 0
        self._calls_before = self._failures_before = 0
        self._pause = self._objective.pause_seconds
        self._open_until = 0.0
        self._probing_since: float | None = None
        self._probes_ok = 0

    def allows(self, now: float) -> bool:
        """Tell whether a call can start now. If it is a probe, no other call can start until it is recorded."""
        if self.state is State.CLOSED:
            return True
        if self.state is State.OPEN:
            if now < self._open_until:
                return False
            self.state = State.PROBING
            self._probes_ok, self._probing_since = 0, None
        if self._probing_since is not None and now - self._probing_since < self._objective.probe_patience_seconds:
            return False
        self._probing_since = now
        return True

    def record(self, ok: bool, now: float) -> None:
        """Record the outcome of an allowed call. `ok`: it answered in time and without an error."""
        if self.state is State.CLOSED:
            self._count(ok, now)
        elif self.state is State.PROBING:
            self._probing_since = None
            self._probed(ok, now)
        # Open: a call that started before the breaker opened no longer matters.

    def _count(self, ok: bool, now: float) -> None:
        """Count in two half windows, so counted calls are at most one window old, and the last half window always
        counts."""
        half = self._objective.window_seconds / 2
        if now - self._window_from >= half:
            recent = now - self._window_from < 2 * half
            self._calls_before, self._failures_before = (self._calls, self._failures) if recent else (0, 0)
            self._calls = self._failures = 0
            self._window_from = now
        self._calls += 1
        self._failures += not ok
        calls, failures = self._calls + self._calls_before, self._failures + self._failures_before
        if not ok and calls >= self._objective.least_calls and failures >= self._objective.failing_share * calls:
            self._open(now)

    def _probed(self, ok: bool, now: float) -> None:
        if not ok:
            self._pause = min(self._objective.longest_pause_seconds, self._pause * 2)
            self._open(now)
            return
        self._probes_ok += 1
        if self._probes_ok >= self._objective.probes_to_close:
            self.state = State.CLOSED
            self._pause = self._objective.pause_seconds
            self._window_from = float("-inf")
            self._calls = self._failures = self._calls_before = self._failures_before = 0

    def _open(self, now: float) -> None:
        self.state = State.OPEN
        self._open_until = now + self._pause
