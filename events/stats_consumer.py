"""Consumer of the subscription `rollup`: adds events to video statistics and archives them. Everything drained from a
session becomes one write and one blob.

A session belongs to one shard of one tenant and is received under a lock. The shard's document lists the sequence
numbers that it has added (`events/sequence_log.py`). So a message delivered again is recognized by its number, and a
late message is not mistaken for one. First the document is written, with the numbers of its new messages and the name
of their blob. Then the blob is written, then the messages are settled. A process that lost the session meanwhile fails
at the document and writes no blob. After a crash in between, the unsettled messages are delivered again, and the whole
blob is written again under the same name.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from events.archive import part_name
from events.batch import marked_again
from events.frame import NewerMessage, UnreadableBatch
from events.message_parts import Part, parts_of
from events.session_drainer import Drained, Incomplete, Run, SessionDrainer
from events.set_aside import FAILED, UNREADABLE, count_set_aside
from events.shard_writer import SLICE, ShardWriter
from events.stats_shard import BATCHES_A_WRITE, PendingMessages, SequencedMessage, Shard
from events.video_facts import VideoFacts
from shared.adapters.blobs.port import ARCHIVE as ARCHIVE_BLOBS
from shared.adapters.blobs.port import Blobs, BlobsError, BlobsUnavailable
from shared.adapters.bus.port import (
    MESSAGE_TTL_SECONDS,
    ROLLUP,
    Bus,
    BusError,
    OutgoingMessage,
    ReceivedMessage,
    Receiver,
)
from shared.adapters.documents.port import DocumentStore, StoreError, StoreUnavailable
from shared.adapters.flags.evaluation import Flags
from shared.adapters.retry import retry
from shared.adapters.tenant_directory import TenantDirectory
from shared.domain.clocks import elapsed_seconds
from shared.domain.keys import Identity
from shared.observability.metrics import Telemetry
from shared.observability.tracebacks import traceback_without_values

log = logging.getLogger("feed.events")
T = TypeVar("T")

RECEIVE_SECONDS = 0.2
MESSAGES_A_RECEIVE = 500
RECEIVE_AT_MOST_SECONDS = 3.0
"""A session that receives messages all the time is never empty. What arrived by then goes into one write."""
JUST_NOW_SECONDS = 2.0
"""If a session's newest message is younger, the rest is not worth a write of its own."""
REST_AT_MOST_SECONDS = 5.0
LAST_CHANCE_SECONDS = MESSAGE_TTL_SECONDS / 2
SESSIONS_AT_ONCE = 4
RENEW_SECONDS = 3.0
"""Far more often than a lock of a minute needs. Locks are shorter on one machine."""
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 10.0
LEAST_PATIENCE_SECONDS, PATIENCE_SECONDS = 10.0, 20.0
"""How long received messages wait for a store; shorter at the end of a run. Then their session waits for a later
run."""
TRIES_FOR_THE_REST = 10
"""Deliveries of a part of a range after which its rest is no longer awaited."""
LATE = "late"
"""Why a message is dead-lettered that arrives after so many others that nothing tells whether it was counted."""


