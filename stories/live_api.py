"""Where authors listen for who looks at their stories and who reacts."""

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
    """`live` is None where nothing is configured."""

    def __init__(self, edge: Edge, calls: PersonCalls, live: Live | None, limits: Limits, telemetry: Telemetry) -> None:
        self.edge = edge
        self._calls, self._live, self._limits, self._telemetry = calls, live, limits, telemetry

    @social_endpoint(
        "GET",
        "v1/me/live",
        "Where to listen for events",
        tag="stories",
        description='A WebSocket that only listens. `{"type":"new"}` says that `GET /v1/me/events` has news; a '
        "host of your own sends the events themselves. Connect before `expiresAt`; after a cut, ask for another.",
        responses={
            200: Response(
                "Where, and until when.",
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
        """An address for the caller alone. Raises a 404 `Problem` where authors are not told at once."""
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
