"""The event as SDKs send it: one model for the JSON, one code for each reason to refuse it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from events.device_clock import DeviceClock, looks_like_seconds, milliseconds
from shared.domain.event_types import ABOUT_NO_VIDEO, EVENT_TYPES, MAX_AGE_DAYS, PROGRESS, VIDEO_VIEW
from shared.domain.feed_receipt import MAX_CHARS
from shared.domain.fingerprint import fingerprint
from shared.domain.follows import KINDS, MAX_NAME_CHARS, Subject
from shared.domain.formats import PLAY_ID, VIDEO_ID
from shared.domain.json_text import UNREADABLE
from shared.domain.numbers import number_in, whole_number
from shared.domain.text import clean, what_is_wrong

MAX_WATCH_MS = 24 * 3_600_000
CLAMP_AHEAD_SECONDS = 300.0
UNKNOWN_CLOCK = DeviceClock()
MAX_AGE_SECONDS = MAX_AGE_DAYS * 86_400.0
VIDEO_ID_PATTERN = f"^{VIDEO_ID.pattern}$"
PLAY_ID_PATTERN = f"^{PLAY_ID.pattern}$"

REJECTIONS: dict[str, str] = {
    "not_an_object": "The event must be a JSON object.",
    "unreadable": "The event cannot be read: it has half of a character pair (surrogate), a number that JSON does not "
    "have (NaN, Infinity), or more than 1,000 levels of nesting.",
    "unknown_type": f"`type` must be one of {', '.join(sorted(EVENT_TYPES))}.",
    "invalid_video_id": f"`videoId` must be {VIDEO_ID.description}.",
    "invalid_timestamp": "`timestamp` must be an ISO 8601 time or milliseconds since the epoch.",
    "timestamp_in_seconds": "`timestamp` is in seconds since the epoch: multiply by 1000.",
    "too_old": "The event is older than 7 days, so it is not counted. Do not send it again.",
    "missing_watch_time": "A `video_view` needs `watchTimeMs`.",
    "invalid_watch_time": "`watchTimeMs` must be a number from 0 to 86400000.",
    "invalid_feed_request_id": "`feedRequestId` must be a string of at most 256 characters.",
    "invalid_rank_position": "`rankPosition` must be a whole number from 0 to 100000.",
    "invalid_event_id": "`eventId` must be a string of 1 to 128 characters.",
    "missing_play": "A `progress` needs `playId`, `startedAt` and `positionMs`; a `video_view` with a `playId` needs "
    "`startedAt`.",
    "invalid_play_id": f"`playId` must be {PLAY_ID.description}.",
    "invalid_position": "`positionMs` must be a number from 0 to 86400000.",
    "invalid_started_at": "`startedAt` must be an ISO 8601 time or milliseconds since the epoch, at most 7 days before "
    "`timestamp`.",
    "invalid_session_id": f"`sessionId` must be {PLAY_ID.description}.",
    "invalid_follow": f"A `follow` or `unfollow` needs `followKind` ({', '.join(KINDS)}) and `followId`, a string of 1 "
    f"to {MAX_NAME_CHARS} characters.",
}
"""Every code that an event can be refused with, and the message for the caller."""

_CODE_BY_FIELD = {
    "type": "unknown_type",
    "videoId": "invalid_video_id",
    "timestamp": "invalid_timestamp",
    "watchTimeMs": "invalid_watch_time",
    "feedRequestId": "invalid_feed_request_id",
    "rankPosition": "invalid_rank_position",
    "eventId": "invalid_event_id",
    "playId": "invalid_play_id",
    "positionMs": "invalid_position",
    "startedAt": "invalid_started_at",
    "sessionId": "invalid_session_id",
    "followKind": "invalid_follow",
    "followId": "invalid_follow",
}


class WireEvent(BaseModel):
    """One event as the SDK sends it. Unknown fields are dropped."""

    model_config = ConfigDict(strict=True, extra="ignore")

    type: str
    videoId: str | None = Field(default=None, pattern=VIDEO_ID_PATTERN)
    timestamp: int | float | str
    watchTimeMs: int | float | None = Field(default=None, ge=0, le=MAX_WATCH_MS)
    feedRequestId: str | None = Field(default=None, max_length=MAX_CHARS)
    rankPosition: int | None = Field(default=None, ge=0, le=100_000)
    eventId: str | None = Field(default=None, min_length=1, max_length=128)
    playId: str | None = Field(default=None, pattern=PLAY_ID_PATTERN)
    startedAt: int | float | str | None = None
    positionMs: int | float | None = Field(default=None, ge=0, le=MAX_WATCH_MS)
    sessionId: str | None = Field(default=None, pattern=PLAY_ID_PATTERN)
    followKind: str | None = None
    followId: str | None = Field(default=None, max_length=4 * MAX_NAME_CHARS)

    @field_validator("type")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in EVENT_TYPES:
            raise ValueError("unknown")
        return value


@dataclass(frozen=True, slots=True)
class Play:
    """The play that an event reports. `key`: 32 bits of a hash of the video and the play's id, never 0. `started_ms` is
    in ms since the epoch. `before`: the whole seconds that statistics counted with earlier events; None when this event
    is the first of its play, or nothing is decided yet."""

    key: int
    started_ms: int
    before: int | None = None


@dataclass(slots=True)  # not frozen: a frozen one takes four times as long to create
class Event:
    """A validated event. `at_ms` is in ms since the epoch, at most 5 minutes later than its acceptance.

    `identity` names the event in the ring that detects repeated events. `request` is the index of its feed request in
    the batch; None when it quotes no valid one. `place` is the position of its video on that page: `NOT_ON_PAGE` when
    it was not there, None when the feed request does not know. `session_id`: a hash of the app session, if the client
    names one. `watch_ms` of an event with a `play` is how long that play has lasted so far. `subject`: who or what is
    followed, for an event about no video; its `video_id` is empty and it quotes no request.
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
    play: Play | None = None
    subject: Subject | None = None

    @property
    def counts_at_ms(self) -> int:
        """When the event counts. All time of a play counts at the start of the play."""
        return self.at_ms if self.play is None else min(self.play.started_ms, self.at_ms)


