"""CMS endpoint of the service's current state: traffic, latencies, queues, dependencies, flags; for operators."""

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
"""How long a reading of the queues is reused for all callers; an open page would read the bus again at each refresh."""

_MINUTES = Parameter(
    "minutes",
    "query",
    f"Length of the window in minutes; {DEFAULT_MINUTES} when absent.",
    {"type": "integer", "minimum": 1, "maximum": MOST_MINUTES},
)


@dataclass(frozen=True, slots=True)
class LiveSources:
    """Sources of the response.

    `states`: checks each dependency; `ages`: age of cached data by source in seconds, None before the first read;
    `elapsed` gives seconds and never goes back. `whole`: this process is the whole service. `flags_file`: flags are in
    a file, not in App Configuration.
    """

    telemetry: Telemetry
    recent: Recent
    bus: Bus
    states: Callable[[], Awaitable[Mapping[str, str]]]
    ages: Mapping[str, Callable[[], float | None]]
    elapsed: Callable[[], float]
    whole: bool
    flags_file: bool


class LiveApi:
    """Shows the current state of this process. Responses contain no data of users, keys or callers."""

    def __init__(self, edge: Edge, sources: LiveSources) -> None:
        self.edge = edge
        self._sources = sources
        self._look: asyncio.Task[Sequence[Waiting] | None] | None = None
        self._looked_at = float("-inf")

    @cms_endpoint(
        "GET",
        "live",
        "Read the current state of the service",
        {200: Operating},
        tag="access",
        description="Requests, latencies, queues, dependencies and flags of the last minutes, for the platform's own "
        "keys. On Azure all except the queues are of the instance that responds.",
        scopes=("ops",),
        operator=True,
        parameters=(_MINUTES,),
        problems=("invalid_minutes",),
    )
    async def get_live(self, call: CmsRequest) -> func.HttpResponse:
        """Return the metrics of the last minutes and the current state of this process."""
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
        """Return the queues: from the read in progress, or the last one for `KEEP_SECONDS`. None: the bus failed."""
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
    """Parse the parameter. Raises a 400 `Problem`."""
    if text is None:
        return DEFAULT_MINUTES
    if not (text.isascii() and text.isdecimal() and len(text) <= 2 and 1 <= int(text) <= MOST_MINUTES):
        raise bad_request("invalid_minutes", f"minutes must be a whole number from 1 to {MOST_MINUTES}.")
    return int(text)
