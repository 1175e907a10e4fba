"""Models of an event batch: the request, for the OpenAPI document, and the response."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypeAliasType

from events.schema import REJECTIONS, WireEvent
from shared.domain.event_types import EVENT_TYPES, MAX_EVENTS
from shared.web.client_schemas import IN_APPS
from shared.web.responses import Count, View


class RejectedEvent(View):
    """An event that was refused."""

    index: Count
    code: Annotated[
        str,
        Field(
            json_schema_extra={"enum": list(REJECTIONS)},
            description="\n".join(f"- `{code}`: {text}" for code, text in REJECTIONS.items()),
        ),
    ]
    message: str


class BatchReceipt(View):
    """What became of a batch."""

    accepted: Count
    rejected: Annotated[
        list[RejectedEvent],
        Field(description="Events that were refused one by one; the others count. Do not send these again."),
    ]
    batch_id: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]


def _describe(schema: dict[str, Any]) -> None:
    """Add the meaning of the event types and of fields to the schema."""
    properties = schema["properties"]
    properties["type"] = {
        "type": "string",
        "enum": list(EVENT_TYPES),
        "description": "\n".join(f"- `{name}`: {meaning}" for name, meaning in EVENT_TYPES.items()),
    }
    properties["watchTimeMs"]["description"] = "Required for `video_view`."
    properties["feedRequestId"]["description"] = "`feedRequestId` of the page that showed the video."
    properties["eventId"]["description"] = "Yours; the same id is counted once, whatever batch it comes in."
    properties["playId"]["description"] = (
        "Yours, one for each play of a video. Required for `progress`; a `video_view` with one counts what its "
        "heartbeats have not."
    )
    properties["positionMs"]["description"] = (
        "Required for `progress`: how long the play has played so far. It goes on when the video begins again, and "
        "stands still in a pause."
    )
    properties["sessionId"]["description"] = "Yours, one for each session of the app."


EventTime = TypeAliasType(
    "EventTime",
    Annotated[
        int | float | str,
        Field(
            description="ISO 8601, or milliseconds since the epoch (also as digits in text), by the device's clock.",
            json_schema_extra={
                IN_APPS: {
                    "type": "integer",
                    "format": "int64",
                    "description": "Milliseconds since the epoch, by the device's clock.",
                }
            },
        ),
    ],
)


class Event(WireEvent):
    """Something that happened to a video. Unknown fields are dropped."""

    model_config = ConfigDict(json_schema_extra=_describe)

    timestamp: Annotated[
        EventTime,
        Field(
            description="When it happened. `sentAt` corrects the device's clock. More than 5 min ahead counts as now; "
            "older than 7 days is refused."
        ),
    ]

    startedAt: Annotated[
        EventTime | None,
        Field(description="When the play began, the same in all its events. Required beside `playId`."),
    ] = None


class EventBatch(BaseModel):
    """A batch of events. One that is refused does not sink the others."""  # for the document; the handler reads it

    events: Annotated[list[Event], Field(min_length=1, max_length=MAX_EVENTS)]
    sentAt: Annotated[
        EventTime | None,
        Field(
            description="What the device's clock shows when the batch is sent for the first time. A clock that is off "
            "by more than a minute is corrected. What cannot be read is ignored."
        ),
    ] = None
