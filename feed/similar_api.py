"""Endpoint for SDKs: `GET /v1/videos/{id}/similar`."""

from __future__ import annotations

import azure.functions as func

from feed.api import (
    CACHE_CONTROL,
    CACHE_HEADERS,
    FILTER_PARAMETERS,
    HINT_PARAMETERS,
    IF_NONE_MATCH,
    INCLUDE,
    PAGE_EXAMPLE,
)
from feed.narrowing import read_filters
from feed.pipeline import PERSONALIZED
from feed.query import parse_query
from feed.responses import SimilarVideosPage
from feed.similar_videos import DEFAULT_SIMILAR, TOGETHER, SimilarVideos
from shared.domain.records import MAX_LIMIT
from shared.observability.metrics import Telemetry
from shared.web.admission import Kind, Limits
from shared.web.compression import GZIP, gzipped, least_bytes
from shared.web.declaration import Parameter, Response
from shared.web.endpoint import BASE_HEADERS, JSON, Call, Edge, endpoint, not_modified
from shared.web.http_response import HttpResponse
from shared.web.openapi import X_PERSONALIZATION, X_USER, X_USER_TOKEN
from shared.web.problem_codes import USER

_EXAMPLE = {
    "mode": PERSONALIZED,
    "reason": None,
    "items": [{**item, "because": TOGETHER} for item in PAGE_EXAMPLE["items"]],
    "feedRequestId": PAGE_EXAMPLE["feedRequestId"],
    "modelVersion": PAGE_EXAMPLE["modelVersion"],
}


class SimilarApi:
    """Serves the videos similar to one video."""

    def __init__(self, edge: Edge, similar: SimilarVideos, limits: Limits, telemetry: Telemetry) -> None:
        self.edge = edge
        self._similar = similar
        self._limits = limits
        self._telemetry = telemetry

    @endpoint(
        "GET",
        "v1/videos/{id}/similar",
        "Videos like a video",
        tag="feed",
        description="First videos that its viewers also watched long, then videos with the same creator, category "
        "or tags. Both groups are ranked for the viewer, or by popularity if there is a `reason`. The rules of the "
        "feed apply. The list can be short, and has no further pages. Quote `feedRequestId` in the events about it, as "
        "for a feed. 404 for a video that does not exist, and for one that this viewer cannot see.",
        responses={
            200: Response("The list, never with the video itself.", SimilarVideosPage, _EXAMPLE, CACHE_HEADERS),
            304: Response("Your copy is still current.", headers=CACHE_HEADERS),
        },
        scopes=("sdk", "cms", "ops"),
        user=True,
        cors=True,
        parameters=(
            X_USER,
            X_USER_TOKEN,
            X_PERSONALIZATION.saying("`off`: the user opted out. Nothing about the user is read."),
            IF_NONE_MATCH,
            Parameter(
                "limit",
                "query",
                f"Maximum number of videos. Default: {DEFAULT_SIMILAR}.",
                {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT},
                example=DEFAULT_SIMILAR,
            ),
            *FILTER_PARAMETERS,
            INCLUDE,
            *HINT_PARAMETERS,
        ),
        problems=(
            *USER,
            "video_not_found",
            "invalid_limit",
            "invalid_filter",
            "invalid_include",
            "invalid_personalization",
        ),
    )
    async def get_similar_videos(self, call: Call) -> func.HttpResponse:
        """Return the videos similar to one, or 304 if the client has them already. Raises a 404 `Problem`."""
        tenant, user_key, now, request = call.tenant, call.user_key, call.now, call.request
        filters = read_filters(request.url, request.params)
        query = parse_query(request.params, call.headers, DEFAULT_SIMILAR, filters)
        for name in query.unread:
            self._telemetry.count("hints_unread", name)
        video_id = request.route_params.get("id", "")
        with self._limits.admit(Kind.FEED, tenant, user_key) as admission:
            page = await self._similar.of(video_id, query, tenant, user_key, now, overloaded=admission.ready_only)
        self._telemetry.count("similar_requests", tenant.id, page.mode, page.reason or "")
        sent = {
            **BASE_HEADERS,
            "ETag": page.etag(video_id, user_key, now),
            "Cache-Control": CACHE_CONTROL[page.mode == PERSONALIZED],
        }
        if (unchanged := not_modified(request, sent, JSON)) is not None:
            return unchanged
        body = page.body()
        if len(body) >= least_bytes(call.headers):
            body, sent = gzipped(body), sent | GZIP
        return HttpResponse(body, status_code=200, headers=sent, mimetype=JSON)
