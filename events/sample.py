"""The sample that ranking learns from: files of whole users' events, in the lines of the archive.

The archive itself has too many events to be read each night.
"""

from __future__ import annotations

from datetime import UTC, datetime

from events.archive import KEEP_DAYS, LATEST_DAYS


def sample_name(archive_name: str) -> str:
    """Where the sample of an archive's file lies: the same name, by day instead of by hour."""
    tenant_id, year, month, day, hour, part = archive_name.split("/")
    return f"{tenant_id}/{year}/{month}/{day}/{hour}-{part}"


def day_of(name: str) -> datetime | None:
    """The beginning of the day (UTC) that a file of the sample is of; None for a name that is not one of ours."""
    try:
        _, year, month, day, _ = name.split("/")
        return datetime(int(year), int(month), int(day), tzinfo=UTC)
    except ValueError:
        return None


def is_sample_due(name: str, now: float) -> bool:
    """Whether a file of the sample must be deleted: a day early, as this is asked once a day. By the day in its name: a
    tenant's records of former times are written late."""
    day = day_of(name)
    return day is not None and now - day.timestamp() > (KEEP_DAYS - 1 - LATEST_DAYS) * 86_400
