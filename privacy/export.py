"""`POST /v1/privacy/export`: all that is stored about a user, in words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import azure.functions as func
import numpy as np

from bootstrap import Services
from feed.pipeline import Feed
from ranking.columns import VideoColumns, Vocabulary
from shared.adapters.documents.port import USER_ACTIVITY, query_all
from shared.domain.fingerprint import SEEN_BITS
from shared.domain.user_signals import (
    APPROVALS,
    SIGNALS_ID,
    SKIPS,
    VIEWS,
    WATCH_FRACTION,
    WATCH_MS,
    Counters,
    Signals,
    Timeline,
    from_document,
)
from shared.web.admission import Kind
from shared.web.endpoint import endpoint, json_response
from shared.web.problems import Problem

COUNTED = {
    "views": VIEWS,
    "watchedShare": WATCH_FRACTION,
    "skips": SKIPS,
    "approvals": APPROVALS,
    "watchTimeMs": WATCH_MS,
}
"""What is counted of a category, and at which place; tags and creators have the first `TAG_FIELDS` of it."""


@endpoint("privacy_export")
async def post_export(request: func.HttpRequest, services: Services) -> func.HttpResponse:
    """Everything stored about the user in `X-User`; 404 when there is nothing."""
    now = services.clock()
    caller = services.tenants.authenticate(request.headers, now)
    user = services.user_tokens.user_of(caller, request.headers, now)
    if not user.verified:  # an app's key names anybody; a token is the user's own
        caller.require("privacy", "ops")
    tenant_id = caller.tenant.id
    user_key = services.identity.user_key(tenant_id, user.hash)
    with services.limits.admit(Kind.PRIVACY, caller.tenant, user_key, now):
        documents = await query_all(services.documents, USER_ACTIVITY, user_key)
    if not documents:
        raise Problem(404, "no_signals", "Nothing is stored about this user.")
    catalog = await services.room(Feed).catalogs.get(tenant_id, now)
    stored = next((document.body for document in documents if document.id == SIGNALS_ID), None)
    signals = from_document(stored) if stored else None
    return json_response(
        {
            "tenantId": tenant_id,
            "storedAs": user_key,
            "signals": describe_all(signals, catalog.columns, now) if signals else None,
            "erasedAt": _iso(stored["erasedAt"]) if stored and "erasedAt" in stored else None,
            "foldedBatches": sorted(d.id.partition(":")[2] for d in documents if d.id != SIGNALS_ID),
            "archive": "Events live up to 90 days in an archive, under a pseudonym. It has no index of users, "
            "so this answer leaves it out.",
        }
    )


def describe_all(signals: Signals, columns: VideoColumns, now: float) -> dict[str, Any]:
    """Signals with every entry named where the catalog still knows the name; else by its fingerprint."""
    return {
        "events": signals.events,
        "lastActiveAt": _iso(signals.newest_minute * 60),
        "updatedAt": _iso(signals.updated_at),
        "halfLifeDays": signals.half_life_days,
        "categories": _counters(signals.categories, columns.categories, signals.decay_to(now)),
        "tags": _counters(signals.tags, columns.tag_names, signals.decay_to(now)),
        "creators": _counters(signals.creators, columns.creators, signals.decay_to(now)),
        "seen": _videos(signals.seen, columns, 86_400, SEEN_BITS),
        "watchedLong": _videos(signals.watched, columns, 60),
        "skipped": _videos(signals.skipped, columns, 60),
        "notInterested": _videos(signals.dismissed, columns, 86_400),
        "recentEventFingerprints": [f"{key:08x}" for key in signals.identities.keys.tolist()],
        "days": [
            {
                "day": _iso((signals.newest_day - age) * 86_400)[:10],
                "views": int(day["views"]),
                "watchTimeMs": int(day["watch_ms"]),
                "skips": int(day["skips"]),
            }
            for age, day in enumerate(signals.daily)
        ],
    }


def _counters(counters: Counters, names: Vocabulary, faded: float) -> dict[str, dict[str, float]]:
    found = {}
    rows = (counters.values.astype(np.float64) * faded).tolist()
    for key, row in zip(counters.keys.tolist(), rows, strict=True):
        found[names.shown(key)] = {field: round(row[at], 4) for field, at in COUNTED.items() if at < len(row)}
    return found


def _videos(ring: Timeline, columns: VideoColumns, unit_seconds: int, bits: int = 32) -> list[dict[str, Any]]:
    listed = []
    for key, time in zip(ring.keys.tolist(), ring.times.tolist(), strict=True):
        rows = columns.find(np.array([key], np.uint32), bits=bits)
        ids = sorted(columns.ids[row] for row in rows.tolist())
        listed.append({"videoIds": ids or [f"#{key:0{bits // 4}x}"], "at": _iso(time * unit_seconds)})
    return listed


def _iso(at: float) -> str:
    return datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
