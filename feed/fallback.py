"""The plain popular feed: what everybody gets when nothing about a user may or can be used.

The order is computed once per tenant and kind of viewer and kept for seconds, so pulling the kill switch sheds load.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import Any

import numpy as np

from feed.catalog import Catalog
from feed.filters import Viewer, apply_filters
from feed.rules import Steering
from ranking.rank import Ordering, Slate, page_of, popularity_order
from ranking.request import Context

KEEP_SECONDS = 10
MAX_KEPT = 512
_NOTHING = np.zeros(0, np.uint32)


class Fallback:
    """Orders by catalog and kind of viewer (maturity limit, country, language, what the rules say)."""

    def __init__(self) -> None:
        self._orders: OrderedDict[Any, tuple[Any, Ordering, Steering]] = OrderedDict()

    def page(self, catalog: Catalog, viewer: Viewer, context: Context, steering: Steering) -> Slate:
        """The next page of the kept order, without what this walk was served and, where the user's signals are at
        hand (a new user), what they asked not to see.
        """
        ordering = self.ordering(catalog, viewer, context, steering)
        dismissed = viewer.signals.dismissed.keys if viewer.signals else _NOTHING
        unwanted = np.concatenate([viewer.served, dismissed])
        keep = ~catalog.columns.mask(unwanted) if len(unwanted) else None
        return page_of(catalog.columns, ordering, context, keep)

    def ordering(self, catalog: Catalog, viewer: Viewer, context: Context, steering: Steering) -> Ordering:
        """Every candidate of this kind of viewer from most to least popular."""
        kind = (id(catalog), viewer.maturity, viewer.country, context.language, context.age_band, context.platform)
        moment = int(viewer.now // KEEP_SECONDS)
        version = (catalog, catalog.columns.version, id(catalog.stats.table), moment)
        kept = self._orders.get(kind)
        if kept is not None and kept[0] == version and kept[2] is steering:
            return kept[1]
        anyone = replace(viewer, served=_NOTHING, signals=None)
        plain = replace(context, served=())
        candidates = apply_filters(catalog.columns, anyone).kept
        ordering = popularity_order(catalog.columns, catalog.stats, candidates, plain, adjustment=steering.adjustment)
        self._orders[kind] = (version, ordering, steering)
        self._orders.move_to_end(kind)
        if len(self._orders) > MAX_KEPT:
            self._orders.popitem(last=False)
        return ordering
