"""Schedules the sessions of the subscription `rollup`: which one is drained when, and by which drainer.

Several drainers run side by side, each in its own function, on as many instances. The bus gives a session to one of
them at a time, under a lock. So they share the work without knowing each other: a free drainer asks for the next
session. A run takes sessions until none is offered or its time is up. While there is work, a run is much longer than
its timer's interval, so a drainer spends nearly all its time in runs.

A session that was drained completely is kept locked for `REST_SECONDS` or until the run ends. So what arrives meanwhile
becomes one write instead of many small ones. A session with more messages is released and continues at its next turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from events.parked_sessions import ParkedSessions
from shared.adapters.blobs.port import BlobRefused, BlobsUnavailable
from shared.adapters.bus.port import ROLLUP, Bus, BusError, LockLost, Receiver
from shared.adapters.documents.port import StoreRefused, StoreUnavailable
from shared.observability.metrics import Telemetry
from shared.observability.tracebacks import traceback_without_values

log = logging.getLogger("feed.events")

NEXT_SESSION_SECONDS = 0.5
IDLE_SECONDS = 1.0
"""Pause between two requests for a session while other workers of the run are busy: opening a link costs CPU."""
READY_SECONDS = 10.0
"""How long blob storage counts as available after a check, until a write fails."""
REST_SECONDS = 25.0
"""Shorter than a lock, so no lock must be renewed."""
FAILURES_IN_A_ROW = 3
HELD_AT_MOST = 100
"""Sessions that rest at once; each has a connection. With more sessions, each comes up rarely anyway."""


class Incomplete(Exception):
    """A part of a range was delivered again without the rest."""


@dataclass(slots=True)
class Run:
    """State of one run. `until`: when it stops taking sessions (by `elapsed`). `left_alone`: sessions it does not try
    again. `began`: sessions whose draining started. `held`: sessions locked until the run ends. `resting`: sessions
    that rest. `asking` and `draining` count its busy workers."""

    until: float
    left_alone: set[str] = field(default_factory=set)
    began: set[str] = field(default_factory=set)
    held: list[Receiver] = field(default_factory=list)
    resting: list[tuple[float, Receiver]] = field(default_factory=list)
    asking: int = 0
    draining: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True)
class Drained:
    """How many batches were added, and whether the session had no more."""

    added: int = 0
    to_its_end: bool = False


class SessionDrainer:
    """Runs of one drainer. `ready` raises `BlobsUnavailable` while nothing may be received; `drain` processes one
    session once."""

    def __init__(
        self,
        *,
        bus: Bus,
        ready: Callable[[], Awaitable[None]],
        drain: Callable[[Receiver, Run], Awaitable[Drained]],
        telemetry: Telemetry,
        run_seconds: float,
        sessions_at_once: int,
        elapsed: Callable[[], float],
    ) -> None:
        self._bus = bus
        self._ready = ready
        self._drain = drain
        self._telemetry = telemetry
        self._run_seconds = run_seconds
        self._sessions_at_once = sessions_at_once
        self._elapsed = elapsed
        self._parked = ParkedSessions(elapsed)
        self._ready_until = float("-inf")
        self._asking_blobs = asyncio.Lock()

    async def run(self) -> int:
        """Drain sessions; return how many batches were added. Failed messages stay on the bus for a later run."""
        run = Run(self._elapsed() + self._run_seconds)
        try:
            added = await asyncio.gather(*(self._drain_sessions(run) for _ in range(self._sessions_at_once)))
        finally:
            for session in [*run.held, *(session for _, session in run.resting)]:
                with contextlib.suppress(BusError):
                    await session.close()
            self._telemetry.gauge("rollup_sessions_parked", len(self._parked))
        return sum(added)

    async def _next_session(self, run: Run) -> Receiver | None:
        """Return the next session. None if none is offered and no other worker of the run is busy: a session that
        another worker drains can be offered again afterwards."""
        ask = True
        while self._elapsed() < run.until:
            if ask and (session := await self._asked_for(run)) is not None:
                return session
            if not run.asking and not run.draining:
                return None
            ask = run.draining > 0
            run.changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(run.changed.wait(), IDLE_SECONDS)
        return None

    async def _asked_for(self, run: Run) -> Receiver | None:
        await self._free_rested(run)
        run.asking += 1
        try:
            return await self._bus.next_session(ROLLUP, NEXT_SESSION_SECONDS)
        finally:
            run.asking -= 1
            if not run.asking and not run.draining:
                run.changed.set()

    async def _free_rested(self, run: Run) -> None:
        """Close the sessions that have rested long enough."""
        now = self._elapsed()
        rested = [session for until, session in run.resting if until <= now]
        run.resting = [each for each in run.resting if each[0] > now]
        for session in rested:
            with contextlib.suppress(BusError):
                await session.close()

    async def _drain_sessions(self, run: Run) -> int:
        """Drain one session after another. A failed session stays locked until the run ends, so the bus offers the
        others. Stops when the bus or the blobs fail, or several sessions fail in a row: that is an outage of the
        store."""
        added = in_a_row = 0
        count = self._telemetry.count
        try:
            while in_a_row < FAILURES_IN_A_ROW and (session := await self._next_session(run)) is not None:
                id, rests = session.session_id or "", False
                if id in run.left_alone or self._parked.holds(id):
                    run.held.append(session)
                    continue
                run.draining += 1
                try:
                    await self._require_blobs()
                    drained = await self._drain(session, run)
                    added += drained.added
                    in_a_row = 0
                    if id not in run.left_alone:
                        self._parked.release(id)
                    rests = drained.to_its_end and len(run.resting) < HELD_AT_MOST
                except LockLost:
                    count("batches_rolled_up", "lock_lost")
                except BusError:
                    raise
                except BlobsUnavailable:
                    self._ready_until = float("-inf")
                    count("store_failures", "archive")
                    if id not in run.began:
                        return added
                    in_a_row += self._failed(run, id, "incomplete")
                except StoreUnavailable:
                    count("store_failures", "rollup")
                    in_a_row += self._failed(run, id, "incomplete")
                except Incomplete:
                    self._failed(run, id, "incomplete")
                except (BlobRefused, StoreRefused) as error:  # permanent: its messages stay for an operator to look at
                    self._failed(run, id, "refused")
                    log.error("a session of the roll-up is parked: %s", type(error).__name__)
                except Exception as error:
                    self._failed(run, id, "failed")
                    log.error("a session of the roll-up failed\n%s", traceback_without_values(error))
                finally:
                    run.draining -= 1
                    run.changed.set()
                    if id in run.left_alone:
                        run.held.append(session)
                    elif rests:
                        run.resting.append((self._elapsed() + REST_SECONDS, session))
                    else:
                        await session.close()
        except BusError:
            count("bus_failures", "rollup")
        return added

    async def _require_blobs(self) -> None:
        """Receive no message while blob storage is down, so that no message uses up its deliveries."""
        async with self._asking_blobs:
            if self._elapsed() >= self._ready_until:
                await self._ready()
                self._ready_until = self._elapsed() + READY_SECONDS

    def _failed(self, run: Run, session_id: str, outcome: str) -> int:
        """Record a session's failure. This run does not try it again; later runs wait for its pause."""
        run.left_alone.add(session_id)
        self._parked.park(session_id)
        self._telemetry.count("batches_rolled_up", outcome)
        return 1
