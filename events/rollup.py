"""The roll-up: drains the sessions of the subscription `rollup` into video statistics, one write per drained batch,
and into the archive, one blob per drained batch.

A session belongs to one shard of one tenant and comes in order under a lock, so the last sequence number added, kept
in the shard's document, is all it takes to count everything once: what comes again has a number already added.

The document is written first, with the range of messages it just took in; then the blob, then the messages are
settled. Whoever lost the session meanwhile fails at the document and writes no blob. After a crash in between, the
unsettled messages come again, and their blob is written again under the same name.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from events.archive import blob_name, to_lines
from events.batch import SHARD_MARK, Batch, UnreadableBatch, decode
from ranking.stats import StatEvent, StatsTable, UnreadableStats
from shared.blobs.port import ARCHIVE as ARCHIVE_BLOBS
from shared.blobs.port import BlobsUnavailable
from shared.bus.port import LOCK_SECONDS, ROLLUP, BusError, LockLost, ReceivedMessage, Receiver
from shared.erasures import erasures
from shared.flags.evaluation import ARCHIVE
from shared.services import Services
from shared.stores.documents import VIDEO_STATS, Create, Document, Replace, StoreUnavailable, WriteRejected

log = logging.getLogger("feed.events")

NEXT_SESSION_SECONDS = 0.5
RECEIVE_SECONDS = 0.2
MESSAGES_A_RECEIVE = 500
MESSAGES_A_WRITE = 4_000
SESSIONS_AT_ONCE = 4
RENEW_SECONDS = LOCK_SECONDS / 4
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 10.0
PATIENCE_SECONDS = 600.0
"""How long messages in hand wait for a store that went down under them, their session's lock kept."""


@dataclass(frozen=True, slots=True)
class _Shard:
    """A shard's document as it is stored, None before its first write."""

    session_id: str
    stored: Document | None

    @property
    def tenant_id(self) -> str:
        return self.session_id.partition(SHARD_MARK)[0]

    @property
    def id(self) -> str:
        return f"stats:{self.session_id}"

    @property
    def last(self) -> int:
        """The last sequence number added."""
        return int(self.stored.body.get("lastSequence", 0)) if self.stored else 0

    @property
    def first_of_last(self) -> int:
        """The first sequence number of the range added last."""
        return int(self.stored.body.get("firstSequence", 0)) if self.stored else 0

    @property
    def size_of_last(self) -> int:
        """How many messages that range had."""
        return int(self.stored.body.get("messages", 0)) if self.stored else 0


@dataclass(frozen=True, slots=True)
class _Numbered:
    """A readable message with its sequence number."""

    sequence: int
    batch: Batch


