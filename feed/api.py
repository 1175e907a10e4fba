"""Feed endpoints for SDKs: `GET /v1/feed`, videos by id, and `GET /v1/config`."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from time import perf_counter
from typing import Any

import azure.functions as func

from feed.cursor import MAX_CHARS
from feed.following import ORDERS
from feed.narrowing import FILTERS, MAX_VALUE_CHARS, MAX_VALUES, read_feed_name, read_filters
from feed.page import Page
from feed.pipeline import PERSONALIZED, Feed
from feed.query import HINTS, FeedQuery, parse_lookup, parse_query
from feed.responses import CacheTimes, Config, EventLimits, FeedLimits, FeedPage, OfferedFeed, VideoItem, VideoItems
from feed.videos_by_id import MAX_IDS, Found, not_found, read_ids
from shared.adapters.milestones import FEED, Milestones
from shared.domain.event_types import EVENT_TYPES, MAX_AGE_DAYS, MAX_BODY_BYTES, MAX_EVENTS
from shared.domain.formats import SLUG, VIDEO_ID
from shared.domain.player_media import INCLUDES
from shared.domain.records import MAX_LIMIT
from shared.observability.metrics import Telemetry
from shared.observability.telemetry_export import Spans
from shared.observability.tracing import UNTIMED, Stages
from shared.web.admission import Kind, Limits
from shared.web.compression import GZIP, least_bytes
from shared.web.declaration import Parameter, Response
from shared.web.endpoint import BASE_HEADERS, JSON, Call, Edge, as_json, endpoint, not_modified
from shared.web.http_response import HttpResponse
from shared.web.openapi import X_PERSONALIZATION, X_USER, X_USER_TOKEN
from shared.web.problem_codes import USER

CACHE_CONTROL = {True: "private, no-cache", False: "private, max-age=10"}
"""By whether the page is personalized. Always private, because some shared caches ignore `Vary`."""
CONFIG_MAX_AGE_SECONDS = 300
FLUSH_SECONDS = 5
STAGES_EVERY = 8
"""One in this many feeds is timed by stage, and every sampled trace. Timing all of them would cost 10 % of a ready
page."""

IF_NONE_MATCH = Parameter("If-None-Match", "header", "The ETag of your copy; 304 if it is current.", {"type": "string"})
INCLUDE = Parameter(
    "include",
    "query",
    f"Additional members of each item, separated by commas: {', '.join(INCLUDES)}.",
    {"type": "string", "pattern": f"^({'|'.join(INCLUDES)})(,({'|'.join(INCLUDES)}))*$"},
    example="renditions,captions",
)
CACHE_HEADERS = {
    "ETag": "Weak; send it back in If-None-Match.",
    "Cache-Control": "Always private.",
    "Vary": "Request headers that the response depends on: reuse a copy only for the same values.",
}
_HINT_EXAMPLES = {"country": "DE", "language": "pt-BR", "ageBand": "13-17", "platform": "ios"}
HINT_PARAMETERS = tuple(
    Parameter(name, "query", says, {"type": "string"}, example=_HINT_EXAMPLES[name]) for name, says in HINTS.items()
)
FEED_NAME = Parameter(
    "feed",
    "query",
    "Name of one of the tenant's feeds. Default: `home`, which every tenant has.",
    {"type": "string", "pattern": f"^{SLUG.pattern}$"},
    example="home",
)
ORDER = Parameter(
    "order",
    "query",
    "Order of the feed `following`: `ranked` for the user (the default), or `newest` first.",
    {"type": "string", "enum": list(ORDERS)},
    example="ranked",
)
_FILTER_EXAMPLES = {"filter.tag": "fitness", "filter.language": "en"}
FILTER_PARAMETERS = tuple(
    Parameter(
        name,
        "query",
        f"{says} Repeated: any of the values. Different filters: all of them. At most {MAX_VALUES} values in all.",
        {"type": "array", "items": {"type": "string", "maxLength": MAX_VALUE_CHARS}, "maxItems": MAX_VALUES},
        example=[_FILTER_EXAMPLES[name]] if name in _FILTER_EXAMPLES else None,
    )
    for name, says in FILTERS.items()
)
VIDEO_EXAMPLE = {
    "videoId": "vid_fitness_1",
    "playbackUrl": "https://cdn.example/fitness/1.m3u8",
    "thumbnailUrl": None,
    "title": "Fitness warmup",
    "mainTag": "fitness",
    "tags": ["fitness"],
    "durationSeconds": 12.5,
    "maturityRating": "PG",
}
PAGE_EXAMPLE: dict[str, Any] = {
    "mode": PERSONALIZED,
    "reason": None,
    "items": [{**VIDEO_EXAMPLE, "score": 12.34, "rank": 0}],
    "nextCursor": "AbCd…",
    "feedRequestId": "AQxS…",
    "modelVersion": "global-1",
    "experiment": None,
    "freshness": {"content": "2026-11-20T12:00:00Z", "signals": "2026-11-20T11:59:55Z"},
}
_CONFIG_EXAMPLE = {
    "feed": {"defaultLimit": 20, "maxLimit": 50, "cursorHours": 12},
    "feeds": [{"id": "kitchen", "title": "Kitchen"}],
    "events": {
        "maxEvents": 100,
        "maxBytes": 262_144,
        "flushSeconds": 5,
        "types": ["impression", "video_view"],
        "maxAgeDays": 7,
    },
    "hints": ["country"],
    "cache": {"fallbackSeconds": 10, "configSeconds": 300},
}


class FeedApi:
    """Serves feed pages, videos by id, and the configuration for SDKs."""

    def __init__(
        self, edge: Edge, feed: Feed, limits: Limits, telemetry: Telemetry, spans: Spans, milestones: Milestones
    ) -> None:
        self.edge = edge
        self._milestones = milestones
        self._feed = feed
        self._limits = limits
        self._telemetry = telemetry
        self._spans = spans
        self._served = 0

    @endpoint(
        "GET",
        "v1/feed",
        "The next videos for a user",
        tag="feed",
        description="Request further pages with `nextCursor` until it is null. If the service cannot or may not "
        "personalize, the page is the popular feed and `reason` says why. Treat it like any other page.",
        responses={
            200: Response("A page, best first. No video is repeated.", FeedPage, PAGE_EXAMPLE, CACHE_HEADERS),
            304: Response("Your copy, identified by If-None-Match, is still current.", headers=CACHE_HEADERS),
        },
        scopes=("sdk", "cms", "ops"),
        user=True,
        cors=True,
        parameters=(
            X_USER,
            X_USER_TOKEN,
            X_PERSONALIZATION.saying(
                "`off`: the user opted out. The feed is the popular one, and nothing is stored about the user."
            ),
            IF_NONE_MATCH,
            Parameter(
                "limit",
                "query",
                "Number of videos. Default: the tenant's setting.",
                {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT},
                example=20,
            ),
            Parameter(
                "cursor",
                "query",
                "`nextCursor` of the previous page. Valid for 12 hours and for the same user only.",
                {"type": "string", "pattern": f"^[A-Za-z0-9._-]{{0,{MAX_CHARS}}}$"},
            ),
            FEED_NAME,
            ORDER,
            *FILTER_PARAMETERS,
            INCLUDE,
            *HINT_PARAMETERS,
        ),
        problems=(
            *USER,
            "feed_not_found",
            "invalid_filter",
            "invalid_order",
            "invalid_limit",
            "invalid_cursor",
            "cursor_expired",
            "cursor_of_another_feed",
            "invalid_include",
            "invalid_personalization",
        ),
    )
    async def get_feed(self, call: Call) -> func.HttpResponse:
        """Return the next page for a user, or 304 if the client has it already."""
        self._served += 1
        timed = self._served % STAGES_EVERY == 1 or self._spans.wanted()
        stages = Stages(call.started) if timed else UNTIMED
        user_key, now, headers, params = call.user_key, call.now, call.headers, call.request.params
        feed, tenant = self._feed.named_feeds.of(call.tenant, read_feed_name(params), params)
        query = parse_query(params, headers, tenant.default_limit, read_filters(call.request.url, params))
        stages.end("authenticate")
        with self._limits.admit(Kind.FEED, call.tenant, user_key) as admission:
            result = await self._feed.serve_feed(
                query, tenant, user_key, now, feed=feed, overloaded=admission.ready_only, stages=stages
            )
        page, catalog = result.page, result.catalog
        sent = {
            **BASE_HEADERS,
            "ETag": page.etag(catalog, user_key, now),
            "Cache-Control": CACHE_CONTROL[page.mode == PERSONALIZED],
        }
        response = not_modified(call.request, sent, JSON)
        if response is None:
            body, compressed = page.encoded(catalog, least_bytes(headers))
            if compressed:
                sent |= GZIP
            response = HttpResponse(body, status_code=200, headers=sent, mimetype=JSON)
        self._record(call, query, page, stages)
        return response

    def _record(self, call: Call, query: FeedQuery, page: Page, stages: Stages) -> None:
        telemetry, tenant_id, reason = self._telemetry, call.tenant.id, page.reason or ""
        self._milestones.saw(FEED, tenant_id, call.caller.scopes, call.now)
        for name in query.unread:
            telemetry.count("hints_unread", name)
        telemetry.count("feed_requests", tenant_id, page.mode, reason)
        if not len(page.rows):
            telemetry.count("feed_empty", tenant_id)
        if stages is UNTIMED:
            telemetry.observe("feed_duration_ms", (perf_counter() - call.started) * 1000, page.mode)
        else:
            stages.end("render")
            telemetry.observe(
                "feed_duration_ms", telemetry.observe_stages("feed_stage_ms", stages, page.mode), page.mode
            )
            self._spans.record("get_feed", stages, tenant=tenant_id, mode=page.mode, reason=reason)

    @endpoint(
        "GET",
        "v1/videos/{id}",
        "A video by its id",
        tag="feed",
        description="For links into an app. The rules of the feed apply, except that seen videos are returned too. 404 "
        "for a video that does not exist, and for one that this viewer cannot see.",
        responses={
            200: Response("The video, as in a feed, without score and rank.", VideoItem, VIDEO_EXAMPLE, CACHE_HEADERS),
            304: Response("Your copy is still current.", headers=CACHE_HEADERS),
        },
        scopes=("sdk", "cms", "ops"),
        user=True,
        cors=True,
        parameters=(X_USER, X_USER_TOKEN, IF_NONE_MATCH, INCLUDE, *HINT_PARAMETERS),
        problems=(*USER, "video_not_found", "invalid_include"),
    )
    async def look_up_video(self, call: Call) -> func.HttpResponse:
        """Return one video for a viewer. Raises a 404 `Problem`."""
        found, query = await self._looked_up(call, [call.request.route_params.get("id", "")])
        if not found.rows:
            raise not_found()
        return self._answer(call, found, query, found.items(query.include)[0])

    @endpoint(
        "GET",
        "v1/videos",
        "Videos by their ids",
        tag="feed",
        description="Like `/v1/videos/{id}`, for several ids. Videos that are not found are left out.",
        responses={
            200: Response("The videos.", VideoItems, {"items": [VIDEO_EXAMPLE]}, CACHE_HEADERS),
            304: Response("Your copy is still current.", headers=CACHE_HEADERS),
        },
        scopes=("sdk", "cms", "ops"),
        user=True,
        cors=True,
        parameters=(
            X_USER,
            X_USER_TOKEN,
            IF_NONE_MATCH,
            Parameter(
                "ids",
                "query",
                f"1 to {MAX_IDS} ids, as repeated parameters or separated by commas.",
                {
                    "type": "array",
                    "items": {"type": "string", "pattern": f"^{VIDEO_ID.pattern}$"},
                    "minItems": 1,
                    "maxItems": MAX_IDS,
                },
                required=True,
                example=["vid_fitness_1", "vid_cooking_1"],
            ),
            INCLUDE,
            *HINT_PARAMETERS,
        ),
        problems=(*USER, "invalid_ids", "invalid_include"),
    )
    async def look_up_videos(self, call: Call) -> func.HttpResponse:
        """Return several videos for a viewer, in the order of the ids."""
        found, query = await self._looked_up(call, read_ids(call.request.params.get("ids")))
        return self._answer(call, found, query, b'{"items":[%b]}' % b",".join(found.items(query.include)))

    async def _looked_up(self, call: Call, ids: Sequence[str]) -> tuple[Found, FeedQuery]:
        tenant, user_key = call.tenant, call.user_key
        query = parse_lookup(call.request.params)
        for name in query.unread:
            self._telemetry.count("hints_unread", name)
        with self._limits.admit(Kind.FEED, tenant, user_key):
            return await self._feed.look_up(ids, query, tenant, user_key, call.now), query

    @staticmethod
    def _answer(call: Call, found: Found, query: FeedQuery, body: bytes) -> func.HttpResponse:
        sent = {
            **BASE_HEADERS,
            "ETag": found.etag(call.user_key, call.now, query.include),
            "Cache-Control": CACHE_CONTROL[True],
        }
        return not_modified(call.request, sent, JSON) or HttpResponse(body, headers=sent, mimetype=JSON)

    @endpoint(
        "GET",
        "v1/config",
        "Limits and settings for SDKs",
        tag="feed",
        responses={
            200: Response(
                "Limits, how often to send events, hints, cache times.", Config, _CONFIG_EXAMPLE, CACHE_HEADERS
            ),
            304: Response("Your copy is still current.", headers=CACHE_HEADERS),
        },
        scopes=("sdk", "cms", "ops"),
        cors=True,
        parameters=(IF_NONE_MATCH,),
    )
    async def get_config(self, call: Call) -> func.HttpResponse:
        """Return limits, the interval for sending events, known hints and cache times for SDKs."""
        config = Config(
            feed=FeedLimits(default_limit=call.tenant.default_limit, max_limit=MAX_LIMIT, cursor_hours=12),
            feeds=[OfferedFeed(id=each.id, title=each.title) for each in self._feed.named_feeds.listed(call.tenant)],
            events=EventLimits(
                max_events=MAX_EVENTS,
                max_bytes=MAX_BODY_BYTES,
                flush_seconds=FLUSH_SECONDS,
                types=list(EVENT_TYPES),
                max_age_days=MAX_AGE_DAYS,
            ),
            hints=list(HINTS),
            cache=CacheTimes(fallback_seconds=10, config_seconds=CONFIG_MAX_AGE_SECONDS),
        )
        body = as_json(config)
        digest = blake2b(f"{call.tenant.id}\n".encode() + body, digest_size=12)
        sent = {
            **BASE_HEADERS,
            "ETag": f'W/"{digest.hexdigest()}"',
            "Cache-Control": f"private, max-age={CONFIG_MAX_AGE_SECONDS}",
        }
        return not_modified(call.request, sent, JSON) or HttpResponse(body, headers=sent, mimetype=JSON)
