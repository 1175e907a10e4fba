"""Erases a user: deletes what is stored about them, and makes consumers drop their messages that are still on the
bus."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from events.dead_letters import purge_dead_letters_of
from events.erasures import KEEP_SECONDS, note_erasure
from shared.adapters.bus.port import Bus
from shared.adapters.documents.port import (
    MAX_OPERATIONS,
    USER_ACTIVITY,
    Create,
    Delete,
    DocumentStore,
    Failure,
    Replace,
    StoreUnavailable,
    WriteRejected,
    query_all,
)
from shared.adapters.retry import retry
from shared.domain.formats import is_number
from shared.domain.user_lists import CAPS, document_id
from shared.domain.user_signals import SIGNALS_ID

ATTEMPTS = 50
"""How often an erasure retries when batches of the same user are folded meanwhile."""


@dataclass(frozen=True, slots=True)
class Erased:
    """Result of an erasure. Everything accepted until `at` (seconds since the epoch) is or will be dropped."""

    at: float
    signals: int
    lists: int
    markers: int
    dead_letters: int


async def erase(
    documents: DocumentStore, bus: Bus, clock: Callable[[], float], tenant_id: str, user_key: str
) -> Erased:
    """Erase a user. A tombstone replaces the signals; because of it both subscriptions drop what was accepted before.
    Lists, markers and dead letters are deleted. Events accepted later count again.

    The tombstone is written first, so that no fold writes again and an interrupted erasure leaves nothing behind.
    Raises `StoreUnavailable` or `BusUnavailable`; the call can be repeated then.
    """
    at, had_signals, lists = await _write_tombstone(documents, clock, tenant_id, user_key)
    await note_erasure(documents, tenant_id, user_key, at)
    markers = await _delete_markers(documents, user_key, at)
    letters = await purge_dead_letters_of(bus, user_key, at)
    return Erased(at, int(had_signals), lists, markers, letters)


class _Crossed(Exception):
    """A batch was folded in between."""


async def _write_tombstone(
    documents: DocumentStore, clock: Callable[[], float], tenant_id: str, user_key: str
) -> tuple[float, bool, int]:
    """Replace the signals by a tombstone and delete the lists in the same batch, so that no reader sees a half state.
    Return the time of the erasure, whether there were signals, and how many lists.

    The time is taken after the signals were read, and the write is refused if they changed since. So everything deleted
    was accepted before that time, and no later event is lost.
    """

    async def once() -> tuple[float, bool, int]:
        stored = await documents.read(USER_ACTIVITY, user_key, SIGNALS_ID, latest=True)
        lists = [
            document
            for name in CAPS
            if (document := await documents.read(USER_ACTIVITY, user_key, document_id(name), latest=True)) is not None
        ]
        before: Any = stored.body.get("erasedAt") if stored else None
        at = max(clock(), float(before) if is_number(before) else 0.0)
        tombstone = {"id": SIGNALS_ID, "kind": "erased", "tenantId": tenant_id, "erasedAt": at, "ttl": KEEP_SECONDS}
        operation = Replace(tombstone, stored.etag) if stored else Create(tombstone)
        try:
            await documents.write(USER_ACTIVITY, user_key, [operation, *[Delete(each.id) for each in lists]])
        except WriteRejected as refused:
            raise _Crossed from refused
        return at, stored is not None and stored.body.get("kind") != "erased", len(lists)

    try:
        return await retry(once, (_Crossed,), attempts=ATTEMPTS)
    except _Crossed as crossed:
        raise StoreUnavailable("the user's signals change faster than they can be erased", 1.0) from crossed


def _is_later(accepted_at: Any, erased_at: float) -> bool:
    """Tell whether a marker is of a batch accepted after the erasure. A marker without a time is deleted too."""
    return is_number(accepted_at) and accepted_at > erased_at


async def _delete_markers(documents: DocumentStore, user_key: str, erased_at: float) -> int:
    """Delete the markers of batches accepted until `erased_at`. Later ones are still needed."""
    deleted = 0
    while True:
        found = await query_all(documents, USER_ACTIVITY, user_key)
        ids = [
            document.id
            for document in found
            if document.id != SIGNALS_ID and not _is_later(document.body.get("acceptedAt"), erased_at)
        ][:MAX_OPERATIONS]
        if not ids:
            return deleted
        try:
            await documents.write(USER_ACTIVITY, user_key, [Delete(id) for id in ids])
            deleted += len(ids)
        except WriteRejected as refused:
            # One of them expired between the query and the delete: query again.
            if set(refused.failures.values()) != {Failure.NOT_FOUND}:
                raise