class StatsConsumer:
    """Drains all waiting messages, several sessions side by side, for about `ROLLUP_SECONDS` per run."""

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
        sessions_at_once: int = SESSIONS_AT_ONCE,
    ) -> None:
        self._bus = bus
        self._blobs = blobs
        self._tenants = tenants
        self._telemetry = telemetry
        self._clock = clock
        self._elapsed = elapsed
        self._receive_seconds, self._rest_seconds = receive_seconds, rest_seconds
        self._writer = ShardWriter(
            documents=documents,
            blobs=blobs,
            video_facts=video_facts,
            tenants=tenants,
            flags=flags,
            identity=identity,
            telemetry=telemetry,
            clock=clock,
            usual_peak_floor=usual_peak_floor,
        )
        self._drainer = SessionDrainer(
            bus=bus,
            ready=blobs.ready,
            drain=self._drain,
            telemetry=telemetry,
            run_seconds=run_seconds,
            sessions_at_once=sessions_at_once,
            elapsed=elapsed,
        )

    async def run(self) -> int:
        """Drain sessions; return how many batches were added. Failed messages stay on the bus for a later run."""
        return await self._drainer.run()

    async def _drain(self, session: Receiver, run: Run) -> Drained:
        """Receive up to one write's worth from the session, write it, archive it, settle it."""
        assert session.session_id is not None
        count = self._telemetry.count
        shard = await self._writer.read(session.session_id)
        run.began.add(session.session_id)
        keeper = asyncio.create_task(_keep_lock(session))
        give_up_at = self._elapsed() + min(max(run.until - self._elapsed(), LEAST_PATIENCE_SECONDS), PATIENCE_SECONDS)
        try:
            pending = PendingMessages()
            to_its_end = await self._receive(session, pending, self._receive_seconds)
            if pending.newer:  # once a run, since deliveries are counted
                run.left_alone.add(session.session_id)
            if not pending:  # its messages are not delivered now
                run.left_alone.add(session.session_id)
                return Drained()
            await self._drop_removed(session, pending)
            if not pending:
                return Drained(0, to_its_end)
            for each in shard.sorted_out(pending.batches).too_late:
                await session.dead_letter(pending.remove(each), LATE, "too late to tell whether it was counted")
                count_set_aside(self._telemetry, ROLLUP, LATE)
            await self._archive_again(session, shard, pending, give_up_at)
            messages = shard.sorted_out(pending.batches)
            new, again = messages.new, messages.again
            if again:  # settle these first, so that they do not return if the session is lost once more
                await session.complete(pending.messages_of(again))
                count("batches_rolled_up", "duplicate", amount=_batches_in(again))
            if new:
                new = await self._add_and_archive(session, shard, pending, new, give_up_at)
                await session.complete(pending.messages_of(new))
                count("batches_rolled_up", "added", amount=_batches_in(new))
        finally:
            keeper.cancel()
        return Drained(_batches_in(new), to_its_end)

    async def _drop_removed(self, session: Receiver, pending: PendingMessages) -> None:
        """Settle the messages of a tenant that was removed after they were accepted. Nothing is written of them."""
        drops = self._tenants.drops
        gone = [
            each for each in pending.batches if all(drops(batch.tenant_id, batch.accepted_at) for batch in each.batches)
        ]
        if gone:
            await session.complete([pending.remove(each) for each in gone])
            self._telemetry.count("batches_rolled_up", "removed_tenant", amount=_batches_in(gone))

    async def _add_and_archive(
        self,
        session: Receiver,
        shard: Shard,
        pending: PendingMessages,
        new: list[SequencedMessage],
        give_up_at: float,
    ) -> list[SequencedMessage]:
        """Add the batches and archive them; return those that were added. A message that fails alone is dead-lettered
        alone."""
        try:
            added = await self._retry(lambda: self._writer.add(shard, new), give_up_at)
        except (StoreError, BlobsError, BusError):
            raise
        except Exception as error:
            poison = [each for each in new if not all(self._writer.works_alone(batch) for batch in each.batches)]
            if not poison:
                raise
            log.error("batches that cannot be added\n%s", traceback_without_values(error))
            for each in poison:
                message = pending.remove(each)
                found = parts_of(message.body)
                odd = [part for part in found if part.batch is None or not self._writer.works_alone(part.batch)]
                await self._set_aside(session, message, found, odd, FAILED, type(error).__name__)
            new = [each for each in new if each not in poison]
            if not new:
                return new
            added = await self._retry(lambda: self._writer.add(shard, new), give_up_at)
        if added.blob:
            await self._retry(lambda: self._writer.write_blob(shard, added.blob, added.batches), give_up_at)
        return new

    async def _receive(self, session: Receiver, pending: PendingMessages, seconds: float, enough: int = 0) -> bool:
        """Receive until `pending` is full, the session is empty or the time is up. Return whether the session is empty
        for now.

        With `enough`, an empty response is not the end: it receives until there are that many messages.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while loop.time() < until and not (pending.full if not enough else len(pending) >= enough):
            room = BATCHES_A_WRITE - len(pending)
            received = await session.receive(min(MESSAGES_A_RECEIVE, max(1, room)), RECEIVE_SECONDS)
            if not received and not enough:
                return True
            batches = {each.sequence: each for each in await self._readable(session, received, pending)}
            for message in received:
                if message.sequence_number in batches:
                    pending.add(batches[message.sequence_number], message)
        return pending.newest_enqueued_at > self._clock() - JUST_NOW_SECONDS

    async def _archive_again(
        self, session: Receiver, shard: Shard, pending: PendingMessages, give_up_at: float
    ) -> None:
        """Ensure that the archive has every message that is delivered again, before it is settled.

        After a crash between the document and the blob, the whole range is delivered again, but not always at once. A
        part of it can be settled only if the blob exists, since then the rest was settled. Otherwise the rest is
        awaited. Raises `Incomplete` when it does not arrive; everything stays for a later run. After many tries the
        part is archived under a name of its own. So the rest, if it arrives, is not mistaken for archived.
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
                    raise Incomplete
                name = part_name(name, came[0].sequence)
            await self._retry(lambda c=came, n=name, w=written.blob: self._writer.archive(shard, c, n, w), give_up_at)  # type: ignore[misc]

    async def _is_archived(self, name: str) -> bool:
        return name in [blob.name async for blob in self._blobs.list(ARCHIVE_BLOBS, name)]

    async def _readable(
        self, session: Receiver, messages: Sequence[ReceivedMessage], pending: PendingMessages
    ) -> list[SequencedMessage]:
        """Decode the messages. An unreadable one is dead-lettered with a reason. One that only a later release can read
        is left alone, so that it is delivered again."""
        readable = []
        for number, message in enumerate(messages, 1):
            if number % (5 * SLICE) == 0:
                await asyncio.sleep(0)
            try:
                found = parts_of(message.body)
            except NewerMessage:
                self._telemetry.count("bus_failures", "newer_message")
                pending.newer = True
                continue
            except UnreadableBatch as error:
                await self._set_aside(session, message, [], [], UNREADABLE, str(error))
                continue
            batches = tuple(part.batch for part in found if part.batch is not None)
            if len(batches) < len(found):
                odd = [part for part in found if part.batch is None]
                await self._set_aside(session, message, found, odd, UNREADABLE, odd[0].error)
                continue
            readable.append(SequencedMessage(message.sequence_number, batches, message.enqueued_at))
            if over := sum(batch.passed_over for batch in batches):
                self._telemetry.count("events_passed_over", ROLLUP, amount=over)
        return readable

    async def _set_aside(
        self,
        session: Receiver,
        message: ReceivedMessage,
        found: Sequence[Part],
        odd: Sequence[Part],
        reason: str,
        description: str,
    ) -> None:
        """Dead-letter a message, or only its `odd` batches. The others are published again with the flag `again`, each
        in a message of its own. After a crash in between, the whole message is delivered again."""
        rest = [part for part in found if part not in odd]
        if not rest:
            await session.dead_letter(message, reason, description)
            count_set_aside(self._telemetry, ROLLUP, reason)
            return
        for number, part in enumerate(found):
            id = f"{message.message_id[:80]}.part.{message.sequence_number}.{number}"
            if part in odd:
                alone = OutgoingMessage(id, message.session_id, part.body())
                await self._bus.dead_letter(ROLLUP, alone, reason, part.error or description)
                count_set_aside(self._telemetry, ROLLUP, reason)
            else:
                again = OutgoingMessage(id, message.session_id, marked_again(part.body()), ROLLUP)
                await self._bus.publish(again)
        await session.complete([message])

    async def _retry(self, step: Callable[[], Awaitable[T]], give_up_at: float) -> T:
        """Run a step until the store accepts it. After `give_up_at`, raise its error, so that other sessions get their
        turn."""
        return await retry(
            step,
            (StoreUnavailable, BlobsUnavailable),
            give_up_at=give_up_at,
            clock=self._elapsed,
            first_pause=FIRST_PAUSE_SECONDS,
            longest_pause=LONGEST_PAUSE_SECONDS,
            failed=lambda _: self._telemetry.count("store_failures", "rollup"),
        )


def _batches_in(messages: Sequence[SequencedMessage]) -> int:
    return sum(len(each.batches) for each in messages)


async def _keep_lock(session: Receiver) -> None:
    """Renew the session's lock until cancelled. A lost lock shows when the messages are settled."""
    while True:
        await asyncio.sleep(RENEW_SECONDS)
        try:
            await session.renew()
        except BusError:
            return
