"""Imports a tenant's history: finds the rows that are already known, folds the others into signals, writes the sample.

A job has three steps. Each can continue after a crash:

1. Search the archive and earlier history files for the days of the rows. Rows found there are known.
2. Fold the rows, user by user. The marker beside a user's signals records that it was done (`events/history_folds.py`).
3. Write the sample's parts of each day, under names derived from the job (`events/history_parts.py`).

Nothing is published to the bus: statistics, demand, experiments and the archive never see these rows.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from events.history_admission import Found, HistoryRow, Wanted, admit, look_into
from events.history_folds import MARKER_PREFIX, HistoryFolds, HistoryPart
from events.history_parts import HistoryFile, HistoryParts, day_prefix, is_of_job, parts_of
from events.history_rows import ROW_REJECTIONS, kept_values, read_event
from events.history_state import HistoryState
from events.schema import MAX_AGE_SECONDS, Rejected
from events.signals_writer import Owner, SignalsWriter
from events.usual_peak import TIMES_USUAL
from events.video_facts import VideoFacts
from shared.adapters.blobs.port import ARCHIVE, SAMPLES, UPLOADS, Blobs
from shared.adapters.documents.port import DocumentStore, Json, StoreUnavailable
from shared.adapters.tenant_directory import TenantDirectory
from shared.domain.clocks import elapsed_seconds
from shared.domain.history import ADMITTED, CAPPED, COUNTED, LEFT_OUT, OFF, OVER_CAP, PERSONALIZATION, REJECTED, USER
from shared.domain.keys import Identity
from shared.observability.metrics import Telemetry

log = logging.getLogger("feed.events")

ROWS_OF_FOLD = 500
"""Rows of one user that are folded at once."""
FOLDS_AT_ONCE = 8
READS_AT_ONCE = 16
SAVE_SECONDS = 3.0
"""How often progress is saved and the worker's lease is renewed. A crash costs at most this much work."""
PAUSE_SECONDS = 0.04
"""Pause between groups of folds: at most 200 folds a second, so live events and viewers come first."""
_MS_PER_DAY = 86_400_000

Refusal = tuple[int, str, str]
"""A row's number, the code it is refused with, and the message."""
Report = Callable[[int, Mapping[str, int], Sequence[Refusal]], Awaitable[None]]
"""Called with the number of decided rows, the number by outcome, and the refused rows. Raises when another worker has
taken over the job."""


@dataclass(slots=True)
class _Job:
    """A file that is being processed."""

    file: HistoryFile
    rows: list[HistoryRow]
    left_out: list[int]
    refused: list[Refusal]
    refused_places: list[int]
    state: HistoryState
    report: Report
    until: float
    saved_at: float = field(default_factory=elapsed_seconds)


