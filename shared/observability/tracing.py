"""W3C trace context, carried from a request to the fold of its events, and per-request stage timings.

The trace id alone decides whether a trace is sampled. So every process decides alike, and a caller cannot ask for more:
the sampled flag of `traceparent` is ignored.
"""

from __future__ import annotations

import random
import re
import time
from contextvars import ContextVar

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")
TRACE_ID = re.compile(r"[0-9a-f]{32}")
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16


class Trace:
    """A trace. `id`: 32 hex digits; `parent`: the 16 of the caller's span, empty when the trace begins here.

    A trace that begins here gets its id at the first read: most requests end without one.
    """

    __slots__ = ("_id", "parent")

    def __init__(self, id: str | None = None, parent: str = "") -> None:
        self._id = id
        self.parent = parent

    @property
    def id(self) -> str:
        if self._id is None:
            self._id = f"{random.getrandbits(128) | 1:032x}"
        return self._id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Trace) and (self.id, self.parent) == (other.id, other.parent)

    def __hash__(self) -> int:
        return hash((self.id, self.parent))

    def sampled(self, ratio: float) -> bool:
        """Whether this trace is among the sampled share (0 to 1)."""
        return int(self.id[-8:], 16) < ratio * 0x1_0000_0000


NO_TRACE = Trace(_NO_TRACE)
current_trace: ContextVar[Trace] = ContextVar("current_trace", default=NO_TRACE)
"""Trace of the current request or message; log records carry its id."""


def trace_of(traceparent: str | None) -> Trace:
    """Return the caller's trace (https://www.w3.org/TR/trace-context/), or a new one without a valid `traceparent`."""
    if traceparent:
        match = _TRACEPARENT.fullmatch(traceparent)
        if match and not traceparent.startswith("ff") and match[1] != _NO_TRACE and match[2] != _NO_SPAN:
            return Trace(match[1], match[2])
    return Trace()


def trace_named(id: str) -> Trace:
    """Return the trace of a message's id; `NO_TRACE` when the id is malformed."""
    return Trace(id) if TRACE_ID.fullmatch(id) else NO_TRACE


class Stages:
    """The times at which the stages of one request ended (`time.perf_counter`)."""

    __slots__ = ("marks", "started")

    def __init__(self, started: float | None = None) -> None:
        self.marks: list[tuple[str, float]] = []
        self.started = time.perf_counter() if started is None else started

    def end(self, stage: str) -> None:
        """End `stage` now and begin the next one."""
        self.marks.append((stage, time.perf_counter()))


class _Untimed(Stages):
    """Stages without times."""

    __slots__ = ()

    def end(self, stage: str) -> None:
        pass


UNTIMED: Stages = _Untimed(0.0)
"""For a request whose stages are not timed."""
