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
    """Result of a batch."""

    accepted: Count
    rejected: Annotated[
        list[RejectedEvent],
        Field(description="Refused events; the others count. Do not send these again."),
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
    properties["eventId"]["description"] = "Your id. The same id counts once, whatever batch it is in."
    properties["playId"]["description"] = (
        "Your id, one for each play of a video. Required for `progress`. A `video_view` with one adds only the time "
        "that its heartbeats have not."
    )
    properties["positionMs"]["description"] = (
        "Required for `progress`: how long the play has lasted so far. It continues when the video starts again, and "
        "stops during a pause."
    )
    properties["sessionId"]["description"] = "Your id, one for each session of the app."


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
    """One event. Unknown fields are dropped."""

    model_config = ConfigDict(json_schema_extra=_describe)

    timestamp: Annotated[
        EventTime,
        Field(
            description="When it happened. `sentAt` corrects the device's clock. A time more than 5 min ahead counts "
            "as now; events older than 7 days are refused."
        ),
    ]

    startedAt: Annotated[
        EventTime | None,
        Field(description="When the play began, the same in all its events. Required with `playId`."),
    ] = None


class EventBatch(BaseModel):
    """A batch of events. A refused event does not affect the others."""  # for the document only

    events: Annotated[list[Event], Field(min_length=1, max_length=MAX_EVENTS)]
    sentAt: Annotated[
        EventTime | None,
        Field(
            description="Time of the device's clock when the batch is first sent. A clock that is off by more than a "
            "minute is corrected. An invalid value is ignored."
        ),
    ] = None