class HistoryTaker:
    """Imports history files. `clock` gives seconds since the epoch. A tenant can have `TIMES_USUAL` ·
    `usual_peak_floor` rows per minute that count."""

    def __init__(
        self,
        *,
        documents: DocumentStore,
        blobs: Blobs,
        writer: SignalsWriter,
        video_facts: VideoFacts,
        tenants: TenantDirectory,
        identity: Identity,
        telemetry: Telemetry,
        clock: Callable[[], float],
        usual_peak_floor: float,
        clock_trusted: Callable[[], bool] = lambda: True,
    ) -> None:
        self._blobs = blobs
        self._tenants = tenants
        self._identity = identity
        self._telemetry = telemetry
        self._clock = clock
        self._clock_trusted = clock_trusted
        self._most_in_minute = int(TIMES_USUAL * usual_peak_floor)
        self._folds = HistoryFolds(writer, video_facts, tenants, clock)
        self._parts = HistoryParts(documents, blobs, identity, clock)

    def kept(self, tenant_id: str, values: Json) -> Json | tuple[str, str]:
        """Return the row to store until it is processed, or the code and message it is refused with."""
        try:
            return kept_values(values, lambda user: self._identity.user_key(tenant_id, user))
        except Rejected as refusal:
            return refusal.code, ROW_REJECTIONS[refusal.code]

    async def go_on(
        self,
        file: tuple[str, str, float],
        rows: Iterable[tuple[int, Json | None]],
        count: int,
        report: Report,
        until: float,
    ) -> bool:
        """Continue with a file until `until` (by `elapsed_seconds`); return whether it is done.

        `file`: its tenant, its job, and when it was sent, in seconds since the epoch. `rows`: each row's number and the
        result of `kept`, None if it was refused then. `count`: the number of rows. Raises `StoreUnavailable` or
        `BlobsError`, and what `report` raises; a later call continues.
        """
        if not self._clock_trusted():
            raise StoreUnavailable("the clock of this instance is wrong")
        named = HistoryFile(*file)
        stored = await self._blobs.read(UPLOADS, _state_name(named))
        state = HistoryState.from_bytes(stored, count)
        read = await asyncio.to_thread(_read_rows, rows, named.sent_at)
        job = _Job(named, *read, state, report, until)
        done = await self._look(job) and await self._fold(job) and await self._write(job)
        await self._save(job)
        if done:
            for status, number in state.counts().items():
                self._telemetry.count("history_rows", named.tenant_id, status, amount=number)
            await self._blobs.delete(UPLOADS, _state_name(named))
        return done

    async def _save(self, job: _Job) -> None:
        """Store the state, then report it. A worker that lost the job to another one stops here."""
        await self._blobs.write(UPLOADS, _state_name(job.file), await asyncio.to_thread(job.state.to_bytes))
        counts = job.state.counts()
        await job.report(sum(counts.values()), counts, job.refused)
        job.saved_at = elapsed_seconds()

    async def _may_go_on(self, job: _Job) -> bool:
        """Save if it is time; return whether there is time for more."""
        now = elapsed_seconds()
        if now - job.saved_at >= SAVE_SECONDS:
            await self._save(job)
        return now < job.until

    # ---- known rows

    async def _look(self, job: _Job) -> bool:
        """Find the known rows and decide about all others; return whether that is done."""
        state, found = job.state, job.state.found
        if found is None:
            return True
        wanted = await asyncio.to_thread(Wanted.of, job.rows, self._identity.archive_pseudonym)
        folders = self._folders(job)
        while state.looked_into < len(folders):
            container, prefix = folders[state.looked_into]
            names = await self._files_after(container, prefix, state.last_file, job)
            for start in range(0, len(names), READS_AT_ONCE):
                now = names[start : start + READS_AT_ONCE]
                contents = await asyncio.gather(*(self._blobs.read(container, name) for name in now))
                for content in contents:
                    if content is not None:
                        await self._look_into(content, wanted, found, history=container == SAMPLES)
                state.last_file = now[-1]
                if not await self._may_go_on(job):
                    return False
            state.looked_into, state.last_file = state.looked_into + 1, ""
        decided = await asyncio.to_thread(admit, job.rows, wanted, found, self._most_in_minute)
        state.decide([row.place for row in job.rows], decided)
        state.decide(job.left_out, [LEFT_OUT] * len(job.left_out))
        state.decide(job.refused_places, [REJECTED] * len(job.refused_places))
        state.found = None
        await self._save(job)
        return True

    async def _look_into(self, content: bytes, wanted: Wanted, found: Found, *, history: bool) -> None:
        try:
            await asyncio.to_thread(look_into, content, wanted, found, history=history)
        except (ValueError, OSError, EOFError, KeyError, TypeError):
            log.error("an archived file cannot be read, so it is not known what of a history it has")
            self._telemetry.count("store_failures", "unreadable_archive")

    def _folders(self, job: _Job) -> list[tuple[str, str]]:
        """Return the folders that can have events of the rows' days: archive folders up to eight days later, history
        folders of the day itself."""
        if not job.rows:
            return []
        days = {row.event.at_ms // _MS_PER_DAY for row in job.rows}
        today, late = int(self._clock() // 86_400), int(MAX_AGE_SECONDS // 86_400) + 1
        accepted = sorted({day + later for day in days for later in range(late + 1) if day + later <= today})
        archived = [(ARCHIVE, day_prefix(job.file.tenant_id, day).rpartition("/")[0] + "/") for day in accepted]
        return archived + [(SAMPLES, day_prefix(job.file.tenant_id, day)) for day in sorted(days)]

    async def _files_after(self, container: str, prefix: str, last: str, job: _Job) -> list[str]:
        """Return the files of a folder after `last`, without this job's own."""
        return [
            blob.name
            async for blob in self._blobs.list(container, prefix)
            if blob.name > last and not (container == SAMPLES and is_of_job(blob.name, job.file.job_id))
        ]

    # ---- signals

    async def _fold(self, job: _Job) -> bool:
        """Fold the rows that count so far, several users at a time; return whether all are folded."""
        parts = await asyncio.to_thread(lambda: list(_user_parts(job)))
        while job.state.folded < len(parts):
            if self._tenants.drops(job.file.tenant_id, job.file.sent_at) or not await self._may_go_on(job):
                return False
            now = parts[job.state.folded : job.state.folded + FOLDS_AT_ONCE]
            statuses = await asyncio.gather(*(self._folds.fold(part) for part, _ in now))
            for (_, places), found in zip(now, statuses, strict=True):
                capped = [job.state.status(place) == CAPPED for place in places]
                final = [
                    OVER_CAP if over and each == COUNTED else each for each, over in zip(found, capped, strict=True)
                ]
                job.state.decide(places, final)
            job.state.folded += len(now)
            await asyncio.sleep(PAUSE_SECONDS)
        return True

    # ---- the sample

    async def _write(self, job: _Job) -> bool:
        """Write the parts of the sample; return whether all are written."""
        statuses = {row.place: job.state.status(row.place) for row in job.rows}
        taken = [row for row in job.rows if statuses[row.place] in (COUNTED, OVER_CAP)]
        parts = await asyncio.to_thread(lambda: list(parts_of(job.file, taken)))
        while job.state.written < len(parts):
            if self._tenants.drops(job.file.tenant_id, job.file.sent_at) or not await self._may_go_on(job):
                return False
            name, rows = parts[job.state.written]
            await self._parts.write(job.file, name, [(row, statuses[row.place] == COUNTED) for row in rows])
            job.state.written += 1
        return True


def _state_name(file: HistoryFile) -> str:
    return f"{file.tenant_id}/{file.job_id}.state"


def _read_rows(
    rows: Iterable[tuple[int, Json | None]], sent_at: float
) -> tuple[list[HistoryRow], list[int], list[Refusal], list[int]]:
    """Return the rows that can count, the indexes of rows whose users opted out, the refusals, and the indexes of
    refused rows."""
    found: list[HistoryRow] = []
    left_out: list[int] = []
    refused: list[Refusal] = []
    places: list[int] = []
    names: dict[str, str] = {}
    for place, (number, values) in enumerate(rows):
        if values is None:
            places.append(place)
            continue
        try:
            event = read_event(values, sent_at)
        except Rejected as refusal:
            refused.append((number, refusal.code, ROW_REJECTIONS[refusal.code]))
            places.append(place)
            continue
        if values.get(PERSONALIZATION) == OFF:
            left_out.append(place)
        else:
            event.type, event.video_id = (names.setdefault(each, each) for each in (event.type, event.video_id))
            found.append(HistoryRow(place, number, names.setdefault(values[USER], values[USER]), event))
    return found, left_out, refused, places


def _user_parts(job: _Job) -> Iterator[tuple[HistoryPart, list[int]]]:
    """Yield all rows in parts of one user, with the indexes of their rows. The parts are the same in every run of the
    job, whatever was decided since."""
    by_user: dict[str, list[HistoryRow]] = {}
    for row in job.rows:
        by_user.setdefault(row.user_key, []).append(row)
    for user_key, of_user in by_user.items():
        owner = Owner(job.file.tenant_id, user_key)
        for start in range(0, len(of_user), ROWS_OF_FOLD):
            rows = of_user[start : start + ROWS_OF_FOLD]
            id = f"{MARKER_PREFIX}{job.file.job_id}:{rows[0].number}"
            events = [row.event if job.state.status(row.place) in (ADMITTED, CAPPED) else None for row in rows]
            yield HistoryPart(id, owner, job.file.sent_at, events), [row.place for row in rows]
