"""The sample that ranking learns from: files with all events of some users, in the format of the archive.

A user is in it with every event or with none, and stays for months: half the sample is a subset of the sample. The
tenant's holdout is always in it. The archive itself has too many events to be read each night.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from events.archive import KEEP_DAYS, LATEST_DAYS
from events.batch import NOBODY, Batch
from shared.domain.holdout_users import in_holdout

AIM_EVENTS_A_DAY = 200_000
"""About a second of decoding, and as much as one night can learn from."""
MAX_HALVINGS = 20


def halvings_for(events_a_day: float) -> int:
    """Return how often a tenant's users are halved for a sample of at most `AIM_EVENTS_A_DAY`."""
    halvings = 0
    while halvings < MAX_HALVINGS and events_a_day > AIM_EVENTS_A_DAY * 2**halvings:
        halvings += 1
    return halvings


def in_share(pseudonym: str, halvings: int) -> bool:
    """Tell whether a user is in the sample after this many halvings. Such a user is in it with fewer halvings too.

    `pseudonym`: the user of an archived line, 32 hex digits of a keyed hash.
    """
    return int(pseudonym[:8], 16) & (1 << halvings) - 1 == 0


def sampled(batches: Sequence[Batch], pseudonym: Callable[[str], str], halvings: int) -> list[Batch]:
    """Return the batches of the sampled users and of the tenant's holdout, without batches of users who opted out."""
    kept = []
    for batch in batches:
        if batch.user_key == NOBODY:
            continue
        user = pseudonym(batch.user_key)
        if in_share(user, halvings) or in_holdout(user, batch.tenant_id):
            kept.append(batch)
    return kept


def sample_name(archive_name: str) -> str:
    """Return the name of the sample file for an archive file: the same name, by day instead of by hour."""
    tenant_id, year, month, day, hour, part = archive_name.split("/")
    return f"{tenant_id}/{year}/{month}/{day}/{hour}-{part}"


def day_of(name: str) -> datetime | None:
    """Return the start of the day (UTC) of a sample file; None if the name is not that of a sample file."""
    try:
        _, year, month, day, _ = name.split("/")
        return datetime(int(year), int(month), int(day), tzinfo=UTC)
    except ValueError:
        return None


def is_sample_due(name: str, now: float) -> bool:
    """Tell whether a sample file must be deleted; true a day early because the check runs once a day. It uses the day
    in the file's name, since a tenant's imported history is written long after its day."""
    day = day_of(name)
    return day is not None and now - day.timestamp() > (KEEP_DAYS - 1 - LATEST_DAYS) * 86_400
