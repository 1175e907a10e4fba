"""Types of events that SDKs send, and the limits of a batch."""

from __future__ import annotations

IMPRESSION, VIDEO_VIEW, COMPLETE, SKIP = "impression", "video_view", "complete", "skip"
LIKE, UNLIKE, SHARE, SAVE, NOT_INTERESTED = "like", "unlike", "share", "save", "not_interested"
START, PROGRESS, STALL, PLAYBACK_ERROR = "start", "progress", "stall", "playback_error"
UNSAVE, FOLLOW, UNFOLLOW = "unsave", "follow", "unfollow"

EVENT_TYPES: dict[str, str] = {
    IMPRESSION: "The video was on the screen.",
    VIDEO_VIEW: "It was watched for `watchTimeMs`; one per viewing, at its end.",
    COMPLETE: "It was watched to its end; sent beside the `video_view`.",
    SKIP: "It was swiped away at once.",
    LIKE: "Liked.",
    UNLIKE: "A like taken back.",
    SHARE: "Shared.",
    SAVE: "Saved for later.",
    NOT_INTERESTED: "Asked not to be shown this video again.",
    START: "It began to play.",
    PROGRESS: "Heartbeat of a play: it has played for `positionMs` so far.",
    STALL: "It stopped playing to wait for data.",
    PLAYBACK_ERROR: "It could not be played, or could not go on.",
    UNSAVE: "A save taken back.",
    FOLLOW: "Began to follow a creator, a category or a series; about no video.",
    UNFOLLOW: "A follow taken back.",
}

TYPE_CODES: dict[str, int] = {
    IMPRESSION: 0,
    VIDEO_VIEW: 1,
    COMPLETE: 2,
    SKIP: 3,
    LIKE: 4,
    UNLIKE: 5,
    SHARE: 6,
    SAVE: 7,
    NOT_INTERESTED: 8,
    START: 9,
    PROGRESS: 10,
    STALL: 11,
    PLAYBACK_ERROR: 12,
    UNSAVE: 13,
    FOLLOW: 14,
    UNFOLLOW: 15,
}
"""Number of each type in stored formats, never reused for another type. Types that statistics count are below 16."""

TAKES_BACK = {UNLIKE: LIKE, UNSAVE: SAVE}
"""Types that undo another event of the same video → that type."""
ABOUT_NO_VIDEO = (FOLLOW, UNFOLLOW)
"""Types whose events name a subject (`shared/domain/follows.py`) in place of a video. Statistics never count them."""

OF_PLAYING = (START, PROGRESS, STALL, PLAYBACK_ERROR)
"""Types that players report automatically, without an action of the user."""

MAX_EVENTS = 100
MAX_BODY_BYTES = 256 * 1024
MAX_AGE_DAYS = 7
"""Older events are refused."""
