"""Consumer of the subscription `rollup`: adds events to video statistics and writes them to the archive, one write and
one blob for everything drained from a session.

A session belongs to one shard of one tenant and comes in order under a lock, so the last sequence number added, kept
in the shard's document, is all it takes to count everything once: what comes again has a number already added.

The document is written first, with the range of messages it just took in and the name of their blob; then the blob,
then the messages are settled. Whoever lost the session meanwhile fails at the document and writes no blob. After a
crash in between, the unsettled messages come again, and their blob is written again, whole, under the same name.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from events.archive import blob_name, in_time, to_lines
from events.batch import Batch, UnreadableBatch, decode
from events.counting import decide_without_ledger
from events.erasures import erasures
from events.receipt_markers import ReceiptMarkers
from events.schema import CLAMP_AHEAD_SECONDS
from events.stat_events import count_feedback, stat_events, within_peak
from events.stats_shard import MESSAGES_A_WRITE, PendingMessages, SequencedBatch, Shard
from events.usual_peak import UsualPeak
from events.video_facts import VideoFacts
from ranking.stats import StatsTable, UnreadableStats
from shared.adapters.blobs.port import ARCHIVE as ARCHIVE_BLOBS
from shared.adapters.blobs.port import Blobs, BlobsUnavailable
from shared.adapters.bus.port import (
    MAX_DELIVERIES,
    MESSAGE_TTL_SECONDS,
    ROLLUP,
    Bus,
    BusError,
    LockLost,
    ReceivedMessage,
    Receiver,
)
from shared.adapters.documents.port import (
    VIDEO_STATS,
    Create,
    DocumentStore,
    Replace,
    StoreUnavailable,
    WriteRejected,
)
from shared.adapters.flags.evaluation import ARCHIVE, Flags
from shared.adapters.retry import retry
from shared.adapters.tenant_directory import TenantDirectory
from shared.domain.clocks import elapsed_seconds
from shared.domain.keys import Identity
from shared.observability.logs import log_event
from shared.observability.metrics import Telemetry
from shared.observability.tracebacks import traceback_without_values

log = logging.getLogger("feed.events")
T = TypeVar("T")

NEXT_SESSION_SECONDS = 0.5
RECEIVE_SECONDS = 0.2
MESSAGES_A_RECEIVE = 500
RECEIVE_AT_MOST_SECONDS = 3.0
"""A session that is written to all the time never runs dry: what came by then is one write's worth."""
REST_AT_MOST_SECONDS = 5.0
LAST_CHANCE_SECONDS = MESSAGE_TTL_SECONDS / 2
SESSIONS_AT_ONCE = 4
RENEW_SECONDS = 3.0
"""Far more often than a lock of a minute asks for; shorter locks exist on one machine."""
SLICE = 20
"""Batches worked on before the event loop gets its turn."""
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 10.0
PATIENCE_SECONDS = 600.0
"""How long received messages wait for a store that went down under them, their session's lock kept."""


class _Incomplete(Exception):
    """A part of a range came again, and the rest of it did not."""


