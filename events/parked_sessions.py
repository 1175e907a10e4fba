"""Failed sessions of the roll-up, each with a pause before it is tried again. The others continue meanwhile. Pure."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

FIRST_PAUSE_SECONDS = 15.0
LONGEST_PAUSE_SECONDS = 600.0
"""Each attempt is one delivery of the session's messages. Three days of attempts must stay below `MAX_DELIVERIES`."""


@dataclass(slots=True)
class ParkedSessions:
    """Pauses double from the second failure in a row, each shortened at random by up to half."""

    elapsed: Callable[[], float]
    _failures: dict[str, int] = field(default_factory=dict)
    _until: dict[str, float] = field(default_factory=dict)

    def holds(self, session_id: str) -> bool:
        """Tell whether a session is paused."""
        return self.elapsed() < self._until.get(session_id, 0.0)

    def park(self, session_id: str) -> None:
        """Record a session's failure. After its first failure the next run tries it again."""
        failures = self._failures[session_id] = self._failures.get(session_id, 0) + 1
        if failures > 1:
            pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(failures - 2, 10))
            self._until[session_id] = self.elapsed() + pause * random.uniform(0.5, 1.0)  # noqa: S311 (jitter)

    def release(self, session_id: str) -> None:
        """Record that a session works."""
        self._failures.pop(session_id, None)
        self._until.pop(session_id, None)

    def __len__(self) -> int:
        return len(self._failures)
