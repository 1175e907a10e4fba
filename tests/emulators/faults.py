"""Injects faults into the test servers: which requests fail, and how.

A `Fault` applies to requests whose label contains `match`; labels are the server's own (`"batch user-activity"`,
`"send user-events"`, `"GET /kv"`). A fault is used up after `times` requests; None keeps it until it is cleared.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Any

from tests.emulators.clock import MovableClock

BEFORE = "before"
AFTER = "after"


@dataclass(slots=True)
class Fault:
    """One way to go wrong.

    `name` is what reports call it.

    To which requests: those whose label contains `match`, `times` of them (None: all), from `after` to `until` seconds
    of the server's clock, counted from when the fault was added.

    Over HTTP, `status` (with `substatus`, `retry_after_ms` and `headers`) answers with that error without doing the
    work; `body` and `content_type` replace the usual body, with `status` or, without one, 200. `delay` waits that many
    seconds first; `stall` begins an answer and never ends it; `cut` closes the connection, either `"before"` the work
    or `"after"` it, so that the client never learns that it was done.

    Over AMQP, `condition` is the error condition a transfer, a settlement or an opening is refused with; `detach`
    closes the link with that condition and `close` the connection; `garbage` sends bytes that are no frame. `delay`
    and `cut` are as above, and `stall` takes the request and never answers.
    """

    match: str = ""
    times: int | None = 1
    after: float = 0.0
    until: float | None = None
    status: int = 0
    substatus: int = 0
    retry_after_ms: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None
    content_type: str = "application/json"
    delay: float = 0.0
    stall: bool = False
    cut: str = ""
    condition: str = ""
    detach: str = ""
    close: str = ""
    garbage: bool = False
    name: str = ""
    added_at: float = 0.0

    def is_due(self, now: float) -> bool:
        """Return whether it applies at this time of the server's clock."""
        age = now - self.added_at
        return age >= self.after and (self.until is None or age < self.until)

    @classmethod
    def from_json(cls, fields_given: dict[str, Any]) -> Fault:
        """Build one from a control request; an unknown field is refused by name."""
        unknown = set(fields_given) - ({f.name for f in fields(cls)} - {"added_at"})
        if unknown:
            raise ValueError(f"unknown fault fields: {', '.join(sorted(unknown))}")
        return cls(**fields_given)


NO_FAULT = Fault(times=None)


class FaultPlan:
    """The faults of one server in the order they were added, and the requests received."""

    def __init__(self, clock: MovableClock) -> None:
        self._clock = clock
        self._faults: list[Fault] = []
        self._down_until = 0.0
        self.requests: list[str] = []
        self.used: Counter[str] = Counter()
        """How many requests met each fault that has a name."""

    def add(self, fault: Fault) -> Fault:
        """Add a fault."""
        fault.added_at = self._clock.now()
        self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Remove all faults."""
        self._faults.clear()
        self._down_until = 0.0

    def go_down(self, seconds: float = float("inf")) -> None:
        """Cut every connection until the clock has moved that far, or until `clear`."""
        self._down_until = self._clock.now() + seconds

    @property
    def is_down(self) -> bool:
        return self._clock.now() < self._down_until

    def take(self, label: str) -> Fault:
        """Return the fault for this request (`NO_FAULT` when there is none) and use it up once."""
        self.requests.append(label)
        if self.is_down:
            return Fault(cut=BEFORE)
        for fault in self._faults:
            if fault.match in label and fault.is_due(self._clock.now()):
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times <= 0:
                        self._faults.remove(fault)
                if fault.name:
                    self.used[fault.name] += 1
                return fault
        return NO_FAULT

    def count(self, label_part: str) -> int:
        """Return how many requests so far had `label_part` in their label."""
        return sum(label_part in label for label in self.requests)


async def wait(fault: Fault) -> None:
    """Wait for the fault's delay."""
    if fault.delay:
        await asyncio.sleep(fault.delay)
