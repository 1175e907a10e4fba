"""Stores when each new tenant's app first got a feed and first sent events.

A request costs a look-up in memory, and a mark there if the tenant has no such time yet. Each instance writes its marks
at its refresh of the tenants; the earliest time is kept. Marks that are lost with a process are set again by the next
request.
"""

from __future__ import annotations

from math import inf

from shared.adapters.documents.port import TENANTS, DocumentStore, Replace, StoreError, WriteRejected
from shared.adapters.tenant_directory import ONBOARDING_ID, TenantDirectory
from shared.domain.formats import is_number
from shared.observability.metrics import Telemetry

FEED, EVENT = "firstFeedAt", "firstEventAt"
"""Fields of a tenant's onboarding document."""
APP_SCOPE = "sdk"


class Milestones:
    """Marks of one process: at most two for each tenant without these times."""

    def __init__(self, documents: DocumentStore, tenants: TenantDirectory, telemetry: Telemetry) -> None:
        self._documents = documents
        self._tenants = tenants
        self._telemetry = telemetry
        self._seen: dict[tuple[str, str], float] = {}

    def saw(self, what: str, tenant_id: str, scopes: frozenset[str], now: float) -> None:
        """Mark that an app's request was served (`now` in seconds since the epoch), if it is the tenant's first."""
        if what in self._tenants.awaited(tenant_id) and APP_SCOPE in scopes:
            self._seen.setdefault((tenant_id, what), now)

    async def flush(self) -> None:
        """Write the marks. Marks that cannot be written stay for the next call."""
        for (tenant_id, what), at in list(self._seen.items()):
            try:
                await self._write(tenant_id, what, at)
            except WriteRejected:
                continue  # another instance wrote: the next call reads its time
            except StoreError:
                self._telemetry.count("store_failures", "onboarding")
                return
            self._seen.pop((tenant_id, what), None)

    async def _write(self, tenant_id: str, what: str, at: float) -> None:
        stored = await self._documents.read(TENANTS, tenant_id, ONBOARDING_ID, latest=True)
        if stored is None:
            return
        before = stored.body.get(what)
        known = float(before or 0) if is_number(before) else inf
        if at < known:
            await self._documents.write(TENANTS, tenant_id, [Replace({**stored.body, what: at}, stored.etag)])