class StatsConsumer:
    """One run drains whatever waits, several sessions side by side, for about `ROLLUP_SECONDS`."""

    def __init__(
        self,
        *,
        documents: DocumentStore,
        bus: Bus,
        blobs: Blobs,
        video_facts: VideoFacts,
        tenants: TenantDirectory,
        flags: Flags,
        identity: Identity,
        telemetry: Telemetry,
        clock: Callable[[], float],
        run_seconds: float,
        usual_peak_floor: float,
        elapsed: Callable[[], float] = elapsed_seconds,
        receive_seconds: float = RECEIVE_AT_MOST_SECONDS,
        rest_seconds: float = REST_AT_MOST_SECONDS,
    ) -> None:
        self._documents = documents
        self._bus = bus
        self._blobs = blobs
        self._video_facts = video_facts
        self._tenants = tenants
        self._flags = flags
        self._identity = identity
        self._telemetry = telemetry
        self._clock = clock
        self._run_seconds = run_seconds
        self._usual_peak_floor = usual_peak_floor
        self._markers = ReceiptMarkers(documents, identity)
        self._over_peak: set[str] = set()
        """The shards that had more events in a minute than count, when they were last written."""
        self._elapsed = elapsed
        self._receive_seconds, self._rest_seconds = receive_seconds, rest_seconds

    async def run(self) -> int:
        """Drain; how many batches were added. What fails stays on the bus for the next run."""
        until = self._elapsed() + self._run_seconds
        failed: set[str | None] = set()
        added = await asyncio.gather(*(self._drain_sessions(until, failed) for _ in range(SESSIONS_AT_ONCE)))
        return sum(added)

    async def _drain_sessions(self, until: float, failed: set[str | None]) -> int:
        """Session after session; one that fails is left alone until the next run and holds up no other."""
        added = 0
        count = self._telemetry.count
        try:
            while self._elapsed() < until:
                session = await self._bus.next_session(ROLLUP, NEXT_SESSION_SECONDS)
                if session is None:
                    break
                try:
                    if session.session_id in failed:  # the one that waited longest: all others had their turn
                        break
                    added += await self._drain(session)
                except LockLost:
                    count("batches_rolled_up", "lock_lost")
                except _Incomplete:
                    failed.add(session.session_id)
                    count("batches_rolled_up", "incomplete")
                except (StoreUnavailable, BlobsUnavailable, BusError):
                    raise
                except Exception as error:
                    failed.add(session.session_id)
                    count("batches_rolled_up", "failed")
                    log.error("a session of the roll-up failed\n%s", traceback_without_values(error))
                finally:
                    await session.close()
        except StoreUnavailable:
            count("store_failures", "rollup")
        except BlobsUnavailable:
            count("store_failures", "archive")
        except BusError:
            count("bus_failures", "rollup")
        return added

    async def _drain(self, session: Receiver) -> int:
        """Receive what the session has, up to one write's worth; write; archive; settle."""
        assert session.session_id is not None
        count = self._telemetry.count
        # Look at the stores first: while one is down no message is received, so none uses up its deliveries.
        await self._blobs.ready()
        shard = await self._read_shard(session.session_id)
        keeper = asyncio.create_task(_keep_lock(session))
        try:
            pending = PendingMessages()
            await self._receive(session, pending, self._receive_seconds)
            if not pending.messages:
                return 0
            await self._complete_last_range(session, shard, pending)
            again = [each for each in pending.batches if shard.knows(each)]
            new = [each for each in pending.batches if not shard.knows(each)]
            if again:  # settled first, so that losing the session once more does not bring these again too
                last_range = shard.last_range(again)
                if last_range and len(last_range) >= shard.size_of_last and shard.blob_of_last:
                    await self._retry(lambda: self._archive(shard, last_range, shard.blob_of_last))
                await session.complete(pending.messages_of(again))
                count("batches_rolled_up", "duplicate", amount=len(again))
            if new:
                if blob := await self._retry(lambda: self._add(shard, new)):
                    await self._retry(lambda: self._archive(shard, new, blob))
                await session.complete(pending.messages_of(new))
                count("batches_rolled_up", "added", amount=len(new))
        finally:
            keeper.cancel()
        return len(new)

    async def _receive(self, session: Receiver, pending: PendingMessages, seconds: float, enough: int = 0) -> None:
        """Receive until `pending` is full, the session is empty or the time is up.

        With `enough`, an empty answer is not the end: it waits until there are so many messages.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while loop.time() < until and not (pending.full if not enough else len(pending.messages) >= enough):
            room = MESSAGES_A_WRITE - len(pending.messages)
            received = await session.receive(min(MESSAGES_A_RECEIVE, max(1, room)), RECEIVE_SECONDS)
            if not received and not enough:
                break
            batches = await self._readable(session, received)
            numbers = {each.sequence for each in batches}
            pending.batches = sorted([*pending.batches, *batches], key=lambda each: each.sequence)
            pending.messages += [message for message in received if message.sequence_number in numbers]

    async def _complete_last_range(self, session: Receiver, shard: Shard, pending: PendingMessages) -> None:
        """Make sure that the archive has the range added last, or that `pending` holds all of it.

        After a crash between the document and the blob, the whole range comes again, but not always at once. A part
        of it alone may be settled only if the blob is there (the rest was settled then). Otherwise the rest is waited
        for. Raises `_Incomplete` when it does not come: everything stays for the next run.
        """
        came = len(shard.last_range(pending.batches))
        if came in (0, shard.size_of_last) or not shard.blob_of_last or await self._is_archived(shard.blob_of_last):
            return
        await self._receive(
            session, pending, self._rest_seconds, enough=shard.size_of_last - came + len(pending.messages)
        )
        last_range = shard.last_range(pending.batches)
        if len(last_range) == shard.size_of_last:
            return
        oldest = min(message.enqueued_at for message in pending.messages)
        tries = max(message.delivery_count for message in pending.messages)
        if tries < MAX_DELIVERIES and self._clock() - oldest < LAST_CHANCE_SECONDS:
            raise _Incomplete
        # Some of them will not come any more: better archived without those than not at all.
        await self._retry(lambda: self._archive(shard, last_range, shard.blob_of_last))

    async def _is_archived(self, name: str) -> bool:
        return name in [blob.name async for blob in self._blobs.list(ARCHIVE_BLOBS, name)]

    async def _readable(self, session: Receiver, messages: Sequence[ReceivedMessage]) -> list[SequencedBatch]:
        """The messages as batches; one that cannot be read is dead-lettered with a reason."""
        readable = []
        for number, message in enumerate(messages, 1):
            if number % (5 * SLICE) == 0:
                await asyncio.sleep(0)
            try:
                readable.append(SequencedBatch(message.sequence_number, decode(message.body), message.enqueued_at))
            except UnreadableBatch as error:
                await session.dead_letter(message, "unreadable", str(error))
                self._telemetry.count("messages_set_aside", ROLLUP, "unreadable")
        return readable

    async def _retry(self, step: Callable[[], Awaitable[T]]) -> T:
        """Run a step until the store takes it: messages received wait rather than use up their deliveries."""
        return await retry(
            step,
            (StoreUnavailable, BlobsUnavailable),
            give_up_at=self._elapsed() + PATIENCE_SECONDS,
            clock=self._elapsed,
            first_pause=FIRST_PAUSE_SECONDS,
            longest_pause=LONGEST_PAUSE_SECONDS,
            failed=lambda _: self._telemetry.count("store_failures", "rollup"),
        )

    # ---- statistics

    async def _read_shard(self, session_id: str) -> Shard:
        shard = Shard(session_id, None)
        stored = await self._documents.read(VIDEO_STATS, shard.tenant_id, shard.id, latest=True)
        return replace(shard, stored=stored)

    async def _add(self, shard: Shard, new: Sequence[SequencedBatch]) -> str:
        """Add the batches to the shard's document in one write; the name of their blob, empty when there is nothing
        to archive. Raises `LockLost` when somebody else wrote the document.
        """
        batches = await self._decided(shard, await self._still_wanted(shard.tenant_id, new))
        first = new[0]
        archived = bool(batches) and self._archives(shard.tenant_id, len(batches))
        blob = (
            blob_name(shard.session_id, first.sequence, first.enqueued_at, first.batch.accepted_at) if archived else ""
        )
        facts = await self._video_facts.get(
            shard.tenant_id, {event.video_id for batch in batches for event in batch.events}
        )
        durations = {video_id: fact.duration_seconds for video_id, fact in facts.items()}
        table, until = self._read_table(shard), self._clock() + CLAMP_AHEAD_SECONDS
        table.hold_back(until)
        peak = self._usual_peak(shard, table)
        batches, over = within_peak(batches, durations, peak, self._clock())
        async for part in _in_slices(batches):
            table.add(stat_events(part, durations, until))
        body = {
            "id": shard.id,
            "kind": "stats",
            "firstSequence": new[0].sequence,
            "lastSequence": new[-1].sequence,
            "messages": len(new),
            "blob": blob,
            "enqueuedAt": max(each.enqueued_at for each in new),
            "updatedAt": self._clock(),
            "peak": peak.to_json(),
            "packed": await asyncio.to_thread(table.pack),
        }
        operation = Replace(body, shard.stored.etag) if shard.stored else Create(body)
        try:
            await self._documents.write(VIDEO_STATS, shard.tenant_id, [operation])
        except WriteRejected as refused:
            # Either somebody else owns the session by now, or this very write was applied and its answer lost.
            now = await self._read_shard(shard.session_id)
            if (now.first_of_last, now.last, now.size_of_last) != (new[0].sequence, new[-1].sequence, len(new)):
                raise LockLost("the shard was written by another owner of the session") from refused
        self._telemetry.count("rollup_writes")
        self._tell_of_peak(shard, over)
        async for part in _in_slices(batches):
            count_feedback(part, durations, self._telemetry, self._clock())
        return blob

    def _read_table(self, shard: Shard) -> StatsTable:
        if shard.stored is None:
            return StatsTable()
        try:
            return StatsTable.unpack(str(shard.stored.body.get("packed", "")))
        except UnreadableStats:
            log.error("statistics of a shard of tenant %s cannot be read and start afresh", shard.tenant_id)
            self._telemetry.count("store_failures", "unreadable_stats")
            return StatsTable()

    async def _decided(self, shard: Shard, wanted: Sequence[SequencedBatch]) -> list[Batch]:
        """The batches, each with what counts of it. The fold has decided about those of a user; those of nobody are
        decided by the receipts they quote; and what the release before this one has folded, by what came with it.
        """
        of_nobody = [each for each in wanted if each.batch.counted is None and not each.batch.consented]
        names = [f"{shard.session_id}/{each.sequence}/{int(each.enqueued_at)}" for each in of_nobody]
        named = [(name, each.batch) for name, each in zip(names, of_nobody, strict=True)]
        undecided = [each for each in wanted if each.batch.counted is None and each.batch.consented]
        counted = dict(
            zip((each.sequence for each in of_nobody), await self._markers.decide(named), strict=True)
        ) | dict(
            zip(
                (each.sequence for each in undecided),
                decide_without_ledger(each.batch for each in undecided),
                strict=True,
            )
        )
        return [replace(each.batch, counted=counted.get(each.sequence, each.batch.counted)) for each in wanted]

    def _usual_peak(self, shard: Shard, table: StatsTable) -> UsualPeak:
        tenant = self._tenants.get(shard.tenant_id)
        floor = self._usual_peak_floor / max(1, tenant.rollup_shards if tenant else 1)
        return UsualPeak.from_json(shard.stored.body.get("peak") if shard.stored else None, floor, table.busiest_day())

    def _tell_of_peak(self, shard: Shard, over: int) -> None:
        """Count what is beyond the tenant's peak; log when that begins and when it is over."""
        if over:
            self._telemetry.count("events_over_peak", shard.tenant_id, amount=over)
        if bool(over) is not (shard.session_id in self._over_peak):
            (self._over_peak.add if over else self._over_peak.discard)(shard.session_id)
            event = "statistics_over_peak" if over else "statistics_within_peak"
            log_event(
                log, logging.WARNING if over else logging.INFO, event, always=True, tenant=shard.tenant_id, count=over
            )

    async def _still_wanted(self, tenant_id: str, numbered: Sequence[SequencedBatch]) -> list[SequencedBatch]:
        """The batches without those of users who were erased after they were accepted, and of no other tenant."""
        erased = await erasures(self._documents, tenant_id)
        return [
            each
            for each in numbered
            if each.batch.tenant_id == tenant_id and each.batch.accepted_at > erased.get(each.batch.user_key, 0.0)
        ]

    # ---- archive

    def _archives(self, tenant_id: str, batches: int) -> bool:
        """Whether the archive is switched on for a tenant; batches it goes without are counted."""
        tenant = self._tenants.get(tenant_id)
        if self._flags.on(ARCHIVE, tenant_id, own=tenant.feature_flags if tenant else None):
            return True
        self._telemetry.count("batches_archived", "switched_off", amount=batches)
        return False

    async def _archive(self, shard: Shard, numbered: Sequence[SequencedBatch], name: str) -> None:
        """Write the messages as one blob. Writes it even if it is empty; its existence marks the range as archived."""
        wanted, now = await self._still_wanted(shard.tenant_id, numbered), self._clock()
        batches = [each.batch for each in wanted if in_time(each.batch, now)]
        content = await asyncio.to_thread(to_lines, batches, self._identity.archive_pseudonym)
        await self._blobs.write(ARCHIVE_BLOBS, name, content)
        self._telemetry.count("batches_archived", "written", amount=len(batches))
        if len(batches) < len(wanted):
            self._telemetry.count("batches_archived", "too_late", amount=len(wanted) - len(batches))


async def _in_slices(batches: Sequence[Batch]) -> AsyncIterator[Sequence[Batch]]:
    """A few milliseconds' worth at a time: whatever else this process serves gets its turn in between."""
    for start in range(0, len(batches), SLICE):
        yield batches[start : start + SLICE]
        await asyncio.sleep(0)


async def _keep_lock(session: Receiver) -> None:
    """Renew the session's lock until cancelled; losing it shows when the messages are settled."""
    while True:
        await asyncio.sleep(RENEW_SECONDS)
        try:
            await session.renew()
        except BusError:
            return
