"""Consumer of the subscription `signals`: folds each batch into its user's document exactly once, then publishes the
new events to the subscription `rollup`.

A user's signals and the markers of folded batches share a partition, so one atomic write creates the marker and
replaces the signals. A refused write is not proof: whether the marker exists decides. The marker records which events
of the batch were new, so a message delivered again publishes the same ones. The roll-up and the archive therefore see
each accepted event once, even if a client sent it twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from typing import NoReturn, TypeVar
from weakref import WeakValueDictionary

from events.batch import Batch
from events.counting import Ledger, decide
from events.fold import fold, not_folded_yet
from events.fold_markers import (
    DUPLICATE,
    ERASED,
    FOLDED,
    NOTHING_NEW,
    REMOVED_TENANT,
    TOO_OLD,
    Folded,
    already_folded,
    marker_id,
    marker_of,
)
from events.frame import NewerMessage, UnreadableBatch
from events.future_times import events_until
from events.list_changes import changes_of
from events.message_parts import Part, parts_of
from events.packing import PackedBatch, Packer
from events.plays import follow, in_statistics
from events.plays_handed_on import handed_on, told_of
from events.set_aside import FAILED, REFUSED, UNREADABLE, set_aside
from events.signals_writer import Crossed, Owner, SignalsWriter
from events.video_facts import VideoFacts
from shared.adapters.bus.port import ROLLUP, SIGNALS, Bus, BusRefused, BusUnavailable
from shared.adapters.documents.port import (
    StoreRefused,
    StoreUnavailable,
)
from shared.adapters.retry import retry
from shared.adapters.tenant_directory import TenantDirectory
from shared.domain.clocks import elapsed_seconds
from shared.domain.follows import followed_ring
from shared.domain.records import DEFAULT_HALF_LIFE_DAYS
from shared.domain.user_lists import FOLLOWING
from shared.domain.user_signals import Progress
from shared.observability.logs import log_event
from shared.observability.metrics import Telemetry
from shared.observability.telemetry_export import Spans
from shared.observability.tracebacks import traceback_without_values
from shared.observability.tracing import Stages, current_trace, trace_named

log = logging.getLogger("feed.events")
T = TypeVar("T")

MAX_AGE_SECONDS = 13 * 86_400
"""Older batches are refused, so a marker cannot expire before its message."""
LATE_SECONDS = 10.0
"""The objective: an event counts in the user's ranking this soon after it was accepted."""
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 15.0
PAUSE_PER_AGE = 0.02

FOLDS_AT_ONCE = 32
"""Attempts in progress in one process, of all messages together. So messages with many batches put no more load on the
store than messages with one."""
DONE_AT_MOST = 10_000
HANDED_ON = ".rollup"
"""Suffix of the ids of messages to the roll-up."""


@dataclass(slots=True)
class _Delivery:
    """One delivery of a message: until when (by `elapsed`) it can wait for the store and the bus, and its first
    pause."""

    give_up_at: float
    first_pause: float = FIRST_PAUSE_SECONDS


def first_pause(age_seconds: float) -> float:
    """Return the first pause after a failure, in seconds, for a batch accepted this long ago.

    The host delivers a returned message again at once. A batch that has waited for hours must not start with short
    pauses each time. Its age, which is in the body, shows how long the outage has lasted.
    """
    return min(LONGEST_PAUSE_SECONDS, max(FIRST_PAUSE_SECONDS, age_seconds * PAUSE_PER_AGE))


class _StillCrossed(StoreUnavailable):
    """Each attempt within a delivery's time conflicted with another worker."""


