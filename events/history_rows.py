"""A row of a tenant's imported history: its stored form until it is processed, and the event it describes. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from events.device_clock import looks_like_seconds, milliseconds
from events.schema import REJECTIONS, Event, Rejected, identity_of, video_of, wire_event
from shared.domain.event_types import ABOUT_NO_VIDEO, PROGRESS, VIDEO_VIEW
from shared.domain.formats import USER_HASH
from shared.domain.history import EVENT_FIELDS, MAX_AGE_DAYS, OFF, PERSONALIZATION, USER

ROW_REJECTIONS: dict[str, str] = {
    **{
        code: REJECTIONS[code]
        for code in (
            "unreadable",
            "unknown_type",
            "invalid_video_id",
            "invalid_timestamp",
            "timestamp_in_seconds",
            "missing_watch_time",
            "invalid_watch_time",
            "invalid_rank_position",
            "invalid_event_id",
        )
    },
    "invalid_user": "`user` must be 64 lower-case hex digits, as in X-User. Never send the id itself.",
    "invalid_personalization": "`personalization` must be on or off.",
    "too_old": f"The event is older than {MAX_AGE_DAYS} days.",
    "in_future": "The event is of a time that is still to come.",
    "not_in_history": "A `progress` is no history: send one `video_view` with all the time that its play was watched. "
    "Send a `follow` or `unfollow` as an event.",
}
"""Every code that a row can be refused with, and the message for its author."""


def kept_values(values: Mapping[str, Any], user_key: Callable[[str], str]) -> dict[str, Any]:
    """Return the stored form of a row: the fields that are used, with the user's key in place of the hash.

    Raises `Rejected` if the row names no hashed user, or does not say clearly whether the user opted out. Nothing of
    such a row is stored.
    """
    user, agreed = values.get(USER), values.get(PERSONALIZATION)
    if not isinstance(user, str) or not USER_HASH.matches(user):
        raise Rejected("invalid_user")
    if agreed not in (None, "on", OFF):
        raise Rejected("invalid_personalization")
    kept = {name: values[name] for name in EVENT_FIELDS if name in values}
    return {USER: user_key(user), **kept, **({PERSONALIZATION: OFF} if agreed == OFF else {})}


def read_event(values: Mapping[str, Any], now: float) -> Event:
    """Return the event of a row, for a file sent at `now` (seconds since the epoch). Raises `Rejected`.

    Its identity is the same as that of the same event sent by an app.
    """
    wire = wire_event(dict(values))
    if wire.type == PROGRESS or wire.type in ABOUT_NO_VIDEO:
        raise Rejected("not_in_history")
    try:
        at_ms = milliseconds(wire.timestamp)
    except ValueError:
        raise Rejected("invalid_timestamp") from None
    if looks_like_seconds(wire.timestamp, now):
        raise Rejected("timestamp_in_seconds")
    if at_ms > now * 1000:
        raise Rejected("in_future")
    if at_ms < (now - MAX_AGE_DAYS * 86_400) * 1000:
        raise Rejected("too_old")
    if wire.type == VIDEO_VIEW and wire.watchTimeMs is None:
        raise Rejected("missing_watch_time")
    return Event(
        type=wire.type,
        video_id=video_of(wire),
        at_ms=at_ms,
        identity=identity_of(wire, at_ms),
        watch_ms=wire.watchTimeMs,
        position=wire.rankPosition,
    )
