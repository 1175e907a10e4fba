"""The fallback: the popular feed, served when nothing about a user can or may be used.

The order is computed once per tenant and kind of viewer and cached for seconds, like its first pages
(`feed/ready_pages.py`). So the kill switch reduces load, and an overloaded process has a page ready.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from weakref import ref

import numpy as np

from feed.catalog import Catalog
from feed.editorial import Steering
from feed.filters import Viewer, apply_filters
from feed.orders import first_of, order_of
from feed.subsets import BaseSet
from ranking.model import LinearModel
from ranking.rank import Ordering, Slate, page_of, popularity_order
from ranking.user_features import RankingOptions
from shared.domain.feeds import POPULAR, NamedFeed
from shared.domain.tenant_cache import TenantCache

KEEP_SECONDS = 10
ORDERS_BYTES = 128_000_000
"""Memory limit for orders, of all tenants together."""
_NOTHING = np.zeros(0, np.uint32)
_NO_ROWS = np.zeros(0, np.int64)


@dataclass(slots=True)
class _Kept:
    """An order, and what it was computed from."""

    version: Any
    steering: Steering
    model: LinearModel | None
    feed: NamedFeed | None
    base: BaseSet | None
    ordering: Ordering


class Fallback:
    """Orders by catalog, feed and kind of viewer (maturity limit, country, language, age band, platform, rules).

    `model` is the tenant's popularity model, None for the shipped one; `feed` is the named feed, None for home. A
    request's filters only select rows of a cached order. They are never part of its key.
    """

    def __init__(self) -> None:
        self.orders = TenantCache[Any, _Kept](ORDERS_BYTES)

    def page(
        self,
        catalog: Catalog,
        viewer: Viewer,
        context: RankingOptions,
        steering: Steering,
        model: LinearModel | None = None,
        feed: NamedFeed | None = None,
    ) -> Slate:
        """Return the next page of the cached order, without videos that this walk has served. If the user's signals are
        known (a new user), videos that the user dismissed are left out too."""
        kept = self._kept(catalog, viewer, context, steering, model, feed)
        dismissed = viewer.signals.dismissed.keys if viewer.signals else _NOTHING
        unwanted = np.concatenate([viewer.served, dismissed])
        keep = catalog.columns.without(unwanted) if len(unwanted) else None
        if viewer.wanted is not None:
            keep = viewer.wanted if keep is None else keep & viewer.wanted
        if feed is not None and feed.fallback != POPULAR:
            return first_of(kept.ordering, context.limit, keep)
        return page_of(catalog.columns, kept.ordering, context, keep)

    def _kept(
        self,
        catalog: Catalog,
        viewer: Viewer,
        context: RankingOptions,
        steering: Steering,
        model: LinearModel | None,
        feed: NamedFeed | None,
    ) -> _Kept:
        """Return the order of all candidates for this kind of viewer."""
        kind = (feed and feed.id, viewer.maturity, viewer.country, context.language, context.age_band, context.platform)
        moment, on_air_since = int(viewer.now // KEEP_SECONDS), catalog.columns.airing(viewer.now)[0]
        version = (ref(catalog), catalog.columns.version, catalog.stats.version, moment, on_air_since)
        kept = self.orders.get(catalog.tenant_id, kind)
        same = kept is not None and kept.steering is steering and kept.model is model and kept.feed is feed
        if kept is not None and same and kept.base is viewer.base and kept.version == version:
            return kept
        anyone = replace(viewer, served=_NOTHING, signals=None, wanted=None)
        plain = replace(context, served=())
        candidates = apply_filters(catalog.columns, anyone).kept
        if feed is not None and feed.fallback != POPULAR:
            ordering = order_of(feed, catalog.columns, candidates, viewer.base.sequence if viewer.base else _NO_ROWS)
        else:
            ordering = popularity_order(catalog.columns, catalog.stats, candidates, plain, model, steering.adjustment)
        kept = _Kept(version, steering, model, feed, viewer.base, ordering)
        size = ordering.rows.nbytes + ordering.scores.nbytes
        size += steering.size_bytes()  # kept alive here even if the rulebook drops it
        self.orders.put(catalog.tenant_id, kind, kept, size)
        return kept
