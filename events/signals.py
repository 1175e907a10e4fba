"""The consumer of the subscription `signals`: folds each batch into its user's document exactly once.

A user's signals and the markers of folded batches share a partition, so one atomic write both creates the marker and
replaces the signals. A refused write is not taken at its word: whether the marker is there decides.
"""

from __future__ import annotations

import asyncio
import logging
import random
from weakref import WeakValueDictionary

from events.batch import Batch, UnreadableBatch, decode
from events.fold import fold
from shared.bus.port import SIGNALS, OutgoingMessage
from shared.records import DEFAULT_HALF_LIFE_DAYS
from shared.services import Services
from shared.signals import SIGNALS_ID, Signals, UnreadableSignals, from_document, to_document
from shared.stores.documents import USER_ACTIVITY, Create, Replace, StoreUnavailable, WriteRejected

log = logging.getLogger("feed.events")

MARKER_TTL_SECONDS = 14 * 86_400
MAX_AGE_SECONDS = 13 * 86_400
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 15.0


class SignalsConsumer:
    """Folds messages, one at a time per user within this process."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def handle(self, message_id: str, body: bytes) -> str:
        """Fold one message and say how it ended: folded, duplicate, no_consent, too_old or unreadable.

        While the store is down it waits with growing pauses for up to `FOLD_PATIENCE_SECONDS`, then raises
        `StoreUnavailable`, so that the message goes back to the bus: an outage fills no dead-letter queue.
        """
        services = self._services
        try:
            batch = decode(body)
        except UnreadableBatch as error:
            await services.bus.set_aside(SIGNALS, OutgoingMessage(message_id, "", body), "unreadable", str(error))
            services.telemetry.count("messages_set_aside", SIGNALS, "unreadable")
            return self._ended("unreadable")
        if not batch.consented:
            return self._ended("no_consent")
        if services.clock() - batch.accepted_at > MAX_AGE_SECONDS:
            return self._ended("too_old")
        lock = self._locks.setdefault(batch.user_key, asyncio.Lock())
        async with lock:
            outcome = await self._fold_patiently(batch)
        services.telemetry.observe_ms("fold_lag_ms", (services.clock() - batch.accepted_at) * 1000)
        return self._ended(outcome)

    def _ended(self, outcome: str) -> str:
        self._services.telemetry.count("batches_folded", outcome)
        return outcome

    async def _fold_patiently(self, batch: Batch) -> str:
        services = self._services
        give_up_at = services.clock() + services.settings.fold_patience_seconds
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                outcome = await self._fold_once(batch)
                if outcome is not None:
                    return outcome
                services.telemetry.count("fold_conflicts")
                await asyncio.sleep(random.uniform(0, FIRST_PAUSE_SECONDS))  # noqa: S311 (jitter, not a secret)
            except StoreUnavailable:
                services.telemetry.count("store_failures", "fold")
                if services.clock() + pause > give_up_at:
                    raise
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
                pause = min(LONGEST_PAUSE_SECONDS, pause * 2)

    async def _fold_once(self, batch: Batch) -> str | None:
        """One attempt: how it ended, or None when another worker was first and it must be repeated."""
        services = self._services
        documents = services.documents
        facts = await services.video_facts.get(batch.tenant_id, [event.video_id for event in batch.events])
        stored = await documents.read(USER_ACTIVITY, batch.user_key, SIGNALS_ID, latest=True)
        tenant = services.tenants.get(batch.tenant_id)
        half_life = tenant.affinity_half_life_days if tenant else DEFAULT_HALF_LIFE_DAYS
        folded = fold(self._read(stored.body) if stored else None, batch.events, facts, half_life, services.clock())
        body = to_document(folded)
        marker_id = f"batch:{batch.id}"
        marker = {"id": marker_id, "kind": "marker", "ttl": MARKER_TTL_SECONDS}
        try:
            await documents.write(
                USER_ACTIVITY,
                batch.user_key,
                [Create(marker), Replace(body, stored.etag) if stored else Create(body)],
            )
        except WriteRejected:
            if await documents.read(USER_ACTIVITY, batch.user_key, marker_id, latest=True) is not None:
                return "duplicate"
            return None
        unknown = sum(event.video_id not in facts for event in batch.events)
        if unknown:
            services.telemetry.count("events_unknown_video", batch.tenant_id, amount=unknown)
        return "folded"

    def _read(self, body: dict[str, object]) -> Signals | None:
        try:
            return from_document(body)
        except UnreadableSignals as error:
            log.error("a signals document could not be read and starts afresh: %s", error)
            self._services.telemetry.count("store_failures", "unreadable_signals")
            return None
