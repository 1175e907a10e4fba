"""The roll-up: drains the sessions of the subscription `rollup` into video statistics, one write per drained batch.

A session belongs to one shard of one tenant and comes in order under a lock, so the last sequence number folded, kept
in the shard's document, is all it takes to count everything once: whatever comes again has a number already folded.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from events.batch import Batch, UnreadableBatch, decode
from ranking.stats import StatEvent, StatsTable, UnreadableStats
from shared.bus.port import ROLLUP, BusError, LockLost, ReceivedMessage, Receiver
from shared.services import Services
from shared.stores.documents import (
    VIDEO_STATS,
    Create,
    Document,
    Replace,
    StoreUnavailable,
    WriteRejected,
)

log = logging.getLogger("feed.events")

NEXT_SESSION_SECONDS = 0.5
RECEIVE_SECONDS = 0.2
MESSAGES_A_RECEIVE = 500
MESSAGES_A_WRITE = 4_000
SESSIONS_AT_ONCE = 4
SHARD_MARK = "#"


@dataclass(frozen=True, slots=True)
class _Shard:
    """A shard's document as it is stored, or None before its first write."""

    tenant_id: str
    id: str
    stored: Document | None

    @property
    def last_sequence(self) -> int:
        return int(self.stored.body.get("lastSequence", 0)) if self.stored else 0


class RollUp:
    """One run drains whatever waits, several sessions side by side, for at most `ROLLUP_SECONDS`."""

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
        except BusError:
            self._services.telemetry.count("bus_failures", "rollup")
        return added

    async def _drain(self, session: Receiver) -> int:
        """Receive what the session has, up to one write's worth; write; settle."""
        assert session.session_id is not None
        # Read first: while the store is down no message is received, so none uses up its deliveries.
        shard = await self._read_shard(session.session_id)
        messages: list[ReceivedMessage] = []
        while len(messages) < MESSAGES_A_WRITE:
            received = await session.receive(MESSAGES_A_RECEIVE, RECEIVE_SECONDS)
            if not received:
                break
            messages += received
        if not messages:
            return 0
        batches, readable = await self._decode(session, messages, shard.last_sequence)
        try:
            if batches:
                await self._add(shard, batches, max(message.sequence_number for message in messages))
            await session.complete(readable)
        except LockLost:
            self._services.telemetry.count("batches_rolled_up", "lock_lost", amount=len(messages))
            return 0
        self._services.telemetry.count("batches_rolled_up", "added", amount=len(batches))
        if len(readable) > len(batches):
            self._services.telemetry.count("batches_rolled_up", "duplicate", amount=len(readable) - len(batches))
        return len(batches)

    async def _read_shard(self, session_id: str) -> _Shard:
        tenant_id = session_id.partition(SHARD_MARK)[0]
        id = f"stats:{session_id}"
        return _Shard(tenant_id, id, await self._services.documents.read(VIDEO_STATS, tenant_id, id, latest=True))

    async def _decode(
        self, session: Receiver, messages: Sequence[ReceivedMessage], last_sequence: int
    ) -> tuple[list[Batch], list[ReceivedMessage]]:
        """Batches not added before, and the messages to settle; the unreadable are dead-lettered with a reason."""
        batches, readable = [], []
        for message in messages:
            try:
                batch = decode(message.body)
            except UnreadableBatch as error:
                await session.dead_letter(message, "unreadable", str(error))
                self._services.telemetry.count("messages_set_aside", ROLLUP, "unreadable")
                continue
            readable.append(message)
            if message.sequence_number > last_sequence:
                batches.append(batch)
        return batches, readable

    async def _add(self, shard: _Shard, batches: Sequence[Batch], last_sequence: int) -> None:
        """Add the batches to the shard's document in one write."""
        services = self._services
        table = self._read_table(shard)
        counted = [batch for batch in batches if batch.tenant_id == shard.tenant_id]
        facts = await services.video_facts.get(
            shard.tenant_id, {event.video_id for batch in counted for event in batch.events}
        )
        durations = {video_id: fact.duration_seconds for video_id, fact in facts.items()}
        table.add(_stat_events(counted, durations))
        body = {
            "id": shard.id,
            "kind": "stats",
            "lastSequence": last_sequence,
            "updatedAt": services.clock(),
            "packed": await asyncio.to_thread(table.pack),
        }
        operation = Replace(body, shard.stored.etag) if shard.stored else Create(body)
        try:
            await services.documents.write(VIDEO_STATS, shard.tenant_id, [operation])
        except WriteRejected as refused:
            # Either somebody else owns the session by now, or this very write was applied and its answer lost.
            again = await self._read_shard(shard.id.removeprefix("stats:"))
            if again.last_sequence != last_sequence:
                raise LockLost("the shard was written by another owner of the session") from refused
        services.telemetry.count("rollup_writes")

    def _read_table(self, shard: _Shard) -> StatsTable:
        if shard.stored is None:
            return StatsTable()
        try:
            return StatsTable.unpack(str(shard.stored.body.get("packed", "")))
        except UnreadableStats as error:
            log.error("statistics of a shard of tenant %s start afresh: %s", shard.tenant_id, error)
            self._services.telemetry.count("store_failures", "unreadable_stats")
            return StatsTable()


def _stat_events(batches: Sequence[Batch], durations: dict[str, float]) -> list[StatEvent]:
    """What counts for videos that exist: events of a trusted sender, or events that quote a valid feed request."""
    return [
        (event.video_id, event.at_ms / 1000, event.type, event.watch_ms or 0.0, durations[event.video_id])
        for batch in batches
        for event in batch.events
        if event.video_id in durations and (batch.trusted or event.request is not None)
    ]
