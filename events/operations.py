"""The events room's operations as data: what the OpenAPI document says of them."""

from __future__ import annotations

from typing import Any

from events.api import MAX_IDEMPOTENCY_KEY
from events.schema import REJECTIONS, WireEvent
from shared.domain.event_types import EVENT_TYPES, MAX_EVENTS
from shared.web.openapi import X_USER, X_USER_TOKEN, Answer, Body, Operation, Parameter, Schema, ref
from shared.web.problem_codes import ANY, TENANT, USER

_COUNT: Schema = {"type": "integer", "minimum": 0}
_TIME: Schema = {"type": "string", "format": "date-time"}


def _event_schema() -> Schema:
    """The event as the handler validates it, with the types and their meaning."""
    schema: dict[str, Any] = WireEvent.model_json_schema()
    properties = schema["properties"]
    properties["type"] = {
        "type": "string",
        "enum": list(EVENT_TYPES),
        "description": "\n".join(f"- `{name}`: {meaning}" for name, meaning in EVENT_TYPES.items()),
    }
    properties["timestamp"]["description"] = (
        "ISO 8601, or milliseconds since the epoch. More than 5 minutes ahead counts as now; older than 7 days is "
        "refused."
    )
    properties["watchTimeMs"]["description"] = "Required for `video_view`."
    properties["feedRequestId"]["description"] = "`feedRequestId` of the page that showed the video."
    properties["eventId"]["description"] = "Yours; the same id is counted once, whatever batch it comes in."
    return {**schema, "title": "Event", "description": "Unknown fields are dropped."}


_VIEW = {
    "type": "video_view",
    "videoId": "vid_fitness_1",
    "timestamp": "2026-11-20T12:00:00Z",
    "watchTimeMs": 20_000,
    "feedRequestId": "AQxS…",
    "rankPosition": 0,
    "eventId": "b1c2-1",
}
_SKIP = {
    "type": "skip",
    "videoId": "vid_cooking_1",
    "timestamp": 1_795_176_000_000,
    "watchTimeMs": None,
    "feedRequestId": "AQxS…",
    "rankPosition": 1,
}

SCHEMAS: dict[str, Schema] = {
    "Event": _event_schema(),
    "EventBatch": {
        "type": "object",
        "required": ["events"],
        "properties": {
            "events": {"type": "array", "minItems": 1, "maxItems": MAX_EVENTS, "items": ref("Event")},
        },
    },
    "BatchReceipt": {
        "type": "object",
        "required": ["accepted", "rejected", "batchId"],
        "properties": {
            "accepted": _COUNT,
            "rejected": {
                "type": "array",
                "description": "Events that were refused one by one; the others count. Do not send these again.",
                "items": {
                    "type": "object",
                    "required": ["index", "code", "message"],
                    "properties": {
                        "index": _COUNT,
                        "code": {
                            "type": "string",
                            "enum": list(REJECTIONS),
                            "description": "\n".join(f"- `{code}`: {text}" for code, text in REJECTIONS.items()),
                        },
                        "message": {"type": "string"},
                    },
                },
            },
            "batchId": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
        },
    },
    "ErasureReceipt": {
        "type": "object",
        "required": ["receiptId", "erasedAt", "deleted", "remaining"],
        "properties": {
            "receiptId": {"type": "string"},
            "erasedAt": _TIME,
            "deleted": {"type": "object", "additionalProperties": _COUNT},
            "remaining": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["what", "until"],
                    "properties": {"what": {"type": "string"}, "until": _TIME},
                },
            },
        },
    },
}

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "POST",
        "v1/events/batch",
        "postEvents",
        "Report what was watched",
        "events",
        {
            202: Answer(
                "The batch is stored safely and will count within seconds.",
                ref("BatchReceipt"),
                {
                    "accepted": 1,
                    "rejected": [{"index": 1, "code": "too_old", "message": REJECTIONS["too_old"]}],
                    "batchId": "0123456789abcdef0123456789abcdef",
                },
            )
        },
        description="Send batches every few seconds. After a time-out, 429 or 503 send the same bytes again with the "
        "same Idempotency-Key: nothing counts twice. One bad event never sinks its batch.",
        scopes=("sdk", "cms", "ops"),
        parameters=(
            X_USER,
            X_USER_TOKEN,
            Parameter(
                "X-Personalization",
                "header",
                "`off`: the user opted out. The events count in statistics about videos and nowhere else.",
                {"type": "string", "enum": ["on", "off"], "default": "on"},
            ),
            Parameter(
                "Idempotency-Key",
                "header",
                "Yours, one for each batch; the body counts too, so a key used twice loses nothing.",
                {"type": "string", "maxLength": MAX_IDEMPOTENCY_KEY},
            ),
        ),
        body=Body(ref("EventBatch"), {"batch": {"events": [_VIEW, _SKIP]}}),
        problems=(
            *TENANT,
            *USER,
            "invalid_json",
            "invalid_batch",
            "empty_batch",
            "too_many_events",
            "invalid_idempotency_key",
            "invalid_personalization",
            "body_too_large",
            "unsupported_media_type",
            *ANY,
        ),
    ),
    Operation(
        "POST",
        "v1/privacy/erase",
        "eraseUser",
        "Delete everything stored about a user",
        "privacy",
        {
            200: Answer(
                "Done; asking twice is harmless.",
                ref("ErasureReceipt"),
                {
                    "receiptId": "0123456789abcdef0123456789abcdef",
                    "erasedAt": "2026-11-20T12:00:00Z",
                    "deleted": {"signals": 1, "markers": 12, "deadLetters": 0},
                    "remaining": [{"what": "backups of the database", "until": "2026-11-27T12:00:00Z"}],
                },
            )
        },
        scopes=("privacy", "ops"),
        token_instead=True,
        parameters=(X_USER, X_USER_TOKEN),
        problems=(*TENANT, *USER, *ANY),
    ),
)