class RollUp:
    """One run drains whatever waits, several sessions side by side, for about `ROLLUP_SECONDS`."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def run(self) -> int:
        """Drain; how many batches were added. What fails stays on the bus for the next run."""
        until = self._services.clock() + self._services.settings.rollup_seconds
        added = await asyncio.gather(*(self._drain_sessions(until) for _ in range(SESSIONS_AT_ONCE)))
        return sum(added)

    async def _drain_sessions(self, until: float) -> int:
        added = 0
        try:
            while self._services.clock() < until:
                session = await self._services.bus.next_session(ROLLUP, NEXT_SESSION_SECONDS)
                if session is None:
                    break
                try:
                    added += await self._drain(session)
                finally:
                    await session.close()
        except StoreUnavailable:
            self._services.telemetry.count("store_failures", "rollup")
        except BlobsUnavailable:
            self._services.telemetry.count("store_failures", "archive")
        except LockLost:
            self._services.telemetry.count("batches_rolled_up", "lock_lost")
        except BusError:
            self._services.telemetry.count("bus_failures", "rollup")
        return added

    async def _drain(self, session: Receiver) -> int:
        """Receive what the session has, up to one write's worth; write; archive; settle."""
        assert session.session_id is not None
        # Look at the stores first: while one is down no message is received, so none uses up its deliveries.
        await self._services.blobs.ready()
        shard = await self._read_shard(session.session_id)
        messages = await self._receive(session)
        readable = await self._readable(session, messages)
        if not readable:
            return 0
        keeper = asyncio.create_task(_keep_lock(session))
        try:
            again = [each for each in readable if each.sequence <= shard.last]
            new = [each for each in readable if each.sequence > shard.last]
            await self._archive_again(shard, again)
            if new:
                await self._patiently(lambda: self._add(shard, new))
                await self._patiently(lambda: self._archive(shard, new))
        finally:
            keeper.cancel()
        unreadable = {message.sequence_number for message in messages} - {each.sequence for each in readable}
        await session.complete([m for m in messages if m.sequence_number not in unreadable])
        self._services.telemetry.count("batches_rolled_up", "added", amount=len(new))
        if again:
            self._services.telemetry.count("batches_rolled_up", "duplicate", amount=len(again))
        return len(new)

    async def _receive(self, session: Receiver) -> list[ReceivedMessage]:
        messages: list[ReceivedMessage] = []
        while len(messages) < MESSAGES_A_WRITE:
            received = await session.receive(MESSAGES_A_RECEIVE, RECEIVE_SECONDS)
            if not received:
                break
            messages += received
        return messages

    async def _readable(self, session: Receiver, messages: Sequence[ReceivedMessage]) -> list[_Numbered]:
        """The messages as batches, in order; one that cannot be read is dead-lettered with a reason."""
        readable = []
        for message in messages:
            try:
                readable.append(_Numbered(message.sequence_number, decode(message.body)))
            except UnreadableBatch as error:
                await session.dead_letter(message, "unreadable", str(error))
                self._services.telemetry.count("messages_set_aside", ROLLUP, "unreadable")
        return sorted(readable, key=lambda each: each.sequence)

    async def _patiently(self, step: Callable[[], Awaitable[None]]) -> None:
        """Run a step until the store takes it: messages in hand wait rather than use up their deliveries."""
        give_up_at = self._services.clock() + PATIENCE_SECONDS
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                await step()
                return
            except (StoreUnavailable, BlobsUnavailable):
                self._services.telemetry.count("store_failures", "rollup")
                if self._services.clock() + pause > give_up_at:
                    raise
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 (jitter, not a secret)
                pause = min(LONGEST_PAUSE_SECONDS, pause * 2)

    # ---- statistics

    async def _read_shard(self, session_id: str) -> _Shard:
        shard = _Shard(session_id, None)
        stored = await self._services.documents.read(VIDEO_STATS, shard.tenant_id, shard.id, latest=True)
        return replace(shard, stored=stored)

    async def _add(self, shard: _Shard, new: Sequence[_Numbered]) -> None:
        """Add the batches to the shard's document in one write. Raises `LockLost` when somebody else wrote it."""
        services = self._services
        batches = await self._still_wanted(shard.tenant_id, new)
        facts = await services.video_facts.get(
            shard.tenant_id, {event.video_id for batch in batches for event in batch.events}
        )
        durations = {video_id: fact.duration_seconds for video_id, fact in facts.items()}
        table = self._read_table(shard)
        table.add(_stat_events(batches, durations))
        body = {
            "id": shard.id,
            "kind": "stats",
            "firstSequence": new[0].sequence,
            "lastSequence": new[-1].sequence,
            "messages": len(new),
            "updatedAt": services.clock(),
            "packed": await asyncio.to_thread(table.pack),
        }
        operation = Replace(body, shard.stored.etag) if shard.stored else Create(body)
        try:
            await services.documents.write(VIDEO_STATS, shard.tenant_id, [operation])
        except WriteRejected as refused:
            # Either somebody else owns the session by now, or this very write was applied and its answer lost.
            now = await self._read_shard(shard.session_id)
            if (now.first_of_last, now.last, now.size_of_last) != (new[0].sequence, new[-1].sequence, len(new)):
                raise LockLost("the shard was written by another owner of the session") from refused
        services.telemetry.count("rollup_writes")
        _count_feedback(batches, durations, services)

    def _read_table(self, shard: _Shard) -> StatsTable:
        if shard.stored is None:
            return StatsTable()
        try:
            return StatsTable.unpack(str(shard.stored.body.get("packed", "")))
        except UnreadableStats as error:
            log.error("statistics of a shard of tenant %s start afresh: %s", shard.tenant_id, error)
            self._services.telemetry.count("store_failures", "unreadable_stats")
            return StatsTable()

    async def _still_wanted(self, tenant_id: str, numbered: Sequence[_Numbered]) -> list[Batch]:
        """The batches without those of users who were erased after they were accepted, and of no other tenant."""
        erased = await erasures(self._services.documents, tenant_id)
        return [
            each.batch
            for each in numbered
            if each.batch.tenant_id == tenant_id and each.batch.accepted_at > erased.get(each.batch.user_key, 0.0)
        ]

    # ---- archive

    async def _archive(self, shard: _Shard, numbered: Sequence[_Numbered]) -> None:
        """Write the range as one blob, unless the archive is switched off for the tenant."""
        services, tenant_id = self._services, shard.tenant_id
        tenant = services.tenants.get(tenant_id)
        if not services.flags.on(ARCHIVE, tenant_id, own=tenant.feature_flags if tenant else None):
            services.telemetry.count("batches_archived", "switched_off", amount=len(numbered))
            return
        batches = await self._still_wanted(shard.tenant_id, numbered)
        if not any(batch.events for batch in batches):
            return
        name = blob_name(shard.session_id, numbered[0].sequence, numbered[0].batch.accepted_at)
        content = await asyncio.to_thread(to_lines, batches, services.identity.archive_pseudonym)
        await services.blobs.write(ARCHIVE_BLOBS, name, content)
        services.telemetry.count("batches_archived", "written", amount=len(batches))

    async def _archive_again(self, shard: _Shard, again: Sequence[_Numbered]) -> None:
        """Messages that were added before but not settled: their blob may be missing, so it is written again.

        A part of the range can only be missing here when some of it was settled, which comes after the blob.
        """
        last_range = [each for each in again if each.sequence >= shard.first_of_last]
        if last_range and len(last_range) == shard.size_of_last:
            await self._patiently(lambda: self._archive(shard, last_range))


