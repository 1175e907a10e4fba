"""Endpoint of live events: returns a WebSocket address where authors learn of views and reactions at once."""

from __future__ import annotations

import azure.functions as func

from shared.adapters.flags.evaluation import STORY_LIVE
from shared.adapters.live.port import Live, LiveUnavailable
from shared.domain.formats import iso_time
from shared.observability.metrics import Telemetry
from shared.web.admission import Kind, Limits
from shared.web.declaration import Response
from shared.web.endpoint import Call, Edge, json_response
from shared.web.problems import Problem, unavailable
from shared.web.social_endpoint import PRIVATE, social_endpoint
from stories.person_call import PersonCalls
from stories.responses import LiveAddress


class LiveApi:
    """Serves the WebSocket address. `live` is None where no live service is configured."""

    def __init__(self, edge: Edge, calls: PersonCalls, live: Live | None, limits: Limits, telemetry: Telemetry) -> None:
        self.edge = edge
        self._calls, self._live, self._limits, self._telemetry = calls, live, limits, telemetry

    @social_endpoint(
        "GET",
        "v1/me/live",
        "Get a WebSocket address for live events",
        tag="stories",
        description='The server only sends. `{"type":"new"}` means that `GET /v1/me/events` has new events; a '
        "self-hosted server, or one with the flag `live-frames-full`, sends the events themselves. Connect before "
        "`expiresAt`; after a disconnect, request a new address.",
        responses={
            200: Response(
                "The address.",
                LiveAddress,
                {
                    "url": "wss://example.webpubsub.azure.com/client/hubs/stories?access_token=…",
                    "protocol": "websocket",
                    "expiresAt": "2026-11-20T13:00:00Z",
                },
            )
        },
        problems=("not_found",),
    )
    async def get_live_address(self, call: Call) -> func.HttpResponse:
        """Return an address that is valid for the caller only. Raises a 404 `Problem` where live events are off."""
        if self._live is None or not self.edge.is_on(STORY_LIVE, call.tenant):
            raise Problem(404, "not_found", "Live events are switched off. Poll GET /v1/me/events instead.")
        with self._limits.admit(Kind.SOCIAL, call.tenant, call.user_key):
            try:
                address = await self._live.address(self._calls.me(call).partition, call.now)
            except LiveUnavailable as down:
                self._telemetry.count("live_sends", "no_address")
                raise unavailable(
                    "Live events are not available now. Poll GET /v1/me/events until they are.", 30.0
                ) from down
        answer = LiveAddress.unchecked(url=address.url, protocol="websocket", expires_at=iso_time(address.expires_at))
        return json_response(answer, cache=PRIVATE)