class Rejected(Exception):
    """A refused event. `code` is a key of `REJECTIONS`."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


def parse_event(raw: Any, now: float, device: DeviceClock = UNKNOWN_CLOCK) -> tuple[Event, str | None]:
    """Validate one event. Return it with the feed request id that it quotes, unverified. Raises `Rejected`.

    The device's clock corrects its time. Then a time more than 5 minutes ahead of `now` is set to `now`, and one older
    than 7 days is refused. The event's identity uses the time as it was sent, without correction.
    """
    if not isinstance(raw, dict):
        raise Rejected("unreadable" if raw is UNREADABLE else "not_an_object")
    wire = wire_event(raw)
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
    if wire.type in ABOUT_NO_VIDEO:
        subject = _subject(wire)
        return Event(wire.type, "", at_ms, identity_of(wire, sent_ms), subject=subject, session_id=wire.sessionId), None
    video_id = video_of(wire)
    play = _play(wire, sent_ms, at_ms)
    event = Event(
        type=wire.type,
        video_id=video_id,
        at_ms=at_ms,
        identity=identity_of(wire, sent_ms),
        watch_ms=wire.positionMs if wire.type == PROGRESS else wire.watchTimeMs,
        position=wire.rankPosition,
        session_id=wire.sessionId,
        play=play,
    )
    return event, wire.feedRequestId


def video_of(wire: WireEvent) -> str:
    """Return the video that an event is about. Raises `Rejected`."""
    if wire.videoId is None:
        raise Rejected("invalid_video_id")
    return wire.videoId


def _subject(wire: WireEvent) -> Subject:
    """Return the followed subject, with its name in the form that content is stored in. Raises `Rejected`."""
    name = clean(wire.followId or "")
    odd = not 1 <= len(name) <= MAX_NAME_CHARS or len(name.splitlines()) > 1 or what_is_wrong(name)
    if wire.followKind not in KINDS or odd:
        raise Rejected("invalid_follow")
    return Subject(wire.followKind, name)


def _play(wire: WireEvent, sent_ms: int, at_ms: int) -> Play | None:
    """Return the play that a `progress` or `video_view` reports; events of other types have none. `at_ms` is `sent_ms`
    corrected by the device's clock; the start of the play is corrected by as much. Raises `Rejected`."""
    if wire.type not in (PROGRESS, VIDEO_VIEW) or (wire.type == VIDEO_VIEW and wire.playId is None):
        return None
    if wire.playId is None or wire.startedAt is None or (wire.type == PROGRESS and wire.positionMs is None):
        raise Rejected("missing_play")
    try:
        age_ms = max(0, sent_ms - milliseconds(wire.startedAt))
    except ValueError:
        raise Rejected("invalid_started_at") from None
    if age_ms > MAX_AGE_SECONDS * 1000:
        raise Rejected("invalid_started_at")
    return Play(fingerprint(f"{wire.videoId}\n{wire.playId}") or 1, at_ms - age_ms)


def identity_of(wire: WireEvent, sent_ms: int) -> int:
    """Return the identity of an event: a hash of its own id, or of its fields if it has no id."""
    about = f"{wire.followKind}\n{wire.followId}" if wire.type in ABOUT_NO_VIDEO else wire.videoId
    identity = wire.eventId or f"{wire.type}\n{about}\n{sent_ms}"
    if wire.type == PROGRESS and not wire.eventId:
        identity += f"\n{wire.playId}\n{wire.positionMs}"
    return fingerprint(identity)


def wire_event(raw: dict[str, Any]) -> WireEvent:
    """Return the typed event. If it is refused, its numbers are converted from other spellings and it is read once
    more. Raises `Rejected`."""
    try:
        return WireEvent.model_validate(raw)
    except ValidationError:
        pass
    respelled = {
        **raw,
        "watchTimeMs": number_in(raw.get("watchTimeMs")),
        "rankPosition": whole_number(number_in(raw.get("rankPosition"))),
        "positionMs": number_in(raw.get("positionMs")),
    }
    try:
        return WireEvent.model_validate(respelled)
    except ValidationError as error:
        raise Rejected(_CODE_BY_FIELD[str(error.errors(include_url=False)[0]["loc"][0])]) from None
