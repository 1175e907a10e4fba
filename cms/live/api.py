"""CMS endpoint of how the service does at the moment, for the platform's own keys."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import azure.functions as func

from cms.endpoint import cms_endpoint
from cms.live.models import APP_CONFIGURATION, FILE, INSTANCE, MACHINE, Operating
from cms.live.operating_view import operating_view
from cms.request import CmsRequest
from shared.adapters.bus.looking import Waiting, look
from shared.adapters.bus.port import Bus, BusUnavailable
from shared.adapters.retry import with_timeout
from shared.observability.metrics import Telemetry
from shared.observability.recent import MOST_MINUTES, Recent
from shared.web.declaration import Parameter
from shared.web.endpoint import Edge, json_response
from shared.web.problems import bad_request

DEFAULT_MINUTES = 5
LOOK_SECONDS = 2.0
KEEP_SECONDS = 5.0
"""What one look at the bus showed holds for so long, for whoever asks: a page that is open costs a look each time."""

_MINUTES = Parameter(
    "minutes",
    "query",
    f"How far back; {DEFAULT_MINUTES} when absent.",
    {"type": "integer", "minimum": 1, "maximum": MOST_MINUTES},
)


@dataclass(frozen=True, slots=True)
class LiveSources:
    """What the answer is made of. `states`: what each dependency answers; `ages`: seconds by source, None before the
    first read; `elapsed` gives seconds and never goes back. `whole`: this process is all there is. `flags_file`: flags
    are in a file, not in App Configuration."""

    telemetry: Telemetry
    recent: Recent
    bus: Bus
    states: Callable[[], Awaitable[Mapping[str, str]]]
    ages: Mapping[str, Callable[[], float | None]]
    elapsed: Callable[[], float]
    whole: bool
    flags_file: bool


class LiveApi:
    """The present of this process. Nothing in an answer is of a user, a key or a caller."""

    def __init__(self, edge: Edge, sources: LiveSources) -> None:
        self.edge = edge
        self._sources = sources
        self._look: asyncio.Task[Sequence[Waiting] | None] | None = None
        self._looked_at = float("-inf")

    @cms_endpoint(
        "GET",
        "live",
        "How the service does at the moment",
        {200: Operating},
        tag="access",
        description="Requests, times, queues, dependencies and flags of the last minutes, for the platform's own keys. "
        "On Azure it is the instance that answers, but for the queues.",
        scopes=("ops",),
        operator=True,
        parameters=(_MINUTES,),
        problems=("invalid_minutes",),
    )
    async def get_live(self, call: CmsRequest) -> func.HttpResponse:
        """The last minutes and the present of this process."""
        minutes = _minutes(call.request.params.get("minutes"))
        sources = self._sources
        states, waiting = await asyncio.gather(sources.states(), self._waiting())
        view = operating_view(
            sources.recent.window(minutes * 60.0),
            call.now,
            scope=MACHINE if sources.whole else INSTANCE,
            flags_in=FILE if sources.flags_file else APP_CONFIGURATION,
            waiting=waiting,
            ages={name: age() for name, age in sources.ages.items()},
            states=states,
            outages=sources.telemetry.dependencies.failing(),
            outage_now=sources.telemetry.dependencies.now(),
            flags_on={labels[0]: on for (name, labels), on in sources.telemetry.gauges.items() if name == "flags_on"},
        )
        return json_response(view)

    async def _waiting(self) -> Sequence[Waiting] | None:
        """What waits on the bus: of the look under way, or of the last one while that holds. None: no answer."""
        task = self._look
        if task is None or (task.done() and not 0 <= self._sources.elapsed() - self._looked_at < KEEP_SECONDS):
            task = self._look = asyncio.create_task(self._look_at_bus(), name="live-queues")
        return await asyncio.shield(task)

    async def _look_at_bus(self) -> Sequence[Waiting] | None:
        telemetry = self._sources.telemetry
        try:
            found = await with_timeout(LOOK_SECONDS, look(self._sources.bus, telemetry), BusUnavailable)
        except BusUnavailable:
            telemetry.count("bus_failures", "depth")
            found = ()
        self._looked_at = self._sources.elapsed()
        return found or None


def _minutes(text: str | None) -> int:
    """Raises a 400 `Problem`."""
    if text is None:
        return DEFAULT_MINUTES
    if not (text.isascii() and text.isdecimal() and len(text) <= 2 and 1 <= int(text) <= MOST_MINUTES):
        raise bad_request("invalid_minutes", f"minutes must be a whole number from 1 to {MOST_MINUTES}.")
    return int(text)
