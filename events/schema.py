"""The event as SDKs send it: one model for the wire, one code per way to be refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from events.device_clock import DeviceClock, looks_like_seconds, milliseconds
from shared.domain.event_types import EVENT_TYPES, MAX_AGE_DAYS, VIDEO_VIEW
from shared.domain.feed_receipt import MAX_CHARS
from shared.domain.fingerprint import fingerprint
from shared.domain.formats import VIDEO_ID
from shared.domain.json_text import UNREADABLE
from shared.domain.numbers import number_in, whole_number

MAX_WATCH_MS = 24 * 3_600_000
CLAMP_AHEAD_SECONDS = 300.0
UNKNOWN_CLOCK = DeviceClock()
MAX_AGE_SECONDS = MAX_AGE_DAYS * 86_400.0
VIDEO_ID_PATTERN = f"^{VIDEO_ID.pattern}$"

REJECTIONS: dict[str, str] = {
    "not_an_object": "The event is not a JSON object.",
    "unreadable": "The event has a cut character, a number that JSON does not have, or more than 1,000 levels.",
    "unknown_type": "`type` is not one of the event types.",
    "invalid_video_id": f"`videoId` must be {VIDEO_ID.description}.",
    "invalid_timestamp": "`timestamp` must be an ISO 8601 time or milliseconds since the epoch.",
    "timestamp_in_seconds": "`timestamp` is in seconds since the epoch: multiply by 1000.",
    "too_old": "The event is older than 7 days.",
    "missing_watch_time": "A `video_view` needs `watchTimeMs`.",
    "invalid_watch_time": "`watchTimeMs` must be a number from 0 to 86400000.",
    "invalid_feed_request_id": "`feedRequestId` must be a string of at most 256 characters.",
    "invalid_rank_position": "`rankPosition` must be a whole number from 0 to 100000.",
    "invalid_event_id": "`eventId` must be a string of 1 to 128 characters.",
}
"""Every code an event can be refused with, and what the caller is told."""

_CODE_BY_FIELD = {
    "type": "unknown_type",
    "videoId": "invalid_video_id",
    "timestamp": "invalid_timestamp",
    "watchTimeMs": "invalid_watch_time",
    "feedRequestId": "invalid_feed_request_id",
    "rankPosition": "invalid_rank_position",
    "eventId": "invalid_event_id",
}


class WireEvent(BaseModel):
    """One event as the SDK sends it. Unknown fields are dropped."""

    model_config = ConfigDict(strict=True, extra="ignore")

    type: str
    videoId: str = Field(pattern=VIDEO_ID_PATTERN)
    timestamp: int | float | str
    watchTimeMs: int | float | None = Field(default=None, ge=0, le=MAX_WATCH_MS)
    feedRequestId: str | None = Field(default=None, max_length=MAX_CHARS)
    rankPosition: int | None = Field(default=None, ge=0, le=100_000)
    eventId: str | None = Field(default=None, min_length=1, max_length=128)

    @field_validator("type")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in EVENT_TYPES:
            raise ValueError("unknown")
        return value


@dataclass(slots=True)  # not frozen, which is four times as dear to make
class Event:
    """A validated event. `at_ms` is in ms since the epoch, never later than its acceptance by more than 5 minutes.

    `identity` names the event for the ring that catches re-packed batches; `request` is the index of its feed request
    in the batch, None when it quotes none that is valid. `place` is where its video stood on that page, `NOT_ON_PAGE`
    when it did not, None when the feed request does not know. `session_id`: the app session, where a client names one;
    messages have room for it.
    """

    type: str
    video_id: str
    at_ms: int
    identity: int
    watch_ms: float | None = None
    position: int | None = None
    request: int | None = None
    place: int | None = None
    session_id: str | None = None


class Rejected(Exception):
    """An event that is refused. `code` is a key of `REJECTIONS`."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


def parse_event(raw: Any, now: float, device: DeviceClock = UNKNOWN_CLOCK) -> tuple[Event, str | None]:
    """Validate one event; also the feed request id it quotes, unverified. Raises `Rejected`.

    Its time is corrected by the device's clock. Then more than 5 minutes ahead of `now` is clamped to `now`, and older
    than 7 days is refused. The event's identity goes by the time as it was sent, whatever the correction.
    """
    if not isinstance(raw, dict):
        raise Rejected("unreadable" if raw is UNREADABLE else "not_an_object")
    wire = _wire_event(raw)
    try:
        sent_ms = milliseconds(wire.timestamp)
    except ValueError:
        raise Rejected("invalid_timestamp") from None
    just_before_sending = device.sent_ms is not None and 0 <= device.sent_ms - sent_ms <= MAX_AGE_SECONDS * 1000
    if not just_before_sending and looks_like_seconds(wire.timestamp, now):
        raise Rejected("timestamp_in_seconds")
    at_ms = sent_ms + device.behind_ms
    if at_ms < (now - MAX_AGE_SECONDS) * 1000:
        raise Rejected("too_old")
    if at_ms > (now + CLAMP_AHEAD_SECONDS) * 1000:
        at_ms = int(now * 1000)
    if wire.type == VIDEO_VIEW and wire.watchTimeMs is None:
        raise Rejected("missing_watch_time")
    identity = wire.eventId or f"{wire.type}\n{wire.videoId}\n{sent_ms}"
    event = Event(
        type=wire.type,
        video_id=wire.videoId,
        at_ms=at_ms,
        identity=fingerprint(identity),
        watch_ms=wire.watchTimeMs,
        position=wire.rankPosition,
    )
    return event, wire.feedRequestId


def _wire_event(raw: dict[str, Any]) -> WireEvent:
    """The event with its types. Only one that is refused is read again, its numbers in other spellings."""
    try:
        return WireEvent.model_validate(raw)
    except ValidationError:
        pass
    respelled = {
        **raw,
        "watchTimeMs": number_in(raw.get("watchTimeMs")),
        "rankPosition": whole_number(number_in(raw.get("rankPosition"))),
    }
    try:
        return WireEvent.model_validate(respelled)
    except ValidationError as error:
        raise Rejected(_CODE_BY_FIELD[str(error.errors(include_url=False)[0]["loc"][0])]) from None
