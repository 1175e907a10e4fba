"""Reads and writes a user's signals: they change in one atomic batch with the marker of what changed them.

A marker is created, so it is there once; the signals are replaced only as they were read. A refused write is not taken
at its word, because a client of the store sends a write again after a cut: whether the marker is there decides.
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
    """A user's document as it was read, None when there is none, and when the user was erased, in seconds."""

    document: Document | None
    erased_at: float | None


@dataclass(frozen=True, slots=True)
class StoredList:
    """One of a user's lists as it was read, None and empty when there is none."""

    document: Document | None
    list: UserList


class SignalsWriter:
    """`clock` gives seconds since the epoch; `version` is the one that signals are written in."""

    def __init__(
        self, documents: DocumentStore, telemetry: Telemetry, clock: Callable[[], float], version: int = 2
    ) -> None:
        self._documents = documents
        self._telemetry = telemetry
        self._clock = clock
        self._version = version

    async def read(self, user_key: str) -> StoredSignals:
        """The newest document there is."""
        stored = await self._documents.read(USER_ACTIVITY, user_key, SIGNALS_ID, latest=True)
        return StoredSignals(stored, stored.body.get("erasedAt") if stored else None)

    async def marker(self, user_key: str, id: str) -> Document | None:
        """A marker beside a user's signals."""
        return await self._documents.read(USER_ACTIVITY, user_key, id, latest=True)

    def signals(self, stored: StoredSignals, now: float) -> Signals | None:
        """The user's signals. Where they are lost or erased, what was served until then counts no more in statistics:
        nobody can tell what of it has been counted. Raises `StoreUnavailable` for a version that only a later release
        knows: this one must not overwrite it."""
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
        """Some of the user's lists. One from before the user was erased is empty. Raises `StoreUnavailable` for a
        version that only a later release knows."""
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
        """Replace the signals that were read, and with them `lists` (as read, and what they become), and create the
        marker. None when it was written; the marker that was there before otherwise. Raises `Crossed` when one of them
        is no longer what was read."""
        body = to_document(new, self._version)
        body["tenantId"] = owner.tenant_id
        if stored.erased_at is not None:
            body["erasedAt"] = stored.erased_at  # batches accepted before it may still be on their way
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