class SignalsConsumer:
    """Folds messages, one at a time per user within this process."""

    def __init__(
        self,
        *,
        bus: Bus,
        packer: Packer,
        video_facts: VideoFacts,
        tenants: TenantDirectory,
        telemetry: Telemetry,
        spans: Spans,
        clock: Callable[[], float],
        patience_seconds: float,
        writer: SignalsWriter,
        elapsed: Callable[[], float] = elapsed_seconds,
        clock_trusted: Callable[[], bool] = lambda: True,
    ) -> None:
        self._bus, self._packer = bus, packer
        self._video_facts = video_facts
        self._tenants = tenants
        self._telemetry = telemetry
        self._spans = spans
        self._clock = clock
        self._patience_seconds = patience_seconds
        self._writer = writer
        self._elapsed = elapsed
        self._clock_trusted = clock_trusted
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._slots = asyncio.Semaphore(FOLDS_AT_ONCE)
        self._done: dict[tuple[str, float], None] = {}
        """Finished batches, by id and acceptance, of messages that returned to the bus because of other batches."""

    async def handle(self, body: bytes) -> str:
        """Fold one message, its batches side by side; return the outcome of its last batch.

        While the store is down, or the bus accepts nothing, it retries with growing pauses for up to
        `patience_seconds`. Then it raises `StoreUnavailable` or `BusUnavailable`. The message returns to the bus and is
        delivered again, so an outage fills no dead-letter queue. The same holds for a message that only a later release
        can read. Batches that were folded before end as duplicates.
        """
        give_up_at = self._elapsed() + self._patience_seconds
        try:
            found = parts_of(body)
        except NewerMessage as error:
            return await self._wait_for_later_release(error, _Delivery(give_up_at))
        except UnreadableBatch as error:
            return await self._set_aside(body, UNREADABLE, str(error), _Delivery(give_up_at))
        if len(found) == 1:
            return await self._handle_part(found[0], _Delivery(give_up_at))
        outcomes = await asyncio.gather(
            *(self._handle_part(part, _Delivery(give_up_at)) for part in found), return_exceptions=True
        )
        failed = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        if failed:
            self._remember(part.batch for part, outcome in zip(found, outcomes, strict=True) if outcome not in failed)
            raise failed[0]
        return str(outcomes[-1])

    def _remember(self, done: Iterable[Batch | None]) -> None:
        """Remember the folded batches of a message that returns to the bus. If it comes to this process again, they are
        skipped."""
        for batch in done:
            if batch is not None:
                self._done[batch.id, batch.accepted_at] = None
        while len(self._done) > DONE_AT_MOST:
            del self._done[next(iter(self._done))]

    async def _handle_part(self, part: Part, delivery: _Delivery) -> str:
        batch = part.batch
        if batch is None:
            return await self._set_aside(part.body(), UNREADABLE, part.error, delivery)
        if (batch.id, batch.accepted_at) in self._done:
            return self._ended(DUPLICATE)
        if batch.passed_over:
            self._telemetry.count("events_passed_over", SIGNALS, amount=batch.passed_over)
        token = current_trace.set(trace_named(batch.trace_id))
        delivery.first_pause = first_pause(self._clock() - batch.accepted_at)
        try:
            return await self._handle(batch, delivery)
        except (StoreUnavailable, BusUnavailable):
            raise
        except (StoreRefused, BusRefused) as error:
            return await self._set_aside(part.body(), REFUSED, type(error).__name__, delivery)
        except Exception as error:  # a retry fails again: dead-letter it, so it can be replayed later
            log.error("a batch cannot be folded\n%s", traceback_without_values(error))
            return await self._set_aside(part.body(), FAILED, type(error).__name__, delivery)
        finally:
            current_trace.reset(token)

    async def _wait_for_later_release(self, error: NewerMessage, delivery: _Delivery) -> NoReturn:
        """Wait as in an outage, so that the message's deliveries last until a later release receives it."""
        self._telemetry.count("bus_failures", "newer_message")
        delivery.first_pause = LONGEST_PAUSE_SECONDS

        async def refuse() -> NoReturn:
            raise BusUnavailable(f"a message of a later release: {error}")

        await self._retry(refuse, delivery)
        raise AssertionError("unreachable")

    async def _set_aside(self, body: bytes, reason: str, description: str, delivery: _Delivery) -> str:
        await self._retry(lambda: set_aside(self._bus, self._telemetry, SIGNALS, body, reason, description), delivery)
        return self._ended(reason)

    async def _handle(self, batch: Batch, delivery: _Delivery) -> str:
        telemetry, tenant_id = self._telemetry, batch.tenant_id
        await self._retry(self._require_clock, delivery)
        batch = replace(batch, events=events_until(batch.events, self._clock()))
        if self._clock() - batch.accepted_at > MAX_AGE_SECONDS:
            log_event(log, logging.WARNING, "batch_too_old", tenant=tenant_id)
            return self._ended(TOO_OLD)
        stages = Stages()
        lock = self._locks.setdefault(batch.user_key, asyncio.Lock())
        async with lock:
            stages.end("wait_for_user")
            folded = await self._retry(lambda: self._fold(batch, delivery), delivery)
        lag_seconds = max(0.0, self._clock() - batch.accepted_at)
        stages.end("fold")
        if folded.fresh:
            known = folded.outcome == DUPLICATE
            new = replace(batch, events=folded.fresh, counted=folded.counted, again=batch.again or known)
            await self._retry(self._hand_on(new).confirmed, delivery)
            telemetry.count("events_folded", tenant_id, amount=len(folded.fresh))
            if lag_seconds > LATE_SECONDS:
                telemetry.count("events_late", tenant_id, amount=len(folded.fresh))
        stages.end("hand_on")
        telemetry.observe_ms("fold_lag_ms", lag_seconds * 1000)
        if folded.unknown_videos:
            telemetry.count("events_unknown_video", tenant_id, amount=folded.unknown_videos)
            log_event(log, logging.WARNING, "unknown_videos", tenant=tenant_id, count=folded.unknown_videos)
        self._spans.record("fold_signals", stages, tenant=tenant_id, outcome=folded.outcome)
        return self._ended(folded.outcome)

    async def _require_clock(self) -> None:
        """Raise `StoreUnavailable` while this instance's clock is wrong. Another instance takes the message."""
        if not self._clock_trusted():
            raise StoreUnavailable("the clock of this instance is wrong")

    def _ended(self, outcome: str) -> str:
        self._telemetry.count("batches_folded", outcome)
        return outcome

    def _hand_on(self, batch: Batch) -> PackedBatch:
        tenant = self._tenants.get(batch.tenant_id)
        return self._packer.add(batch, ROLLUP, batch.session(tenant.rollup_shards if tenant else 1))

    async def _retry(self, step: Callable[[], Awaitable[T]], delivery: _Delivery) -> T:
        """Run a step until the store and the bus accept it. After `give_up_at`, raise their error."""

        def failed(error: Exception) -> None:
            self._telemetry.count("store_failures" if isinstance(error, StoreUnavailable) else "bus_failures", "fold")
            self._telemetry.count("fold_retries")

        return await retry(
            step,
            (StoreUnavailable, BusUnavailable),
            when=lambda error: not isinstance(error, _StillCrossed),
            give_up_at=delivery.give_up_at,
            clock=self._elapsed,
            first_pause=delivery.first_pause,
            longest_pause=LONGEST_PAUSE_SECONDS,
            failed=failed,
        )

    async def _fold(self, batch: Batch, delivery: _Delivery) -> Folded:
        """Repeat `_fold_once` until no other worker conflicts.

        Raises `StoreUnavailable` when the delivery's time is used up. An expired item that is not purged yet can cause
        that: it can neither be created nor read.
        """
        try:
            return await retry(
                lambda: self._fold_in_turn(batch),
                (Crossed,),
                give_up_at=delivery.give_up_at,
                clock=self._elapsed,
                first_pause=FIRST_PAUSE_SECONDS,
                longest_pause=LONGEST_PAUSE_SECONDS,
                failed=lambda _: self._telemetry.count("fold_conflicts"),
            )
        except Crossed as crossed:
            raise _StillCrossed("the user's signals cannot be written: others are first each time") from crossed

    async def _fold_in_turn(self, batch: Batch) -> Folded:
        async with self._slots:
            return await self._fold_once(batch)

    async def _fold_once(self, batch: Batch) -> Folded:
        """Make one attempt. Raises `Crossed` when another worker wrote first; the attempt must then be repeated."""
        writer = self._writer
        if self._tenants.drops(batch.tenant_id, batch.accepted_at):
            return Folded(REMOVED_TENANT)
        facts = await self._video_facts.get(batch.tenant_id, [event.video_id for event in batch.events])
        stored = await writer.read(batch.user_key)
        if stored.erased_at is not None and batch.accepted_at <= stored.erased_at:
            return Folded(ERASED)
        now = self._clock()
        old = writer.signals(stored, now)
        fresh = tuple(not_folded_yet(old, batch.events))
        if not fresh and (known := await writer.marker(batch.user_key, marker_id(batch))):  # probably delivered again
            return already_folded(batch, known.body)
        tenant = self._tenants.get(batch.tenant_id)
        half_life = tenant.affinity_half_life_days if tenant else DEFAULT_HALF_LIFE_DAYS
        followed = follow(old.progress if old else Progress(), fresh, facts)
        new = fold(old, batch.events, facts, half_life, now, batch.accepted_at, fresh, followed)
        changes = changes_of(fresh, facts)
        read = await writer.lists(batch.user_key, stored, changes) if changes else []
        lists = [(each, each.list.with_changes(changes[each.list.name], now, batch.accepted_at)) for each in read]
        for _, each in lists:
            if each.name == FOLLOWING:
                new.follows = followed_ring(each, now)
        decision = decide(batch, fresh, Ledger(new.counted, new.daily_counts), now, followed.steps)
        new.counted, new.daily_counts = decision.ledger.receipts, decision.ledger.today or new.daily_counts
        new.progress = in_statistics(new.progress, decision.plays)
        told = told_of(followed.steps, decision)
        marker = marker_of(batch, fresh, decision.counted, told)
        before = await writer.write(Owner(batch.tenant_id, batch.user_key), stored, new, marker, lists)
        if before is not None:
            return already_folded(batch, before)
        for reason, events in decision.refused.items():
            self._telemetry.count("events_not_counted", reason, amount=events)
        unknown = sum(event.subject is None and event.video_id not in facts for event in fresh)
        return Folded(FOLDED if fresh else NOTHING_NEW, handed_on(fresh, told), decision.counted, unknown)
