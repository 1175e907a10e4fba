"""The feed room's operations as data: what the OpenAPI document says of them."""

from __future__ import annotations

from typing import Any

from feed.cursor import MAX_CHARS
from feed.pipeline import FALLBACK, PERSONALIZED, REASONS
from feed.query import HINTS
from privacy.export import COUNTED
from shared.domain.records import MAX_LIMIT, RATINGS
from shared.domain.user_signals import CATEGORY_FIELDS, TAG_FIELDS
from shared.web.openapi import X_USER, X_USER_TOKEN, Answer, Operation, Parameter, Schema, ref
from shared.web.problem_codes import ANY, TENANT, USER

X_PERSONALIZATION = Parameter(
    "X-Personalization",
    "header",
    "`off`: the user opted out. The feed is the popular one, and nothing is stored about the user.",
    {"type": "string", "enum": ["on", "off"], "default": "on"},
)
IF_NONE_MATCH = Parameter("If-None-Match", "header", "The ETag you have; 304 when it still holds.", {"type": "string"})

_NULLABLE_TEXT: Schema = {"type": ["string", "null"]}
_TIME: Schema = {"type": "string", "format": "date-time"}
_NULLABLE_TIME: Schema = {"type": ["string", "null"], "format": "date-time"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_AMOUNT: Schema = {"type": "number", "minimum": 0}


def _object(properties: dict[str, Schema]) -> dict[str, Any]:
    """All of these fields; more may come with time, so a client must not refuse those it does not know."""
    return {"type": "object", "required": list(properties), "properties": properties}


def _counted(places: int) -> Schema:
    """What is counted by name, as far as it has one of the first `places`."""
    known = {name: _AMOUNT for name, place in COUNTED.items() if place < places}
    return {
        "type": "object",
        "additionalProperties": _object(known),
        "description": "Decayed to now, by name; `#` and a fingerprint where the name is no longer known.",
    }


_RING: Schema = {
    "type": "array",
    "items": _object({"videoIds": {"type": "array", "items": {"type": "string"}}, "at": _TIME}),
    "description": "Ids that fit what is kept of one, which may be several; `#` and a fingerprint for a video unknown.",
}
_SIGNALS = _object(
    {
        "events": _COUNT,
        "lastActiveAt": _TIME,
        "updatedAt": _TIME,
        "halfLifeDays": _AMOUNT,
        "categories": _counted(CATEGORY_FIELDS),
        "tags": _counted(TAG_FIELDS),
        "creators": _counted(TAG_FIELDS),
        "seen": _RING,
        "watchedLong": _RING,
        "skipped": _RING,
        "notInterested": _RING,
        "recentEventFingerprints": {"type": "array", "items": {"type": "string", "pattern": "^[0-9a-f]{8}$"}},
        "days": {
            "type": "array",
            "items": _object(
                {
                    "day": {"type": "string", "format": "date"},
                    "views": _COUNT,
                    "watchTimeMs": _COUNT,
                    "skips": _COUNT,
                }
            ),
            "description": "Plain counts, the newest day first.",
        },
    }
)

_EXAMPLE_VIDEO = {
    "videoId": "vid_fitness_1",
    "playbackUrl": "https://cdn.example/fitness/1.m3u8",
    "thumbnailUrl": None,
    "title": "Fitness warmup",
    "mainTag": "fitness",
    "tags": ["fitness"],
    "durationSeconds": 30,
    "maturityRating": "PG",
    "score": 12.34,
    "rank": 0,
}

SCHEMAS: dict[str, Schema] = {
    "FeedVideo": _object(
        {
            "videoId": {"type": "string"},
            "playbackUrl": {"type": "string"},
            "thumbnailUrl": _NULLABLE_TEXT,
            "title": {"type": "string"},
            "mainTag": {"type": "string"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "durationSeconds": _AMOUNT,
            "maturityRating": {"type": "string", "enum": list(RATINGS)},
            "score": {"type": "number", "description": "Comparable within one page only."},
            "rank": {**_COUNT, "description": "0-based place in the whole walk; send it back as `rankPosition`."},
        }
    ),
    "FeedPage": _object(
        {
            "mode": {"type": "string", "enum": [PERSONALIZED, FALLBACK]},
            "reason": {
                "type": ["string", "null"],
                "enum": [*REASONS, None],
                "description": "Why it fell back:\n" + "\n".join(f"- `{k}`: {v}" for k, v in REASONS.items()),
            },
            "items": {"type": "array", "maxItems": MAX_LIMIT, "items": ref("FeedVideo")},
            "nextCursor": {**_NULLABLE_TEXT, "maxLength": MAX_CHARS, "description": "null: the feed ends here."},
            "feedRequestId": {"type": "string", "description": "Quote it in the events about this page."},
            "modelVersion": {"type": "string"},
            "experiment": _NULLABLE_TEXT,
            "freshness": _object({"content": _NULLABLE_TIME, "signals": _NULLABLE_TIME}),
        }
    ),
    "Config": _object(
        {
            "feed": _object({"defaultLimit": _COUNT, "maxLimit": _COUNT, "cursorHours": _COUNT}),
            "events": _object(
                {
                    "maxEvents": _COUNT,
                    "maxBytes": _COUNT,
                    "flushSeconds": _COUNT,
                    "types": {"type": "array", "items": {"type": "string"}},
                    "maxAgeDays": _COUNT,
                }
            ),
            "hints": {"type": "array", "items": {"type": "string"}},
            "cache": _object({"fallbackSeconds": _COUNT, "configSeconds": _COUNT}),
        }
    ),
    "UserSignals": _object(
        {
            "categoryStats": {
                "type": "object",
                "additionalProperties": _object({"views": _AMOUNT, "watchTimeMs": _AMOUNT, "skips": _AMOUNT}),
            },
            "categoryStatsLost": _AMOUNT,
            "halfLifeDays": _AMOUNT,
            "totalViewsLast7d": _COUNT,
            "totalWatchTimeLast7dMs": _COUNT,
            "skipRateLast7d": {"type": "number", "minimum": 0, "maximum": 1},
            "events": _COUNT,
            "seenVideos": _COUNT,
            "notInterestedVideos": _COUNT,
            "lastActiveAt": _TIME,
            "updatedAt": _TIME,
        }
    ),
    "UserExport": _object(
        {
            "tenantId": {"type": "string"},
            "storedAs": {"type": "string"},
            "signals": {"anyOf": [_SIGNALS, {"type": "null"}], "description": "null: erased, or nothing folded yet."},
            "erasedAt": _NULLABLE_TIME,
            "foldedBatches": {"type": "array", "items": {"type": "string"}},
            "archive": {"type": "string"},
        }
    ),
    "Readiness": _object(
        {
            "status": {"type": "string", "enum": ["ready", "not_ready"]},
            "dependencies": {
                "type": "object",
                "additionalProperties": {"type": "string", "enum": ["ready", "slow", "unavailable"]},
            },
            "ageSeconds": {"type": "object", "additionalProperties": {"type": ["number", "null"]}},
        }
    ),
}

_FEED_EXAMPLE = {
    "mode": PERSONALIZED,
    "reason": None,
    "items": [_EXAMPLE_VIDEO],
    "nextCursor": "AbCd…",
    "feedRequestId": "AQxS…",
    "modelVersion": "global-1",
    "experiment": None,
    "freshness": {"content": "2026-11-20T12:00:00Z", "signals": "2026-11-20T11:59:55Z"},
}
_CACHE = {"ETag": "Weak; send it back in If-None-Match.", "Cache-Control": "Always private."}
_HINT_EXAMPLES = {"country": "DE", "language": "pt-BR", "ageBand": "13-17", "platform": "ios"}

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "GET",
        "v1/feed",
        "getFeed",
        "The next videos for a user",
        "feed",
        {
            200: Answer("A page, best first. No video comes twice.", ref("FeedPage"), _FEED_EXAMPLE, _CACHE),
            304: Answer("The page you have, identified by If-None-Match, is still the one.", headers=_CACHE),
        },
        description="Walk on with `nextCursor` until it is null. When the service cannot or may not personalize, the "
        "page is the popular feed and `reason` says why: treat it as any other page.",
        scopes=("sdk", "cms", "ops"),
        parameters=(
            X_USER,
            X_USER_TOKEN,
            X_PERSONALIZATION,
            IF_NONE_MATCH,
            Parameter(
                "limit",
                "query",
                "How many videos; the tenant's default when absent.",
                {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT},
                example=20,
            ),
            Parameter(
                "cursor",
                "query",
                "`nextCursor` of the page before; valid 12 hours, for its user only.",
                {"type": "string", "pattern": f"^[A-Za-z0-9_-]{{0,{MAX_CHARS}}}$"},
            ),
            *(
                Parameter(
                    name,
                    "query",
                    f"{form[0].upper()}{form[1:]}.",
                    {"type": "string", "pattern": f"^({pattern.pattern})$"},
                    example=_HINT_EXAMPLES[name],
                )
                for name, (pattern, form) in HINTS.items()
            ),
        ),
        problems=(
            *TENANT,
            *USER,
            "invalid_limit",
            "invalid_cursor",
            "cursor_expired",
            "invalid_country",
            "invalid_language",
            "invalid_age_band",
            "invalid_platform",
            "invalid_personalization",
            *ANY,
        ),
    ),
    Operation(
        "GET",
        "v1/config",
        "getConfig",
        "What an SDK needs to know to behave",
        "feed",
        {
            200: Answer(
                "Limits, how often to send events, hints, cache times.",
                ref("Config"),
                {
                    "feed": {"defaultLimit": 20, "maxLimit": 50, "cursorHours": 12},
                    "events": {
                        "maxEvents": 100,
                        "maxBytes": 262_144,
                        "flushSeconds": 5,
                        "types": ["impression", "video_view"],
                        "maxAgeDays": 7,
                    },
                    "hints": ["country"],
                    "cache": {"fallbackSeconds": 10, "configSeconds": 300},
                },
                _CACHE,
            ),
            304: Answer("What you have still holds.", headers=_CACHE),
        },
        scopes=("sdk", "cms", "ops"),
        parameters=(IF_NONE_MATCH,),
        problems=(*TENANT, *ANY),
    ),
    Operation(
        "POST",
        "v1/privacy/export",
        "exportUser",
        "Everything stored about a user",
        "privacy",
        {200: Answer("In words, as far as names are still known.", ref("UserExport"))},
        scopes=("privacy", "ops"),
        token_instead=True,
        parameters=(X_USER, X_USER_TOKEN),
        problems=(*TENANT, *USER, "no_signals", *ANY),
    ),
    Operation(
        "GET",
        "v1/debug/user-signals",
        "getUserSignals",
        "A user's signals in words",
        "operators",
        {200: Answer("Category figures are decayed to now; seven-day totals are plain counts.", ref("UserSignals"))},
        scopes=("ops",),
        parameters=(X_USER,),
        problems=(*TENANT, "missing_user", "invalid_user", "user_in_url", "no_signals", *ANY),
    ),
    Operation(
        "POST",
        "v1/debug/set-personalization",
        "setPersonalization",
        "Switch personalization for one tenant",
        "operators",
        {
            200: Answer(
                "Written; every instance follows within seconds.",
                _object({"tenantId": {"type": "string"}, "usePersonalization": {"type": "boolean"}}),
                {"tenantId": "tenant_1", "usePersonalization": False},
            )
        },
        scopes=("ops",),
        parameters=(
            Parameter(
                "enable",
                "query",
                "true or false.",
                {"type": "string", "enum": ["true", "false"]},
                required=True,
                example="false",
            ),
            Parameter("X-Reason", "header", "Why, for the history.", {"type": "string", "pattern": "^[ -~]{0,300}$"}),
        ),
        problems=(*TENANT, "invalid_enable", "invalid_reason", "no_configuration", "conflict", *ANY),
    ),
    Operation(
        "GET",
        "health",
        "getHealth",
        "Whether the process lives",
        "service",
        {200: Answer("It does.", _object({"status": {"const": "alive"}}), {"status": "alive"})},
    ),
    Operation(
        "GET",
        "ready",
        "getReady",
        "Whether everything the service stands on answers",
        "service",
        {
            200: Answer("It does.", ref("Readiness")),
            503: Answer("Something does not; feeds may still be served from memory.", ref("Readiness")),
        },
    ),
    Operation(
        "GET",
        "openapi.json",
        "getOpenApi",
        "This document",
        "service",
        {
            200: Answer(
                "OpenAPI 3.1.", {"type": "object", "required": ["openapi"], "description": "See spec.openapis.org."}
            )
        },
    ),
    Operation(
        "GET",
        "docs",
        "getDocs",
        "This document as a page",
        "service",
        {200: Answer("A page that loads nothing from elsewhere.", {"type": "string"}, media_type="text/html")},
    ),
)
