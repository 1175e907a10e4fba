"""Reads and writes a user's signals. They change in one atomic batch with the marker of the change.

The marker is created, so it can exist only once. The signals are replaced only if they are unchanged since they were
read. A refused write is not proof, because the store's client repeats a write after a lost connection: whether the
marker exists decides.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from events.future_times import signals_until
from shared.adapters.documents.port import (
    USER_ACTIVITY,
    Create,
    Document,
    DocumentStore,
    Json,
    Replace,
    StoreUnavailable,
    WriteRejected,
)
from shared.domain.counted_receipts import CountedReceipts
from shared.domain.records import DEFAULT_HALF_LIFE_DAYS
from shared.domain.signals_columns import NewerSignals, UnreadableSignals
from shared.domain.signals_document import from_document, to_document
from shared.domain.user_lists import NewerList, UnreadableList, UserList, document_id
from shared.domain.user_signals import SIGNALS_ID, Signals
from shared.observability.metrics import Telemetry

log = logging.getLogger("feed.events")


class Crossed(Exception):
    """Another worker wrote the user's signals in between."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Owner of signals: a user's key and its tenant."""

    tenant_id: str
    user_key: str


@dataclass(frozen=True, slots=True)
class StoredSignals:
    """A user's document as it was read (None if there is none), and when the user was erased, in seconds since the
    epoch."""

    document: Document | None
    erased_at: float | None


@dataclass(frozen=True, slots=True)
class StoredList:
    """One of a user's lists as it was read. If there is none, `document` is None and `list` is empty."""

    document: Document | None
    list: UserList


class SignalsWriter:
    """Reads and writes signals. `clock` gives seconds since the epoch; `version` is the document version to write."""

    def __init__(
        self, documents: DocumentStore, telemetry: Telemetry, clock: Callable[[], float], version: int = 2
    ) -> None:
        self._documents = documents
        self._telemetry = telemetry
        self._clock = clock
        self._version = version

    async def read(self, user_key: str) -> StoredSignals:
        """Read the newest document."""
        stored = await self._documents.read(USER_ACTIVITY, user_key, SIGNALS_ID, latest=True)
        return StoredSignals(stored, stored.body.get("erasedAt") if stored else None)

    async def marker(self, user_key: str, id: str) -> Document | None:
        """Read a marker beside a user's signals."""
        return await self._documents.read(USER_ACTIVITY, user_key, id, latest=True)

    def signals(self, stored: StoredSignals, now: float) -> Signals | None:
        """Return the user's signals. If they were lost or erased, receipts served until then count no more in
        statistics: nothing tells which of their events were counted. Raises `StoreUnavailable` for a version that only
        a later release knows, since this one must not overwrite it."""
        if stored.document is None:
            return None
        body = stored.document.body
        try:
            lost_at = body.get("erasedAt", 0.0)
            signals = from_document(body)
        except NewerSignals as error:
            self._telemetry.count("store_failures", "newer_signals")
            raise StoreUnavailable("signals of a newer version") from error
        except UnreadableSignals:
            log.error("a signals document could not be read and starts afresh")
            self._telemetry.count("store_failures", "unreadable_signals")
            lost_at, signals = self._clock(), None
        if signals is not None:
            return signals_until(signals, now)
        return Signals(DEFAULT_HALF_LIFE_DAYS, counted=CountedReceipts().closed_until(math.ceil(lost_at)))

    async def lists(self, user_key: str, stored: StoredSignals, names: Iterable[str]) -> list[StoredList]:
        """Read some of the user's lists. A list from before the user's erasure is empty. Raises `StoreUnavailable` for
        a version that only a later release knows."""
        return list(await asyncio.gather(*(self._list(user_key, stored, name) for name in names)))

    async def _list(self, user_key: str, stored: StoredSignals, name: str) -> StoredList:
        document = await self._documents.read(USER_ACTIVITY, user_key, document_id(name), latest=True)
        if document is None:
            return StoredList(None, UserList(name))
        try:
            found = UserList.from_document(document.body)
        except NewerList as error:
            self._telemetry.count("store_failures", "newer_list")
            raise StoreUnavailable("a list of a newer version") from error
        except UnreadableList:
            log.error("a user's list could not be read and starts afresh")
            self._telemetry.count("store_failures", "unreadable_list")
            found = UserList(name)
        erased = stored.erased_at is not None and found.accepted_at <= stored.erased_at
        return StoredList(document, UserList(name) if erased else found)

    async def write(
        self,
        owner: Owner,
        stored: StoredSignals,
        new: Signals,
        marker: Json,
        lists: Sequence[tuple[StoredList, UserList]] = (),
    ) -> Json | None:
        """Replace the signals, replace `lists` (each as read, and its new content), and create the marker. Return None
        when this was written, else the marker that already existed. Raises `Crossed` when a document has changed since
        it was read."""
        body = to_document(new, self._version)
        body["tenantId"] = owner.tenant_id
        if stored.erased_at is not None:
            body["erasedAt"] = stored.erased_at  # batches accepted before the erasure can still arrive
        signals = Replace(body, stored.document.etag) if stored.document else Create(body)
        try:
            changed = [_written(before, after.to_document(owner.tenant_id)) for before, after in lists]
            await self._documents.write(USER_ACTIVITY, owner.user_key, [Create(marker), signals, *changed])
        except WriteRejected:
            known = await self.marker(owner.user_key, marker["id"])
            if known is None:
                raise Crossed from None
            return known.body
        return None


def _written(before: StoredList, body: Json) -> Create | Replace:
    return Replace(body, before.document.etag) if before.document else Create(body)
