"""The sample that ranking learns from: files of whole users' events, in the lines of the archive.

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
"""About a second of decoding, and as much as a night can learn from."""
MAX_HALVINGS = 20


def halvings_for(events_a_day: float) -> int:
    """How often a tenant's users are halved for a sample of at most `AIM_EVENTS_A_DAY`."""
    halvings = 0
    while halvings < MAX_HALVINGS and events_a_day > AIM_EVENTS_A_DAY * 2**halvings:
        halvings += 1
    return halvings


def in_share(pseudonym: str, halvings: int) -> bool:
    """Whether a user is in the sample of all users halved so often: then also in that of fewer halvings.

    `pseudonym`: the user of an archived line, 32 hex digits of a keyed hash.
    """
    return int(pseudonym[:8], 16) & (1 << halvings) - 1 == 0


def sampled(batches: Sequence[Batch], pseudonym: Callable[[str], str], halvings: int) -> list[Batch]:
    """The batches of the sampled users and of the tenant's holdout; nobody's, without consent, are not among them."""
    kept = []
    for batch in batches:
        if batch.user_key == NOBODY:
            continue
        user = pseudonym(batch.user_key)
        if in_share(user, halvings) or in_holdout(user, batch.tenant_id):
            kept.append(batch)
    return kept


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
