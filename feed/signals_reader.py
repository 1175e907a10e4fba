"""Reads a user's signals within a time budget, and caches them for the next page.

A circuit breaker guards the read: while the store keeps failing or is too slow, no request waits for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from feed.breaker import Breaker, Objective, State
from shared.adapters.documents.port import USER_ACTIVITY, DocumentStore, StoreError, StoreUnavailable
from shared.adapters.retry import with_timeout
from shared.domain.signals_columns import UnreadableSignals
from shared.domain.signals_document import from_document
from shared.domain.tenant_cache import TenantCache
from shared.domain.user_signals import SIGNALS_ID, Signals
from shared.observability.logs import log_event
from shared.observability.metrics import Telemetry
from shared.settings import Settings

log = logging.getLogger("feed.signals")

SIGNALS_BYTES = 4_000
"""Memory of a user's signals beside the columns counted in `_size`."""
KEPT_BYTES = 200_000_000
"""Memory limit for signals, of all tenants together; about 10 kB a user."""


NOBODY = "nobody"
"""A partition that no user has, since user keys are digests."""


class SignalsUnavailable(Exception):
    """The signals could not be read in time: the feed falls back."""


class SignalsPaused(SignalsUnavailable):
    """The store kept failing, so it was not called."""


class SignalsReader:
    """Signals by user key: from memory for `SIGNALS_CACHE_SECONDS`, else from the store.

    The absence of signals is cached too, so a new user's first events can count that much later. `clock` gives seconds
    and never goes back.
    """

    def __init__(
        self,
        documents: DocumentStore,
        settings: Settings,
        telemetry: Telemetry,
        clock: Callable[[], float],
        objective: Objective | None = None,
    ) -> None:
        self._documents = documents
        self._settings = settings
        self._telemetry = telemetry
        self._clock = clock
        self.kept = TenantCache[str, tuple[Signals | None, float]](KEPT_BYTES, share=0.5)
        self.breaker = Breaker(objective)
        telemetry.watch("breaker_open", lambda: float(self.breaker.state is not State.CLOSED), "signals")

    async def open(self) -> None:
        """Read once, so that no user waits for a connection. Raises `StoreUnavailable`."""
        await self._documents.read(USER_ACTIVITY, NOBODY, SIGNALS_ID)

    async def get(self, tenant_id: str, user_key: str) -> Signals | None:
        """Return the user's signals; None if there are none. Raises `SignalsUnavailable`, or its subclass
        `SignalsPaused`."""
        now = self._clock()
        kept = self.kept.get(tenant_id, user_key)
        if kept is not None and now < kept[1]:
            return kept[0]
        before = self.breaker.state
        if not self.breaker.allows(now):
            raise SignalsPaused
        try:
            document = await with_timeout(
                self._settings.signals_budget_ms / 1000,
                self._documents.read(USER_ACTIVITY, user_key, SIGNALS_ID),
                StoreUnavailable,
            )
            self._answered(True, before)
            signals = from_document(document.body, whole=False) if document else None
        except StoreError as error:  # any store error: the feed continues without signals
            self._answered(False, before)
            self._telemetry.count("signals_late")
            raise SignalsUnavailable from error
        except UnreadableSignals as error:
            self._telemetry.count("store_failures", "unreadable_signals")
            raise SignalsUnavailable from error
        self._keep(tenant_id, user_key, signals, now)
        return signals

    def _answered(self, ok: bool, before: State) -> None:
        self.breaker.record(ok, self._clock())
        if self.breaker.state is not before:
            self._telemetry.count("breaker_changes", "signals", self.breaker.state)
            log_event(log, logging.WARNING, "breaker_changed", breaker="signals", state=self.breaker.state.value)

    def _keep(self, tenant_id: str, user_key: str, signals: Signals | None, now: float) -> None:
        keep_seconds = self._settings.signals_cache_seconds
        if keep_seconds <= 0:
            return
        self.kept.put(tenant_id, user_key, (signals, now + keep_seconds), _size(signals) if signals else 0)
        while (oldest := self.kept.oldest(tenant_id)) is not None and oldest[1][1] < now:
            self.kept.drop(tenant_id, oldest[0])


def _size(signals: Signals) -> int:
    """Return the memory of a user's signals in bytes."""
    counters = (signals.categories, signals.tags, signals.creators)
    timelines = (signals.seen, signals.watched, signals.skipped, signals.dismissed, signals.identities)
    arrays = sum(each.keys.nbytes + each.values.nbytes + each.days.nbytes for each in counters)
    return SIGNALS_BYTES + arrays + sum(each.keys.nbytes + each.times.nbytes for each in timelines)
