"""Circuit breaker: while a dependency keeps failing, or answers too late, requests stop waiting for it.

    closed ── too many of the last calls failed ──▶ open ── its pause is over ──▶ probing
       ▲                                              ▲                              │
       └────────── enough probes in a row worked ─────┼──────────── one failed ──────┘
                                                      └─ the pause doubles, up to a limit

Pure: times are given, in seconds of any clock that does not go back. See Nygard, Release It!, 2nd ed., ch. 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """Where a breaker stands."""

    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


@dataclass(frozen=True, slots=True)
class Objective:
    """Objective of the dependency, and the breaker's patience.

    It opens when, of at least `least_calls` within about `window_seconds`, a share of `failing_share` or more failed.
    Open, it lets nothing through for `pause_seconds`, then one probe at a time; `probes_to_close` in a row close it.
    """

    window_seconds: float = 10.0
    least_calls: int = 20
    failing_share: float = 0.5
    pause_seconds: float = 1.0
    longest_pause_seconds: float = 15.0
    probes_to_close: int = 3
    probe_patience_seconds: float = 5.0
    """A probe that has not answered by then is taken for lost, and another one may go."""


class Breaker:
    """Ask `allows` before each call; if it does, say with `record` how the call ended."""

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
        """Whether a call may go now. A True that is a probe keeps others away until it is recorded."""
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
        """How a call that was let through ended: `ok` when it answered, without an error and in time."""
        if self.state is State.CLOSED:
            self._count(ok, now)
        elif self.state is State.PROBING:
            self._probing_since = None
            self._probed(ok, now)
        # Open: a call that began before the breaker opened changes nothing any more.

    def _count(self, ok: bool, now: float) -> None:
        """Two half windows, so that what counts is between half a window and a whole one old at the most."""
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
