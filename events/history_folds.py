"""Folds a user's part of a tenant's history into their signals exactly once, like the app's events.

The marker is named after the job and the part's first row, and is created in one atomic batch with the signals. It
records which rows counted. So a job that runs again, after a crash or in another worker, gets the same result.

History does not enter the ring of accepted events: a thousand rows would push out the identities that recognize an
app's repeated events. The ring is only read, to find events that were accepted and are not archived yet. Nor does
history change what statistics have counted of receipts and of the day.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from events.counting import flags_of, mask_of
from events.fold import fold
from events.schema import Event
from events.signals_writer import Crossed, Owner, SignalsWriter
from events.video_facts import VideoFacts
from shared.adapters.documents.port import DAY_SECONDS, Json, StoreUnavailable
from shared.adapters.retry import retry
from shared.adapters.tenant_directory import TenantDirectory
from shared.domain.history import COUNTED, KNOWN, LEFT_OUT
from shared.domain.records import DEFAULT_HALF_LIFE_DAYS

MARKER_PREFIX = "history:"
MARKER_TTL_SECONDS = 90 * DAY_SECONDS
"""Longer than a job can run, and as long as what it wrote can live: a data export mentions it."""
ATTEMPTS = 20
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.05, 1.0


@dataclass(frozen=True, slots=True)
class HistoryPart:
    """Some rows of one user. `id` is the same in every run; `sent_at` is when the file was sent, in seconds since the
    epoch. `events` has None for a row that does not count, so indexes stay the same whatever rows turn out to be
    known."""

    id: str
    owner: Owner
    sent_at: float
    events: Sequence[Event | None]


class HistoryFolds:
    """Folds parts of history. `clock` gives seconds since the epoch."""

    def __init__(
        self, writer: SignalsWriter, video_facts: VideoFacts, tenants: TenantDirectory, clock: Callable[[], float]
    ) -> None:
        self._writer = writer
        self._video_facts = video_facts
        self._tenants = tenants
        self._clock = clock

    async def fold(self, part: HistoryPart) -> list[str | None]:
        """Fold the events and return the outcome of each: `COUNTED`, `KNOWN` or `LEFT_OUT`, and None for a row that
        does not count. A second call gives the same result, except for users erased meanwhile. Raises
        `StoreUnavailable`."""
        if not any(part.events):
            return [None] * len(part.events)
        try:
            return await retry(
                lambda: self._fold_once(part),
                (Crossed,),
                attempts=ATTEMPTS,
                first_pause=FIRST_PAUSE_SECONDS,
                longest_pause=LONGEST_PAUSE_SECONDS,
            )
        except Crossed as crossed:
            raise StoreUnavailable("the user's signals cannot be written: others are first each time") from crossed

    async def _fold_once(self, part: HistoryPart) -> list[str | None]:
        writer, owner, events = self._writer, part.owner, part.events
        stored = await writer.read(owner.user_key)
        kept = [event is not None and _may_count(event, part.sent_at, stored.erased_at) for event in events]
        if not any(kept) or self._tenants.drops(owner.tenant_id, part.sent_at):
            return [None if event is None else LEFT_OUT for event in events]
        now = self._clock()
        old = writer.signals(stored, now)
        accepted = set(old.identities.keys.tolist()) if old else set()
        fresh = {
            at: event
            for at, (event, keep) in enumerate(zip(events, kept, strict=True))
            if event is not None and keep and event.identity not in accepted
        }
        facts = await self._video_facts.get(owner.tenant_id, {event.video_id for event in fresh.values()})
        tenant = self._tenants.get(owner.tenant_id)
        half_life = tenant.affinity_half_life_days if tenant else DEFAULT_HALF_LIFE_DAYS
        new = fold(old, (), facts, half_life, now, part.sent_at, list(fresh.values()))
        marker = _marker(part, [at in fresh for at in range(len(events))], kept)
        before = await writer.write(owner, stored, new, marker)
        return list(_statuses(before or marker, events))


def _may_count(event: Event, sent_at: float, erased_at: float | None) -> bool:
    """Tell whether an event can count. If its user was erased, what happened or was sent until then must be
    forgotten."""
    return erased_at is None or (sent_at > erased_at and event.at_ms > erased_at * 1000)


def _marker(part: HistoryPart, counted: Sequence[bool], kept: Sequence[bool]) -> Json:
    """Return the marker. `counted`: which rows count; `kept`: those not affected by an erasure. Stored as hexadecimal
    numbers."""
    return {
        "id": part.id,
        "kind": "history",
        "acceptedAt": part.sent_at,
        "rows": sum(counted),
        "counted": mask_of(counted),
        "kept": mask_of(kept),
        "ttl": MARKER_TTL_SECONDS,
    }


def _statuses(marker: Json, events: Sequence[Event | None]) -> Iterator[str | None]:
    counted, kept = flags_of(marker["counted"], len(events)), flags_of(marker["kept"], len(events))
    for event, counts, keep in zip(events, counted, kept, strict=True):
        yield COUNTED if counts else None if event is None else KNOWN if keep else LEFT_OUT
