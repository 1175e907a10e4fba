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
from ranking.model import LinearModel
from ranking.rank import Ordering, Slate, page_of, popularity_order
from ranking.user_features import RankingOptions
from shared.domain.tenant_cache import TenantCache

KEEP_SECONDS = 10
ORDERS_BYTES = 128_000_000
"""Memory for orders, of all tenants together."""
_NOTHING = np.zeros(0, np.uint32)


@dataclass(slots=True)
class _Kept:
    """An order, and what it was made from."""

    version: Any
    steering: Steering
    model: LinearModel | None
    ordering: Ordering


class Fallback:
    """Orders by catalog and kind of viewer (maturity limit, country, language, what the rules say).

    `model` is the tenant's popularity, None for the shipped one.
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
    ) -> Slate:
        """The next page of the kept order, without what this walk was served and, where the user's signals are at
        hand (a new user), what they asked not to see.
        """
        kept = self._kept(catalog, viewer, context, steering, model)
        dismissed = viewer.signals.dismissed.keys if viewer.signals else _NOTHING
        unwanted = np.concatenate([viewer.served, dismissed])
        keep = catalog.columns.without(unwanted) if len(unwanted) else None
        return page_of(catalog.columns, kept.ordering, context, keep)

    def _kept(
        self,
        catalog: Catalog,
        viewer: Viewer,
        context: RankingOptions,
        steering: Steering,
        model: LinearModel | None,
    ) -> _Kept:
        """Every candidate of this kind of viewer from most to least popular."""
        kind = (viewer.maturity, viewer.country, context.language, context.age_band, context.platform)
        moment, on_air_since = int(viewer.now // KEEP_SECONDS), catalog.columns.airing(viewer.now)[0]
        version = (ref(catalog), catalog.columns.version, catalog.stats.version, moment, on_air_since)
        kept = self.orders.get(catalog.tenant_id, kind)
        if kept is not None and kept.version == version and kept.steering is steering and kept.model is model:
            return kept
        anyone = replace(viewer, served=_NOTHING, signals=None)
        plain = replace(context, served=())
        candidates = apply_filters(catalog.columns, anyone).kept
        ordering = popularity_order(catalog.columns, catalog.stats, candidates, plain, model, steering.adjustment)
        kept = _Kept(version, steering, model, ordering)
        size = ordering.rows.nbytes + ordering.scores.nbytes
        size += steering.size_bytes()  # which the rulebook may let go of first
        self.orders.put(catalog.tenant_id, kind, kept, size)
        return kept