async def _keep_lock(session: Receiver) -> None:
    """Renew the session's lock until cancelled; losing it shows when the messages are settled."""
    while True:
        await asyncio.sleep(RENEW_SECONDS)
        try:
            await session.renew()
        except BusError:
            return


def _stat_events(batches: Sequence[Batch], durations: dict[str, float]) -> list[StatEvent]:
    """What counts for videos that exist: events of a trusted sender, or events that quote a valid feed request."""
    return [
        (event.video_id, event.at_ms / 1000, event.type, event.watch_ms or 0.0, durations[event.video_id])
        for batch in batches
        for event in batch.events
        if event.video_id in durations and (batch.trusted or event.request is not None)
    ]


def _count_feedback(batches: Sequence[Batch], durations: dict[str, float], services: Services) -> None:
    """What people did with the videos they were served: click-through and watch share, new users against known ones.

    Only events that quote a valid feed request say how their video came to be served.
    """
    now, telemetry = services.clock(), services.telemetry
    for batch in batches:
        telemetry.observe("rollup_lag_ms", (now - batch.accepted_at) * 1000)
        for event in batch.events:
            if event.request is None:
                continue
            request = batch.requests[event.request]
            how = ("personalized" if request.personalized else "fallback", "warm" if request.warm else "cold")
            telemetry.count("feedback_events", *how, event.type)
            offered_ms = durations.get(event.video_id, 0.0) * 1000
            if event.watch_ms is not None and offered_ms > 0:
                telemetry.count("feedback_watched_ms", *how, amount=min(event.watch_ms, offered_ms))
                telemetry.count("feedback_offered_ms", *how, amount=offered_ms)
