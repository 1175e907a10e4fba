"""Stores the share of a tenant's users that the sample holds: one small document beside the tenant's statistics.

All shards of a tenant use the same share, so a user is in the sample with every event. The first write chooses it from
the tenant's usual number of events. The nightly learning changes it when the sample has become far too large or too
small.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from events.sample import AIM_EVENTS_A_DAY, MAX_HALVINGS, halvings_for
from shared.adapters.documents.port import (
    VIDEO_STATS,
    Create,
    Document,
    DocumentStore,
    Operation,
    Replace,
    WriteRejected,
)
from shared.domain.clocks import elapsed_seconds

SHARE_ID = "learning-sample"
KNOWN_SECONDS = 600.0
"""How long an instance uses the share it has read."""
TOO_MANY, TOO_FEW = 2.0, 0.25
"""The share changes when a day's sample has more, or less, than this many times its target. That is rare."""


@dataclass(slots=True)
class _Known:
    halvings: int
    until: float


class SampleShares:
    """The shares of all tenants. `elapsed` gives seconds and never goes back."""

    def __init__(self, documents: DocumentStore, elapsed: Callable[[], float] = elapsed_seconds) -> None:
        self._documents = documents
        self._elapsed = elapsed
        self._known: dict[str, _Known] = {}

    async def halvings(self, tenant_id: str, usual_events_a_day: Callable[[], float]) -> int:
        """Return how often the tenant's users are halved; choose the share if the tenant has none yet. Raises
        `StoreUnavailable`."""
        known = self._known.get(tenant_id)
        if known is None or self._elapsed() >= known.until:
            known = _Known(await self._read(tenant_id, usual_events_a_day), self._elapsed() + KNOWN_SECONDS)
            self._known[tenant_id] = known
        return known.halvings

    async def _read(self, tenant_id: str, usual_events_a_day: Callable[[], float]) -> int:
        stored = await self._documents.read(VIDEO_STATS, tenant_id, SHARE_ID)
        if stored is not None:
            return halvings_of(stored)
        halvings = halvings_for(usual_events_a_day())
        try:
            await self._documents.write(VIDEO_STATS, tenant_id, [Create(_body(halvings))])
        except WriteRejected:  # another shard chose it first
            stored = await self._documents.read(VIDEO_STATS, tenant_id, SHARE_ID, latest=True)
            return halvings if stored is None else halvings_of(stored)
        return halvings


def halvings_of(stored: Document) -> int:
    """Return the stored share. If it cannot be read, return the smallest sample, which is never too large."""
    found: Any = stored.body.get("halvings")
    return found if isinstance(found, int) and 0 <= found <= MAX_HALVINGS else MAX_HALVINGS


def adjusted(stored: Document, sampled_a_day: float) -> Operation | None:
    """Return the document to write after a day with this many sampled events (without the holdout); None for no
    change."""
    halvings = halvings_of(stored)
    if sampled_a_day > TOO_MANY * AIM_EVENTS_A_DAY:
        wanted = halvings + halvings_for(sampled_a_day)
    elif sampled_a_day < TOO_FEW * AIM_EVENTS_A_DAY:
        wanted = halvings - 1
    else:
        return None
    wanted = min(MAX_HALVINGS, max(0, wanted))
    return None if wanted == halvings else Replace(_body(wanted), stored.etag)


def _body(halvings: int) -> dict[str, Any]:
    return {"id": SHARE_ID, "kind": SHARE_ID, "halvings": halvings}
