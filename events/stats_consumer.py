"""Consumer of the subscription `rollup`: adds events to video statistics and writes them to the archive, one write and
one blob for everything drained from a session.

A session belongs to one shard of one tenant and comes under a lock. The shard's document keeps the sequence numbers it
has added (`events/sequence_log.py`): what comes again is known by its number, and what comes late is not taken for it.

The document is written first, with the range of messages it just took in and the name of their blob; then the blob,
then the messages are settled. Whoever lost the session meanwhile fails at the document and writes no blob. After a
crash in between, the unsettled messages come again, and their blob is written again, whole, under the same name.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from events.added_batches import added_document, not_added_before
from events.archive import blob_name, in_time, part_name, to_lines
from events.batch import Batch, decode
from events.counting import decide_without_ledger
from events.erasures import erasures
from events.frame import NewerMessage, UnreadableBatch
from events.parked_sessions import ParkedSessions
from events.receipt_markers import ReceiptMarkers
from events.schema import CLAMP_AHEAD_SECONDS
from events.set_aside import FAILED, UNREADABLE, count_set_aside
from events.stat_events import count_feedback, stat_events, within_peak
from events.stats_shard import MESSAGES_A_WRITE, NumberedBatch, PendingMessages, SequencedMessage, Shard
from events.usual_peak import UsualPeak
from events.video_facts import VideoFacts
from ranking.stats import StatsTable, UnreadableStats
from shared.adapters.blobs.port import ARCHIVE as ARCHIVE_BLOBS
from shared.adapters.blobs.port import BlobRefused, Blobs, BlobsError, BlobsUnavailable
from shared.adapters.bus.port import (
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
    Operation,
    Replace,
    StoreError,
    StoreRefused,
    StoreUnavailable,
    Upsert,
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
LEAST_PATIENCE_SECONDS = 10.0
"""Messages that were received wait for a store until the run ends, and so long at least; then their session waits."""
FAILURES_IN_A_ROW = 3
TRIES_FOR_THE_REST = 10
"""Deliveries of a part of a range after which the rest of it is not waited for any more."""
LATE = "late"
"""Why a message is set aside that comes after so many others that nobody can tell whether it was counted."""


class _Incomplete(Exception):
    """A part of a range came again, and the rest of it did not."""


@dataclass(slots=True)
class _Run:
    """One run: until when it takes sessions (by `elapsed`), which failed or gave nothing, and which it holds."""

    until: float
    failed: set[str] = field(default_factory=set)
    began: set[str] = field(default_factory=set)
    held: list[Receiver] = field(default_factory=list)

    def received(self, session_id: str) -> bool:
        """Whether messages of a session were asked for."""
        return session_id in self.began


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
        self._parked = ParkedSessions(elapsed)

    async def run(self) -> int:
        """Drain; how many batches were added. What fails stays on the bus for a later run."""
        run = _Run(self._elapsed() + self._run_seconds)
        try:
            added = await asyncio.gather(*(self._drain_sessions(run) for _ in range(SESSIONS_AT_ONCE)))
        finally:
            for session in run.held:
                with contextlib.suppress(BusError):
                    await session.close()
            self._telemetry.gauge("rollup_sessions_parked", len(self._parked))
        return sum(added)

    async def _drain_sessions(self, run: _Run) -> int:
        """Session after session. One that fails is held, untouched, until the run ends: the bus then offers the others.

        Ends when the bus or the blobs fail as a whole, or several sessions in a row do: that is an outage of the store.
        """
        added = in_a_row = 0
        count = self._telemetry.count
        try:
            while self._elapsed() < run.until and in_a_row < FAILURES_IN_A_ROW:
                session = await self._bus.next_session(ROLLUP, NEXT_SESSION_SECONDS)
                if session is None:
                    break
                id = session.session_id or ""
                if id in run.failed or self._parked.holds(id):
                    run.held.append(session)
                    continue
                try:
                    # While blobs are down no message is received, so none uses up its deliveries.
                    await self._blobs.ready()
                    added += await self._drain(session, run)
                    in_a_row = 0
                    if id not in run.failed:
                        self._parked.release(id)
                except LockLost:
                    count("batches_rolled_up", "lock_lost")
                except BusError:
                    raise
                except BlobsUnavailable:
                    count("store_failures", "archive")
                    if not run.received(id):
                        return added
                    in_a_row += self._failed(run, id, "incomplete")
                except StoreUnavailable:
                    count("store_failures", "rollup")
                    in_a_row += self._failed(run, id, "incomplete")
                except _Incomplete:
                    self._failed(run, id, "incomplete")
                except (BlobRefused, StoreRefused) as error:  # final: its messages stay, for somebody to look at it
                    self._failed(run, id, "refused")
                    log.error("a session of the roll-up is parked: %s", type(error).__name__)
                except Exception as error:
                    self._failed(run, id, "failed")
                    log.error("a session of the roll-up failed\n%s", traceback_without_values(error))
                finally:
                    if id in run.failed:
                        run.held.append(session)
                    else:
                        await session.close()
        except BusError:
            count("bus_failures", "rollup")
        return added

    def _failed(self, run: _Run, session_id: str, outcome: str) -> int:
        """A session failed: this run does not try it again, and later ones not before its pause is over."""
        run.failed.add(session_id)
        self._parked.park(session_id)
        self._telemetry.count("batches_rolled_up", outcome)
        return 1

    async def _drain(self, session: Receiver, run: _Run) -> int:
        """Receive what the session has, up to one write's worth; write; archive; settle."""
        assert session.session_id is not None
        count = self._telemetry.count
        shard = await self._read_shard(session.session_id)
        run.began.add(session.session_id)
        keeper = asyncio.create_task(_keep_lock(session))
        give_up_at = max(run.until, self._elapsed() + LEAST_PATIENCE_SECONDS)
        try:
            pending = PendingMessages()
            await self._receive(session, pending, self._receive_seconds)
            if pending.newer:  # once a run: deliveries are counted
                run.failed.add(session.session_id)
            if not pending:  # what waits in it does not come now
                run.failed.add(session.session_id)
                return 0
            for each in shard.sorted_out(pending.batches).too_late:
                await session.dead_letter(pending.remove(each), LATE, "too late to tell whether it was counted")
                count_set_aside(self._telemetry, ROLLUP, LATE)
            await self._archive_again(session, shard, pending, give_up_at)
            messages = shard.sorted_out(pending.batches)
            new, again = messages.new, messages.again
            if again:  # settled first, so that losing the session once more does not bring these again too
                await session.complete(pending.messages_of(again))
                count("batches_rolled_up", "duplicate", amount=len(again))
            if new:
                new = await self._add_and_archive(session, shard, pending, new, give_up_at)
                await session.complete(pending.messages_of(new))
                count("batches_rolled_up", "added", amount=len(new))
        finally:
            keeper.cancel()
        return len(new)

    async def _add_and_archive(
        self,
        session: Receiver,
        shard: Shard,
        pending: PendingMessages,
        new: list[SequencedMessage],
        give_up_at: float,
    ) -> list[SequencedMessage]:
        """Add the batches and archive them; those that were. What fails alone is dead-lettered alone."""
        try:
            blob = await self._retry(lambda: self._add(shard, new), give_up_at)
        except (StoreError, BlobsError, BusError):
            raise
        except Exception as error:
            poison = [each for each in new if not all(self._works_alone(batch) for batch in each.batches)]
            if not poison:
                raise
            log.error("batches that cannot be added\n%s", traceback_without_values(error))
            for each in poison:
                await session.dead_letter(pending.remove(each), FAILED, type(error).__name__)
                count_set_aside(self._telemetry, ROLLUP, FAILED)
            new = [each for each in new if each not in poison]
            blob = await self._retry(lambda: self._add(shard, new), give_up_at) if new else ""
        if blob:
            await self._retry(lambda: self._archive(shard, new, blob, blob), give_up_at)
        return new

    def _works_alone(self, batch: Batch) -> bool:
        """Whether the work on one batch succeeds, whatever came with it. Nothing of it is kept."""
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

    async def _receive(self, session: Receiver, pending: PendingMessages, seconds: float, enough: int = 0) -> None:
        """Receive until `pending` is full, the session is empty or the time is up.

        With `enough`, an empty answer is not the end: it waits until there are so many messages.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while loop.time() < until and not (pending.full if not enough else len(pending) >= enough):
            room = MESSAGES_A_WRITE - len(pending)
            received = await session.receive(min(MESSAGES_A_RECEIVE, max(1, room)), RECEIVE_SECONDS)
            if not received and not enough:
                break
            batches = {each.sequence: each for each in await self._readable(session, received, pending)}
            for message in received:
                if message.sequence_number in batches:
                    pending.add(batches[message.sequence_number], message)

    async def _archive_again(
        self, session: Receiver, shard: Shard, pending: PendingMessages, give_up_at: float
    ) -> None:
        """Make sure that the archive has every message that comes again, before it is settled.

        After a crash between the document and the blob, the whole range comes again, but not always at once. A part
        of it alone may be settled only if the blob is there (the rest was settled then). Otherwise the rest is waited
        for. Raises `_Incomplete` when it does not come: everything stays for a later run. In the end a part is archived
        under a name of its own, so that the rest, should it come, is not taken for archived.
        """
        again = shard.sorted_out(pending.batches).again
        for written in shard.ranges() if again else ():
            came = written.of(again)
            if not came or not written.blob or await self._is_archived(written.blob):
                continue
            if len(came) < written.size:
                missing = written.size - len(came)
                await self._receive(session, pending, self._rest_seconds, enough=missing + len(pending))
                again = shard.sorted_out(pending.batches).again
                came = written.of(again)
            name = written.blob
            if len(came) < written.size:
                messages = pending.messages_of(came)
                oldest = min(message.enqueued_at for message in messages)
                tries = max(message.delivery_count for message in messages)
                if tries < TRIES_FOR_THE_REST and self._clock() - oldest < LAST_CHANCE_SECONDS:
                    raise _Incomplete
                name = part_name(name, came[0].sequence)
            await self._retry(lambda c=came, n=name, w=written.blob: self._archive(shard, c, n, w), give_up_at)  # type: ignore[misc]

    async def _is_archived(self, name: str) -> bool:
        return name in [blob.name async for blob in self._blobs.list(ARCHIVE_BLOBS, name)]

    async def _readable(
        self, session: Receiver, messages: Sequence[ReceivedMessage], pending: PendingMessages
    ) -> list[SequencedMessage]:
        """The messages as batches; one that cannot be read is dead-lettered with a reason. One that only a later
        release can read is left as it is, so that it comes again."""
        readable = []
        for number, message in enumerate(messages, 1):
            if number % (5 * SLICE) == 0:
                await asyncio.sleep(0)
            try:
                batches = decode(message.body)
            except NewerMessage:
                self._telemetry.count("bus_failures", "newer_message")
                pending.newer = True
                continue
            except UnreadableBatch as error:
                await session.dead_letter(message, UNREADABLE, str(error))
                count_set_aside(self._telemetry, ROLLUP, UNREADABLE)
                continue
            readable.append(SequencedMessage(message.sequence_number, batches, message.enqueued_at))
            if over := sum(batch.passed_over for batch in batches):
                self._telemetry.count("events_passed_over", ROLLUP, amount=over)
        return readable

    async def _retry(self, step: Callable[[], Awaitable[T]], give_up_at: float) -> T:
        """Run a step until the store takes it. After `give_up_at` the session has to wait: others have their turn."""
        return await retry(
            step,
            (StoreUnavailable, BlobsUnavailable),
            give_up_at=give_up_at,
            clock=self._elapsed,
            first_pause=FIRST_PAUSE_SECONDS,
            longest_pause=LONGEST_PAUSE_SECONDS,
            failed=lambda _: self._telemetry.count("store_failures", "rollup"),
        )

    # ---- statistics

    async def _read_shard(self, session_id: str) -> Shard:
        shard = Shard(session_id)
        return Shard.of(session_id, await self._documents.read(VIDEO_STATS, shard.tenant_id, shard.id, latest=True))

    async def _add(self, shard: Shard, new: Sequence[SequencedMessage]) -> str:
        """Add the batches to the shard's document in one write; the name of their blob, empty when there is nothing
        to archive. Raises `LockLost` when somebody else wrote the document.
        """
        first = new[0]
        name = blob_name(shard.session_id, first.sequence, first.enqueued_at, first.batches[0].accepted_at)
        wanted = await self._still_wanted(shard.tenant_id, new, name)
        batches = await self._decided(shard, wanted)
        blob = name if wanted and self._archives(shard.tenant_id, len(wanted)) else ""
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
            "lastSequence": shard.last_with(new),
            "messages": len(new),
            "blob": blob,
            "enqueuedAt": shard.known_until_with(new),
            "sequences": shard.log_with(new, blob).to_json(),
            "updatedAt": self._clock(),
            "peak": peak.to_json(),
            "packed": await asyncio.to_thread(table.pack),
        }
        operations: list[Operation] = [Replace(body, shard.stored.etag) if shard.stored else Create(body)]
        if wanted:
            operations.append(Upsert(added_document(shard.session_id, wanted, name, self._clock())))
        try:
            await self._documents.write(VIDEO_STATS, shard.tenant_id, operations)
        except WriteRejected as refused:
            # Either somebody else owns the session by now, or this very write was applied and its answer lost.
            now = await self._read_shard(shard.session_id)
            if not now.wrote(new):
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

    async def _decided(self, shard: Shard, wanted: Sequence[NumberedBatch]) -> list[Batch]:
        """The batches, each with what counts of it. The fold has decided about those of a user; those of nobody are
        decided by the receipts they quote; and what the release before this one has folded, by what came with it.
        """
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
        """Count what is beyond the tenant's peak; log when that begins and when it is over."""
        if over:
            self._telemetry.count("events_over_peak", shard.tenant_id, amount=over)
        if bool(over) is not (shard.session_id in self._over_peak):
            (self._over_peak.add if over else self._over_peak.discard)(shard.session_id)
            event = "statistics_over_peak" if over else "statistics_within_peak"
            log_event(
                log, logging.WARNING if over else logging.INFO, event, always=True, tenant=shard.tenant_id, count=over
            )

    async def _still_wanted(
        self, tenant_id: str, messages: Sequence[SequencedMessage], write: str
    ) -> list[NumberedBatch]:
        """The batches without those of users who were erased after they were accepted, those of another tenant, and
        those that another write than `write` has taken in."""
        erased = await erasures(self._documents, tenant_id)
        wanted = [
            each
            for message in messages
            for each in message.numbered()
            if each.batch.tenant_id == tenant_id and each.batch.accepted_at > erased.get(each.batch.user_key, 0.0)
        ]
        once = await not_added_before(self._documents, tenant_id, wanted, write)
        if len(once) < len(wanted):
            self._telemetry.count("batches_rolled_up", "again", amount=len(wanted) - len(once))
        return once

    # ---- archive

    def _archives(self, tenant_id: str, batches: int) -> bool:
        """Whether the archive is switched on for a tenant; batches it goes without are counted."""
        tenant = self._tenants.get(tenant_id)
        if self._flags.on(ARCHIVE, tenant_id, own=tenant.feature_flags if tenant else None):
            return True
        self._telemetry.count("batches_archived", "switched_off", amount=batches)
        return False

    async def _archive(self, shard: Shard, numbered: Sequence[SequencedMessage], name: str, write: str) -> None:
        """Write the messages as one blob. Writes it even if it is empty; its existence marks the range as archived.
        `write`: the one that took them in."""
        wanted, now = await self._still_wanted(shard.tenant_id, numbered, write), self._clock()
        batches = await self._decided(shard, [each for each in wanted if in_time(each.batch, now)])
        content = await asyncio.to_thread(to_lines, batches, self._identity.archive_pseudonym)
        try:
            await self._blobs.write(ARCHIVE_BLOBS, name, content)
        except BlobRefused:
            if await self._blobs.read(ARCHIVE_BLOBS, name) != content:  # else it is there, and a policy holds it
                raise
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
