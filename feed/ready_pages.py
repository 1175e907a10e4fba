"""Ready pages: the first page of the popular feed, built once for all users who get the same one.

A page is valid only while everything it was built from is unchanged: the tenant's configuration and rules, its
popularity model, its videos and statistics, the videos on air, and the ten seconds for which orders and rules are
cached. Everything that affects the serving policy invalidates the page, so the policy need not be checked again. A page
has nothing about a user: receipt, cursor and ETag are made for each request.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from weakref import ReferenceType, ref

import numpy as np
from numpy.typing import NDArray

from feed.catalog import Catalog
from feed.editorial import Steering
from feed.fallback import KEEP_SECONDS
from feed.page import Rendered, digests_of, items_json
from feed.query import NO_HINTS, Hints
from feed.session import FeedSession
from ranking.model import LinearModel
from ranking.rank import Slate
from shared.domain.feeds import NamedFeed
from shared.domain.records import Tenant
from shared.domain.rules import Editorial
from shared.domain.tenant_cache import TenantCache

READY_BYTES = 64_000_000
"""Memory limit for ready pages, of all tenants together; about 15 kB each."""
PAGE_BYTES, VIDEO_BYTES = 2_000, 32
"""Memory of a page, and of each of its videos, beside the JSON and the digests."""

Key = tuple[str, Hints | None, int, bool, tuple[str, ...]]
"""The feed, the reduced hints, the number of videos, whether the diversifier is on, and the included members."""
Make = Callable[[], tuple[Slate, bool, Steering]]
"""Builds a page: its videos, whether more can follow, and the compiled rules."""


@dataclass(slots=True, eq=False)
class ReadyPage:
    """A first page with its JSON. It can be served while `since` ≤ now < `until`, in seconds since the epoch.

    `pinned`: rules pin videos. Those are not pinned for users who have seen them.
    """

    slate: Slate
    more: bool
    pinned: bool
    rendered: Rendered
    fingerprints: NDArray[np.uint32]
    since: float
    until: float
    tenant: Tenant
    feed: NamedFeed | None
    editorial: Editorial
    popularity: LinearModel
    catalog: ReferenceType[Catalog]
    columns_version: int
    stats_version: tuple[int, int]

    def holds(self, session: FeedSession, editorial: Editorial, popularity: LinearModel, catalog: Catalog) -> bool:
        """Tell whether everything that the page was built from is unchanged."""
        tenant, feed, now = session.tenant, session.feed, session.now
        return (
            self.since <= now < self.until
            and self.columns_version == catalog.columns.version
            and self.tenant is tenant
            and self.feed is feed
            and self.editorial is editorial
            and self.popularity is popularity
            and self.catalog() is catalog
            and self.stats_version == catalog.stats.version
        )


class ReadyPages:
    """Ready pages by tenant and key."""

    def __init__(self) -> None:
        self.kept = TenantCache[Key, ReadyPage](READY_BYTES)

    def page(
        self,
        session: FeedSession,
        editorial: Editorial,
        popularity: LinearModel,
        catalog: Catalog,
        diverse: bool,
        make: Make,
    ) -> ReadyPage:
        """Return the page for the start of a walk, without anything about its user. `session` has reduced hints and no
        filters: values that callers can invent are never part of a key."""
        tenant = session.tenant
        hints = session.hints
        query = session.query
        key = (session.feed_id, None if hints is NO_HINTS else hints, query.limit, diverse, query.include)
        page = self.kept.get(tenant.id, key)
        if page is None or not page.holds(session, editorial, popularity, catalog):
            page = _made(session, editorial, popularity, catalog, *make())
            size = page.rendered.size_bytes() + PAGE_BYTES + VIDEO_BYTES * len(page.slate)
            self.kept.put(tenant.id, key, page, size)
        return page


def _made(
    session: FeedSession,
    editorial: Editorial,
    popularity: LinearModel,
    catalog: Catalog,
    slate: Slate,
    more: bool,
    steering: Steering,
) -> ReadyPage:
    columns, rows, now = catalog.columns, slate.rows, session.now
    items = items_json(catalog, rows, slate.scores, 0, session.query.include)
    began = now // KEEP_SECONDS * KEEP_SECONDS
    since, until = columns.airing(now)
    return ReadyPage(
        slate=slate,
        more=more,
        pinned=bool(steering.pins),
        rendered=Rendered(items, digests_of(catalog, rows)),
        fingerprints=columns.fingerprint[rows],
        since=max(since, began),
        until=min(until, began + KEEP_SECONDS),
        tenant=session.tenant,
        feed=session.feed,
        editorial=editorial,
        popularity=popularity,
        catalog=ref(catalog),
        columns_version=columns.version,
        stats_version=catalog.stats.version,
    )
