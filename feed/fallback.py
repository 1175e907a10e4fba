"""The fallback: the popular feed, served when nothing about a user may or can be used.

The order is computed once per tenant and kind of viewer and kept for seconds, as its first pages are
(`feed/ready_pages.py`): pulling the kill switch sheds load, and an overloaded process has a page ready.
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
"""Memory for orders, of all tenants together."""
_NOTHING = np.zeros(0, np.uint32)
_NO_ROWS = np.zeros(0, np.int64)


@dataclass(slots=True)
class _Kept:
    """An order, and what it was made from."""

    version: Any
    steering: Steering
    model: LinearModel | None
    feed: NamedFeed | None
    base: BaseSet | None
    ordering: Ordering


class Fallback:
    """Orders by catalog, feed and kind of viewer (maturity limit, country, language, what the rules say).

    `model` is the tenant's popularity, None for the shipped one; `feed` the named feed, None for home. What a call asks
    for by filters is looked up in the kept order, and never part of what it is kept by.
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
        """The next page of the kept order, without what this walk was served and, where the user's signals are at
        hand (a new user), what they asked not to see.
        """
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
        """Every candidate of this kind of viewer, the first of the feed's order first."""
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
        size += steering.size_bytes()  # which the rulebook may let go of first
        self.orders.put(catalog.tenant_id, kind, kept, size)
        return kept
