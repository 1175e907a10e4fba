"""Constants of history imports: fields of rows, and their outcomes."""

from __future__ import annotations

JOB_KIND = "history-job"
"""Prefix of the ids of history jobs."""
MAX_AGE_DAYS = 90
"""Older rows are refused."""
USER, PERSONALIZATION, OFF = "user", "personalization", "off"
EVENT_FIELDS = ("type", "videoId", "timestamp", "watchTimeMs", "rankPosition", "eventId")
"""Fields of an event that history uses. Receipts have expired, and the last view of a play has its whole watch time."""
STATUSES = COUNTED, KNOWN, OVER_CAP, DAY_FULL, LEFT_OUT, REJECTED = (
    "counted", "known", "overCap", "dayFull", "leftOut", "rejected",
)  # fmt: skip
"""Outcomes of a row: it counts; it was known before; it counts only in signals, above a cap (events of a user, video
and day, or of the tenant's minute); the day takes no more rows; its user opted out or was erased; it is invalid."""
ADMITTED, CAPPED = "admitted", "capped"
"""Interim outcomes of a row before its fold: it counts, or is above a cap. The fold can still find that the row is
known or its user erased."""
