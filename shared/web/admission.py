"""Admission control of one process: limits requests by rate, tenant share, event loop delay and number in flight.

    rates        one user or one tenant sends too many requests                 → 429 `rate_limited`
    share        one tenant has half of the slots while others are served too   → feeds get the ready page, the rest 429
    delay        requests make the event loop late                              → feeds get the ready page, then 429
    in flight    every slot is taken                                            → 429 `overloaded`

Every limit holds per process: n processes allow n times the rates. The entry limits the total of a key.
"""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict
from collections.abc import Callable
from enum import StrEnum
from types import TracebackType

from shared.domain.clocks import elapsed_seconds
from shared.domain.records import Tenant
from shared.observability.metrics import Telemetry
from shared.settings import Settings
from shared.web.problems import Problem

BURST_SECONDS = 5.0
"""A burst can hold the requests of this many seconds."""
MAX_BUCKETS = 50_000
"""Users remembered in one process, about 200 bytes each. A forgotten one starts with a full bucket."""
TICK_SECONDS = 0.05
RETRY_SPREAD_SECONDS = 3.0
"""`Retry-After` of refusals for overload is spread over this time, so clients do not return all at once."""


class Kind(StrEnum):
    """Kind of request; each has rates of its own."""  # strings, because a string keeps its hash

    FEED = "feed"
    EVENTS = "events"
    PRIVACY = "privacy"
    SOCIAL = "social"
    UPLOADS = "uploads"


class Rates:
    """Token buckets as the generic cell rate algorithm (ITU-T I.371): one number for each name.

    The number is the time at which the bucket is full again. Full buckets need no memory.
    """

    def __init__(self, most: int = MAX_BUCKETS) -> None:
        self._most = most
        self._full_at: OrderedDict[object, float] = OrderedDict()

    def wait(self, name: object, per_second: float, now: float) -> float:
        """Take one token and return 0, or return the seconds until there is one."""
        token_seconds = 1.0 / per_second
        burst_seconds = token_seconds if token_seconds > BURST_SECONDS else BURST_SECONDS
        full_at = self._full_at.get(name, 0.0)
        if full_at - now > burst_seconds:
            full_at = 0.0  # no bucket can be that empty: the clock was set back
        after = (full_at if full_at > now else now) + token_seconds
        if after - now > burst_seconds + 1e-9:
            return after - now - burst_seconds
        self._full_at[name] = after
        self._full_at.move_to_end(name)
        if len(self._full_at) > self._most:
            self._full_at.popitem(last=False)
        return 0.0

    def __len__(self) -> int:
        return len(self._full_at)


class LoopDelay:
    """Measures how late the event loop runs a timer: the second largest of the last three delays.

    So one hiccup (a garbage collection, a process put to sleep) is not overload. `requests` returns the number of
    requests so far and the number in flight. A delay without any request counts as 0: a start or a timer caused it,
    and shedding would not help.
    """

    def __init__(self, telemetry: Telemetry, requests: Callable[[], tuple[int, int]] | None = None) -> None:
        self._telemetry = telemetry
        self._requests = requests
        self._last = [0.0, 0.0, 0.0]
        self._task: asyncio.Task[None] | None = None
        self.seconds = 0.0

    def start(self) -> None:
        """Start to measure on the running event loop. A second call does nothing."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="loop-delay")

    async def stop(self) -> None:
        """Stop measuring."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def saw(self, late_seconds: float) -> None:
        """Add one measured delay."""
        self._last = [*self._last[1:], late_seconds]
        self.seconds = sorted(self._last)[1]
        self._telemetry.gauge("loop_delay_ms", self.seconds * 1000)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + TICK_SECONDS
            asked, in_flight = self._requests() if self._requests else (0, 1)
            await asyncio.sleep(TICK_SECONDS)
            late = max(0.0, loop.time() - due)
            caused = in_flight or (self._requests is not None and self._requests()[0] != asked)
            self.saw(late if caused else 0.0)


class Admission:
    """Slot of one request, released when the context ends. `ready_only`: serve the ready page only."""

    __slots__ = ("_limits", "_tenant_id", "ready_only")

    def __init__(self, limits: Limits, tenant_id: str, ready_only: bool) -> None:
        self._limits = limits
        self._tenant_id = tenant_id
        self.ready_only = ready_only

    def __enter__(self) -> Admission:
        in_flight = self._limits.in_flight
        in_flight[self._tenant_id] = in_flight.get(self._tenant_id, 0) + 1
        self._limits.total += 1
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        in_flight = self._limits.in_flight
        self._limits.total -= 1
        left = in_flight[self._tenant_id] - 1
        if left:
            in_flight[self._tenant_id] = left
        else:
            del in_flight[self._tenant_id]


class Limits:
    """Limits of one process. `clock`: monotonic, in seconds."""

    def __init__(self, settings: Settings, telemetry: Telemetry, clock: Callable[[], float] = elapsed_seconds) -> None:
        self._clock = clock
        self.most_in_flight = int(settings.max_in_flight)
        self._shed_seconds = settings.shed_delay_ms / 1000
        self._refuse_seconds = max(settings.refuse_delay_ms, settings.shed_delay_ms) / 1000
        self._user_rate = settings.user_requests_per_second
        self._users = Rates()
        self._tenants = Rates(1_000)
        self.in_flight: dict[str, int] = {}
        self.total = 0
        self.asked = 0
        self.delay = LoopDelay(telemetry, lambda: (self.asked, self.total))

    def admit(self, kind: Kind, tenant: Tenant, user_key: str) -> Admission:
        """Return a slot for a request, to use as a context. Raises a 429 `Problem` with `Retry-After`."""
        self.asked += 1
        self._check_rates(kind, tenant, user_key, self._clock())
        if self.total >= self.most_in_flight or self.delay.seconds >= self._refuse_seconds:
            raise _overloaded()
        mine = self.in_flight.get(tenant.id, 0)
        over_its_share = 0 < mine < self.total and mine >= self.most_in_flight // 2
        if over_its_share and kind is not Kind.FEED:
            raise _overloaded()
        return Admission(self, tenant.id, over_its_share or self.delay.seconds >= self._shed_seconds)

    def _check_rates(self, kind: Kind, tenant: Tenant, user_key: str, now: float) -> None:
        wait = self._users.wait((kind, user_key), self._user_rate, now)
        if wait:
            raise Problem(429, "rate_limited", "Too many requests for one user. Wait the seconds in Retry-After.", wait)
        if kind is Kind.FEED:
            rate = tenant.feed_requests_per_second
        else:
            rate = tenant.event_batches_per_second if kind is Kind.EVENTS else None
        if rate:
            wait = self._tenants.wait((kind, tenant.id), rate, now)
            if wait:
                raise Problem(
                    429, "rate_limited", "Too many requests for this tenant. Wait the seconds in Retry-After.", wait
                )


def _overloaded() -> Problem:
    wait = random.uniform(0.0, RETRY_SPREAD_SECONDS)  # noqa: S311 (spreads load, guards nothing)
    return Problem(429, "overloaded", "The service is busy. Wait the seconds in Retry-After, then try again.", wait)
