"""Writes the drained messages of a session: the shard's document with the statistics, then the sample, then the archive
blob.

The document lists the messages that it has added and the blob they are archived in. A process that lost the session
meanwhile fails at the document and writes no blob.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace

from events.added_batches import added_document, name_of, not_added_before
from events.archive import blob_name, in_time, to_lines
from events.batch import Batch
from events.counting import decide_without_ledger
from events.daily_statistics import (
    DAYS_BYTES,
    Additions,
    body_of,
    day_id,
    packed_within,
    table_of,
)
from events.erasures import erasures
from events.receipt_markers import ReceiptMarkers
from events.sample import sample_name, sampled
from events.sample_share import SampleShares
from events.schema import CLAMP_AHEAD_SECONDS
from events.stat_events import count_feedback, stat_events, within_peak
from events.stats_shard import NumberedBatch, SequencedMessage, Shard
from events.usual_peak import UsualPeak
from events.video_facts import VideoFacts
from ranking.daily_table import DayTable, UnreadableDay
from ranking.stats import StatsTable, UnreadableStats
from shared.adapters.blobs.port import ARCHIVE as ARCHIVE_BLOBS
from shared.adapters.blobs.port import SAMPLES, BlobRefused, Blobs
from shared.adapters.bus.port import LockLost
from shared.adapters.documents.port import (
    VIDEO_STATS,
    Create,
    Document,
    DocumentStore,
    Operation,
    Replace,
    Upsert,
    WriteRejected,
)
from shared.adapters.flags.evaluation import ARCHIVE, Flags
from shared.adapters.tenant_directory import TenantDirectory
from shared.domain.keys import Identity
from shared.observability.logs import log_event
from shared.observability.metrics import Telemetry

log = logging.getLogger("feed.events")

SLICE = 20
"""Batches processed before the event loop continues."""


@dataclass(frozen=True, slots=True)
class Added:
    """Result of one write: the batches with the decision which events count, and the name of their blob (empty if
    nothing is archived)."""

    blob: str
    batches: Sequence[Batch]


class ShardWriter:
    """Writes the shards of all tenants."""

    def __init__(
        self,
        *,
        documents: DocumentStore,
        blobs: Blobs,
        video_facts: VideoFacts,
        tenants: TenantDirectory,
        flags: Flags,
        identity: Identity,
        telemetry: Telemetry,
        clock: Callable[[], float],
        usual_peak_floor: float,
    ) -> None:
        self._documents = documents
        self._blobs = blobs
        self._video_facts = video_facts
        self._tenants = tenants
        self._flags = flags
        self._identity = identity
        self._telemetry = telemetry
        self._clock = clock
        self._usual_peak_floor = usual_peak_floor
        self._markers = ReceiptMarkers(documents, identity)
        self._shares = SampleShares(documents)
        self._over_peak: set[str] = set()
        """Shards that had more events per minute than count at their last write."""

    async def read(self, session_id: str) -> Shard:
        shard = Shard(session_id)
        return Shard.of(session_id, await self._documents.read(VIDEO_STATS, shard.tenant_id, shard.id, latest=True))

    async def add(self, shard: Shard, new: Sequence[SequencedMessage]) -> Added:
        """Add the batches to the shard's document in one write. Raises `LockLost` when another process wrote it."""
        first = new[0]
        name = blob_name(shard.session_id, first.sequence, first.enqueued_at, first.batches[0].accepted_at)
        wanted, repeated = await self._still_wanted(shard, new, name)
        if repeated:
            self._telemetry.count("batches_rolled_up", "again", amount=repeated)
        decided = await self._decided(shard, wanted)
        blob = name if wanted and self._archives(shard.tenant_id, len(wanted)) else ""
        facts = await self._video_facts.get(
            shard.tenant_id, {event.video_id for batch in decided for event in batch.events}
        )
        durations = {video_id: fact.duration_seconds for video_id, fact in facts.items()}
        table, until = self._read_table(shard), self._clock() + CLAMP_AHEAD_SECONDS
        table.hold_back(until)
        peak = self._usual_peak(shard, table)
        batches, over = within_peak(decided, durations, peak, self._clock())
        overtaken = shard.overtaken.with_names(
            [name_of(each.batch) for each in wanted if each.batch.again], self._clock()
        )
        daily = Additions(self._clock())
        async for part in _in_slices(batches):
            counted = stat_events(part, durations, until)
            table.add(counted)
            daily.add(counted)
        body = {
            "id": shard.id,
            "kind": "stats",
            "firstSequence": new[0].sequence,
            "lastSequence": shard.last_with(new),
            "messages": len(new),
            "blob": blob,
            "enqueuedAt": shard.known_until_with(new),
            "sequences": shard.log_with(new, blob).to_json(),
            "updatedAt": self._clock(),
            "peak": peak.to_json(),
            "packed": await asyncio.to_thread(table.pack),
        } | ({"overtaken": overtaken.to_json()} if len(overtaken) else {})
        operations: list[Operation] = [Replace(body, shard.stored.etag) if shard.stored else Create(body)]
        if wanted:
            operations.append(Upsert(added_document(shard.session_id, wanted, name, self._clock())))
        operations += await self._with_days(shard, daily)
        try:
            await self._documents.write(VIDEO_STATS, shard.tenant_id, operations)
        except WriteRejected as refused:
            # Either another process owns the session by now, or this write was applied and its response was lost.
            now = await self.read(shard.session_id)
            if not now.wrote(new):
                raise LockLost("the shard was written by another owner of the session") from refused
        self._telemetry.count("rollup_writes")
        self._tell_of_peak(shard, over)
        async for part in _in_slices(batches):
            count_feedback(part, durations, self._telemetry, self._clock())
        return Added(blob, decided)

    async def _with_days(self, shard: Shard, additions: Additions) -> list[Operation]:
        """Return the writes that add to the documents of days, at most `DAYS_BYTES` together. An unreadable document
        starts again; one of a later release stays as it is."""
        tables: dict[str, DayTable] = {}
        stored: dict[str, Document | None] = {}
        for day, added in additions.days.items():
            id = day_id(day, shard.session_id)
            stored[day] = await self._documents.read(VIDEO_STATS, shard.tenant_id, id, latest=True)
            try:
                tables[day] = table_of(stored[day])
            except UnreadableDay as error:
                log.error("a day of a shard of tenant %s cannot be read", shard.tenant_id)
                self._telemetry.count("store_failures", "unreadable_stats")
                if error.newer:
                    continue
                tables[day] = DayTable()
            tables[day].merge(added)
        packed = await asyncio.to_thread(packed_within, tables, DAYS_BYTES)
        bodies = {day: body_of(day, shard.session_id, columns) for day, columns in packed.items()}
        return [Replace(body, old.etag) if (old := stored[day]) else Create(body) for day, body in bodies.items()]

    def _read_table(self, shard: Shard) -> StatsTable:
        if shard.stored is None:
            return StatsTable()
        try:
            return StatsTable.unpack(str(shard.stored.body.get("packed", "")))
        except UnreadableStats:
            log.error("statistics of a shard of tenant %s cannot be read and start afresh", shard.tenant_id)
            self._telemetry.count("store_failures", "unreadable_stats")
            return StatsTable()

    async def _decided(self, shard: Shard, wanted: Sequence[NumberedBatch]) -> list[Batch]:
        """Return the batches with the decision which events count. Batches of users carry the fold's decision. Batches
        of users who opted out are decided by the receipts they quote. Undecided batches of the previous release are
        decided among themselves."""
        counted: dict[str, tuple[bool, ...] | None] = {each.name: each.batch.counted for each in wanted}
        of_nobody = [each for each in wanted if each.batch.counted is None and not each.batch.consented]
        undecided = [each for each in wanted if each.batch.counted is None and each.batch.consented]
        decisions = await self._markers.decide([(f"{shard.session_id}/{each.name}", each.batch) for each in of_nobody])
        counted.update((each.name, flags) for each, flags in zip(of_nobody, decisions, strict=True))
        without_ledger = decide_without_ledger(each.batch for each in undecided)
        counted.update((each.name, flags) for each, flags in zip(undecided, without_ledger, strict=True))
        return [replace(each.batch, counted=counted[each.name]) for each in wanted]

    def _usual_peak(self, shard: Shard, table: StatsTable) -> UsualPeak:
        tenant = self._tenants.get(shard.tenant_id)
        floor = self._usual_peak_floor / max(1, tenant.rollup_shards if tenant else 1)
        return UsualPeak.from_json(shard.stored.body.get("peak") if shard.stored else None, floor, table.busiest_day())

    def _tell_of_peak(self, shard: Shard, over: int) -> None:
        """Count events beyond the tenant's peak. Log when they begin and when they end."""
        if over:
            self._telemetry.count("events_over_peak", shard.tenant_id, amount=over)
        if bool(over) is not (shard.session_id in self._over_peak):
            (self._over_peak.add if over else self._over_peak.discard)(shard.session_id)
            event = "statistics_over_peak" if over else "statistics_within_peak"
            log_event(
                log, logging.WARNING if over else logging.INFO, event, always=True, tenant=shard.tenant_id, count=over
            )

    async def _still_wanted(
        self, shard: Shard, messages: Sequence[SequencedMessage], write: str
    ) -> tuple[list[NumberedBatch], int]:
        """Return the batches to add, and how many were added by another write than `write`. Left out are those batches,
        batches of users and tenants removed after acceptance, and batches of other tenants."""
        tenant_id = shard.tenant_id
        erased = await erasures(self._documents, tenant_id)
        wanted = [
            each
            for message in messages
            for each in message.numbered()
            if each.batch.tenant_id == tenant_id
            and each.batch.accepted_at > erased.get(each.batch.user_key, 0.0)
            and not self._tenants.drops(tenant_id, each.batch.accepted_at)
        ]
        kept = await not_added_before(self._documents, tenant_id, wanted, write, shard.overtaken.names())
        return kept, len(wanted) - len(kept)

    def works_alone(self, batch: Batch) -> bool:
        """Tell whether one batch can be processed by itself. The result is discarded."""
        try:
            durations = {event.video_id: 30.0 for event in batch.events}
            table = StatsTable()
            counted = [replace(batch, counted=(True,) * len(batch.events))]
            table.add(stat_events(counted, durations, self._clock()))
            count_feedback(counted, durations, Telemetry(), self._clock())
            to_lines([batch], self._identity.archive_pseudonym)
        except Exception:
            return False
        return True

    # ---- archive

    def _archives(self, tenant_id: str, batches: int) -> bool:
        """Tell whether the archive is switched on for a tenant. Counts batches that are not archived."""
        tenant = self._tenants.get(tenant_id)
        if self._flags.on(ARCHIVE, tenant_id, own=tenant.feature_flags if tenant else None):
            return True
        self._telemetry.count("batches_archived", "switched_off", amount=batches)
        return False

    async def archive(self, shard: Shard, numbered: Sequence[SequencedMessage], name: str, write: str) -> None:
        """Archive messages that were delivered again as one blob. `write`: the write that added them."""
        wanted, _ = await self._still_wanted(shard, numbered, write)
        whole = name != write and await self._blobs.read(SAMPLES, sample_name(write)) is not None
        await self.write_blob(shard, name, await self._decided(shard, wanted), sample=not whole)

    async def write_blob(self, shard: Shard, name: str, decided: Sequence[Batch], sample: bool = True) -> None:
        """Archive batches, their sample first. Writes the blob even if it is empty; its existence marks the range as
        archived, and its sample as written. `sample`: whether to write the sample too."""
        now = self._clock()
        batches = [batch for batch in decided if in_time(batch, now)]
        if sample:
            await self._write_sample(shard, sample_name(name), batches)
        content = await asyncio.to_thread(to_lines, batches, self._identity.archive_pseudonym)
        await self._write_once(ARCHIVE_BLOBS, name, content)
        self._telemetry.count("batches_archived", "written", amount=len(batches))
        if len(batches) < len(decided):
            self._telemetry.count("batches_archived", "too_late", amount=len(decided) - len(batches))

    async def _write_sample(self, shard: Shard, name: str, batches: Sequence[Batch]) -> None:
        """Write the batches of sampled users. If there are none, delete a file of an earlier attempt."""
        halvings = await self._shares.halvings(shard.tenant_id, lambda: self._events_a_day(shard))
        chosen = sampled(batches, self._identity.archive_pseudonym, halvings)
        if not chosen:
            await self._blobs.delete(SAMPLES, name)
            return
        content = await asyncio.to_thread(to_lines, chosen, self._identity.archive_pseudonym)
        await self._write_once(SAMPLES, name, content)
        self._telemetry.count("events_sampled", amount=sum(len(batch.events) for batch in chosen))

    def _events_a_day(self, shard: Shard) -> float:
        """Return the events of the whole tenant on a busy day, estimated from this shard: batches spread evenly over
        the shards."""
        tenant = self._tenants.get(shard.tenant_id)
        packed = shard.stored.body.get("packed") if shard.stored else None
        with contextlib.suppress(UnreadableStats):
            busiest = StatsTable.unpack(packed).busiest_day() if isinstance(packed, str) else 0.0
            return busiest * max(1, tenant.rollup_shards if tenant else 1)
        return 0.0

    async def _write_once(self, container: str, name: str, content: bytes) -> None:
        try:
            await self._blobs.write(container, name, content)
        except BlobRefused:
            if await self._blobs.read(container, name) != content:  # else it exists, and a retention policy protects it
                raise


async def _in_slices(batches: Sequence[Batch]) -> AsyncIterator[Sequence[Batch]]:
    """Yield a few milliseconds' worth of batches at a time, so that the process can serve other work in between."""
    for start in range(0, len(batches), SLICE):
        yield batches[start : start + SLICE]
        await asyncio.sleep(0)
