"""Endpoints of the local host for operators: metrics, and running a timer on request.

They need the operators' key and refuse pages of other origins.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import azure.functions as func

from shared.observability.metrics import Telemetry, render_prometheus
from shared.web.declaration import Parameter, Response
from shared.web.endpoint import Call, Edge, endpoint
from shared.web.http_response import HttpResponse
from shared.web.problems import Problem


class OperatorsApi:
    """`/metrics` in Prometheus' text format, and `/admin/functions/{name}` as the Functions host has it."""

    def __init__(self, edge: Edge, telemetry: Telemetry, run_timer: Callable[[str], Awaitable[None]]) -> None:
        self.edge = edge
        self._telemetry = telemetry
        self._run_timer = run_timer

    @endpoint(
        "GET",
        "metrics",
        "Every metric, as Prometheus reads it",
        tag="service",
        responses={200: Response("Text.", {"type": "string"}, media_type="text/plain")},
        scopes=("ops",),
        operator=True,
    )
    async def get_metrics(self, call: Call) -> func.HttpResponse:
        """Answer every metric."""
        refuse_other_origins(call.headers)
        return HttpResponse(
            render_prometheus(self._telemetry).encode(),
            headers={"Cache-Control": "no-store"},
            mimetype="text/plain; version=0.0.4",
        )

    @endpoint(
        "POST",
        "admin/functions/{name}",
        "Run a timer's function now",
        tag="service",
        responses={202: Response("It has run.")},
        scopes=("ops",),
        operator=True,
        parameters=(Parameter("name", "path", "The function.", {"type": "string"}),),
        problems=("not_found",),
    )
    async def run_function(self, call: Call) -> func.HttpResponse:
        """Run a function, then answer 202."""
        refuse_other_origins(call.headers)
        try:
            await self._run_timer(call.request.route_params["name"])
        except KeyError:
            raise Problem(404, "not_found", "No timer function has that name.") from None
        return HttpResponse(status_code=202)


def refuse_other_origins(headers: Mapping[str, str]) -> None:
    """Raise a 403 `Problem` for a call that a browser makes for a page of another origin."""
    origin, own = headers.get("origin"), f"http://{headers.get('host', '')}"
    foreign = headers.get("sec-fetch-site") in ("cross-site", "same-site")
    if foreign or (origin is not None and origin.lower() != own.lower()):
        raise Problem(403, "forbidden", "Pages of other origins may not call this.")
