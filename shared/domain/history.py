"""Words of a tenant's history: what its rows say, and what becomes of them."""

from __future__ import annotations

JOB_KIND = "history-job"
"""What the ids of jobs over files of history begin with."""
MAX_AGE_DAYS = 90
"""Older rows are refused."""
USER, PERSONALIZATION, OFF = "user", "personalization", "off"
EVENT_FIELDS = ("type", "videoId", "timestamp", "watchTimeMs", "rankPosition", "eventId")
"""Fields of an event that history uses. A receipt proves nothing any more, and of a play the last view tells all."""
STATUSES = COUNTED, KNOWN, OVER_CAP, DAY_FULL, LEFT_OUT, REJECTED = (
    "counted", "known", "overCap", "dayFull", "leftOut", "rejected",
)  # fmt: skip
"""What becomes of a row: it counts; it was known before; it counts in signals alone, because the user has enough of the
video that day, or the tenant of that minute; the day takes no more; its user opted out or was erased; it is no event of
the past."""
ADMITTED, CAPPED = "admitted", "capped"
"""What becomes of a row on the way: it counts, or counts over a cap, unless its fold finds that it is known or its user
erased."""
