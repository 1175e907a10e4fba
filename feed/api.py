"""`GET /v1/feed` and `GET /v1/config`."""

from __future__ import annotations

import hashlib

import azure.functions as func
import orjson

from bootstrap import Services
from feed.pipeline import PERSONALIZED, Feed
from feed.query import HINTS, parse_query
from shared.domain.event_types import EVENT_TYPES, MAX_AGE_DAYS, MAX_BODY_BYTES, MAX_EVENTS
from shared.domain.records import MAX_LIMIT
from shared.observability.tracing import Stages
from shared.web.admission import Kind
from shared.web.endpoint import BASE_HEADERS, JSON, endpoint, json_response, matches_etag

CACHE_CONTROL = {True: "private, no-cache", False: "private, max-age=10"}
"""By whether the page is personalized. Private either way: a shared cache ignores `Vary` on identity headers."""
CONFIG_MAX_AGE_SECONDS = 300
FLUSH_SECONDS = 5


@endpoint("feed")
async def get_feed(request: func.HttpRequest, services: Services) -> func.HttpResponse:
    """The next page for a user, or 304 when it is the page the client has."""
    stages = Stages()
    now = services.clock()
    headers = request.headers
    caller = services.tenants.authenticate(headers, now)
    caller.require("sdk", "cms", "ops")
    tenant = caller.tenant
    query = parse_query(request.params, headers, tenant.default_limit)
    user = services.user_tokens.user_of(caller, headers, now)
    user_key = services.identity.user_key(tenant.id, user.hash)
    stages.end("authenticate")
    with services.limits.admit(Kind.FEED, tenant, user_key, now) as admission:
        result = await services.room(Feed).serve_feed(
            query, tenant, user_key, now, overloaded=admission.ready_only, stages=stages
        )
    page, catalog = result.page, result.catalog
    etag = page.etag(catalog)
    answer = {**BASE_HEADERS, "ETag": etag, "Cache-Control": CACHE_CONTROL[page.mode == PERSONALIZED]}
    if matches_etag(headers.get("if-none-match"), etag):
        response = func.HttpResponse(b"", status_code=304, headers=answer)
    else:
        response = func.HttpResponse(page.body(catalog), status_code=200, headers=answer, mimetype=JSON)
    stages.end("render")
    telemetry = services.telemetry
    telemetry.count("feed_requests", tenant.id, page.mode, page.reason or "")
    telemetry.observe("feed_duration_ms", telemetry.observe_stages("feed_stage_ms", stages, page.mode), page.mode)
    services.spans("get_feed", stages, tenant=tenant.id, mode=page.mode, reason=page.reason or "")
    if not len(page.rows):
        telemetry.count("feed_empty", tenant.id)
    return response


@endpoint("config")
async def get_config(request: func.HttpRequest, services: Services) -> func.HttpResponse:
    """What an SDK needs to know to behave: limits, how often to send events, hints, cache times."""
    caller = services.tenants.authenticate(request.headers, services.clock())
    caller.require("sdk", "cms", "ops")
    body = orjson.dumps(
        {
            "feed": {"defaultLimit": caller.tenant.default_limit, "maxLimit": MAX_LIMIT, "cursorHours": 12},
            "events": {
                "maxEvents": MAX_EVENTS,
                "maxBytes": MAX_BODY_BYTES,
                "flushSeconds": FLUSH_SECONDS,
                "types": list(EVENT_TYPES),
                "maxAgeDays": MAX_AGE_DAYS,
            },
            "hints": list(HINTS),
            "cache": {"fallbackSeconds": 10, "configSeconds": CONFIG_MAX_AGE_SECONDS},
        }
    )
    etag = f'W/"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    cache = f"private, max-age={CONFIG_MAX_AGE_SECONDS}"
    if matches_etag(request.headers.get("if-none-match"), etag):
        return func.HttpResponse(b"", status_code=304, headers={"ETag": etag, "Cache-Control": cache})
    return json_response(body, headers={"ETag": etag}, cache=cache)
