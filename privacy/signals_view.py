"""What operators may look at for one user. Scope `ops`; never reachable through the public entry."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import azure.functions as func
import numpy as np

from bootstrap import Services
from feed.pipeline import Feed
from ranking.columns import Vocabulary
from shared.adapters.documents.port import USER_ACTIVITY
from shared.adapters.tenant_directory import USER_HASH, user_hash
from shared.domain.user_signals import DAILY_DAYS, SIGNALS_ID, SKIPS, VIEWS, WATCH_MS, Signals, from_document
from shared.web.endpoint import endpoint, json_response
from shared.web.problems import Problem, bad_request


@endpoint("debug_signals")
async def get_user_signals(request: func.HttpRequest, services: Services) -> func.HttpResponse:
    """A user's signals in words; 404 when there are none. Names come from the tenant's catalog."""
    now = services.clock()
    caller = services.tenants.authenticate(request.headers, now)
    caller.require("ops")
    user_key = services.identity.user_key(caller.tenant.id, _asked_user(request, services))
    document = await services.documents.read(USER_ACTIVITY, user_key, SIGNALS_ID, latest=True)
    signals = from_document(document.body) if document else None
    if signals is None:
        raise Problem(404, "no_signals", "Nothing is stored about this user.")
    catalog = await services.room(Feed).catalogs.get(caller.tenant.id, now)
    return json_response(describe(signals, catalog.columns.categories, now))


def _asked_user(request: func.HttpRequest, services: Services) -> str:
    """The hash in `X-User`; in a URL it would end up in logs, so `userHash=` works in the local host only."""
    in_query: str | None = request.params.get("userHash")
    if in_query is None:
        return user_hash(request.headers)
    if not services.local:
        raise bad_request("user_in_url", "Send the user hash in X-User, not in the URL.")
    if not USER_HASH.fullmatch(in_query):
        raise bad_request("invalid_user", "userHash must be 64 lower-case hex digits.")
    return in_query


def describe(signals: Signals, categories: Vocabulary, now: float) -> dict[str, Any]:
    """Signals as a readable object. Category figures are decayed to `now`; the seven-day totals are plain counts."""
    faded = signals.decay_to(now)
    table = (signals.categories.values.astype(np.float64) * faded).tolist()
    stats = {
        categories.shown(key): {
            "views": round(row[VIEWS], 4),
            "watchTimeMs": round(row[WATCH_MS], 1),
            "skips": round(row[SKIPS], 4),
        }
        for key, row in zip(signals.categories.keys.tolist(), table, strict=True)
    }
    skipped_days = int(now // 86_400) - signals.newest_day
    recent = signals.daily[: max(0, DAILY_DAYS - max(0, skipped_days))]
    views, skips = int(recent["views"].sum()), int(recent["skips"].sum())
    return {
        "categoryStats": stats,
        "categoryStatsLost": round(signals.categories.lost * faded, 4),
        "halfLifeDays": signals.half_life_days,
        "totalViewsLast7d": views,
        "totalWatchTimeLast7dMs": int(recent["watch_ms"].sum()),
        "skipRateLast7d": round(skips / (views + skips), 4) if views + skips else 0.0,
        "events": signals.events,
        "seenVideos": len(signals.seen.keys),
        "notInterestedVideos": len(signals.dismissed.keys),
        "lastActiveAt": _iso(signals.newest_minute * 60),
        "updatedAt": _iso(signals.updated_at),
    }


def _iso(at: float) -> str:
    return datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
