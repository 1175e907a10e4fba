"""Filters: one table of functions that decide which videos can be ranked for a viewer, over whole columns.

Nothing later can bring a removed video back. A filter returns a mask over the catalog's rows: True where it keeps the
row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from feed.subsets import BaseSet, Mask
from ranking.columns import VideoColumns
from shared.domain.age_bands import AgeBand
from shared.domain.fingerprint import SEEN_BITS
from shared.domain.records import Tenant, policy_rank
from shared.domain.user_signals import Signals


@dataclass(slots=True)  # not frozen: a frozen one takes four times as long to create
class Viewer:
    """Input of the filters: the time, the strongest allowed maturity rank, the country, and the videos served and seen.

    `signals` is None if nothing about the user can be used (the fallback). `excluded` and `outside_limit` are the rows
    that the tenant's rules remove; None if they remove none. `base` has the rows of the named feed, `wanted` those that
    match the request's filters; None means all rows.
    """

    now: float
    maturity: int
    country: str | None
    served: NDArray[np.uint32]
    signals: Signals | None = None
    excluded: Mask | None = None
    outside_limit: Mask | None = None
    base: BaseSet | None = None
    wanted: Mask | None = None


def maturity_limit(tenant: Tenant, age_band: AgeBand | None) -> int:
    """Return the strongest maturity rank that this viewer can see. An age band can only lower the tenant's policy: of
    all policies for overlapping bands, the strictest applies."""
    limit = policy_rank(tenant.maturity_policy)
    if age_band is not None:
        for band, rank in tenant.age_limits:
            if rank < limit and band.overlaps(age_band):
                limit = rank
    return limit


def _active(columns: VideoColumns, viewer: Viewer) -> Mask:
    return columns.active


def _scheduled(columns: VideoColumns, viewer: Viewer) -> Mask:
    return columns.on_air(viewer.now)


def _maturity(columns: VideoColumns, viewer: Viewer) -> Mask:
    return columns.maturity <= viewer.maturity


def _audience(columns: VideoColumns, viewer: Viewer) -> Mask | None:
    return columns.allowed_in(viewer.country) if columns.country_sets else None


def _rule_excluded(columns: VideoColumns, viewer: Viewer) -> Mask | None:
    return None if viewer.excluded is None else ~viewer.excluded


def _rule_limited(columns: VideoColumns, viewer: Viewer) -> Mask | None:
    return None if viewer.outside_limit is None else ~viewer.outside_limit


def _outside_feed(columns: VideoColumns, viewer: Viewer) -> Mask | None:
    return None if viewer.base is None else viewer.base.mask


def _filtered_out(columns: VideoColumns, viewer: Viewer) -> Mask | None:
    return viewer.wanted


def _served(columns: VideoColumns, viewer: Viewer) -> Mask | None:
    return columns.without(viewer.served) if len(viewer.served) else None


def _seen(columns: VideoColumns, viewer: Viewer) -> Mask | None:
    if viewer.signals is None or not len(viewer.signals.seen.keys):
        return None
    return columns.without(viewer.signals.seen.keys, bits=SEEN_BITS)


def _not_interested(columns: VideoColumns, viewer: Viewer) -> Mask | None:
    if viewer.signals is None or not len(viewer.signals.dismissed.keys):
        return None
    return columns.without(viewer.signals.dismissed.keys)


Filter = Callable[[VideoColumns, Viewer], "Mask | None"]

FILTERS: dict[str, tuple[str, Filter]] = {
    "inactive": ("It was taken down or is not active.", _active),
    "not_scheduled": ("It is not published yet, or has expired.", _scheduled),
    "maturity": ("Its rating is above what this viewer may see, or unknown.", _maturity),
    "audience": ("It is not for this country, or the country is not known.", _audience),
    "rule_excluded": ("A rule excludes it.", _rule_excluded),
    "rule_limited": ("A rule limits the feed to other videos.", _rule_limited),
    "outside_feed": ("It is not in the base set of the named feed.", _outside_feed),
    "filtered_out": ("The call asks for other videos, by its filters.", _filtered_out),
    "served": ("It was on an earlier page of this walk.", _served),
    "seen": ("The user has seen it.", _seen),
    "not_interested": ("The user asked not to see it.", _not_interested),
}
"""Reason of removal → its meaning, and the filter (it returns None if it removes nothing). The first filter that
removes a row gives the reason."""


@dataclass(frozen=True, slots=True)
class Filtered:
    """The kept rows, and the masks they result from."""

    kept: NDArray[np.int64]
    masks: dict[str, Mask]

    def reason(self, row: int) -> str | None:
        """Return why a row was removed: the first filter that removed it; None if it was kept."""
        return next((name for name, mask in self.masks.items() if not mask[row]), None)

    def removed(self) -> dict[str, int]:
        """Return how many rows each filter was the first to remove."""
        left: Mask | None = None
        counts = {}
        for name, mask in self.masks.items():
            before = len(mask) if left is None else int(left.sum())
            left = mask if left is None else left & mask
            counts[name] = before - int(left.sum())
        return counts


def apply_filters(columns: VideoColumns, viewer: Viewer) -> Filtered:
    """Apply every filter to the whole catalog."""
    masks: dict[str, Mask] = {}
    kept: Mask | None = None
    for name, (_, keeps) in FILTERS.items():
        mask = keeps(columns, viewer)
        if mask is not None:
            masks[name] = mask
            kept = mask if kept is None else kept & mask
    assert kept is not None
    return Filtered(np.flatnonzero(kept), masks)


def enforce_serving_policy(columns: VideoColumns, rows: NDArray[np.int64], viewer: Viewer) -> Mask:
    """Check a finished slate once more: True where a row can be served, whatever put it there."""
    allowed: Mask = columns.servable(rows, viewer.now, viewer.maturity)
    if columns.country_sets:
        allowed &= columns.allowed_in(viewer.country, rows)
    if viewer.base is not None:
        allowed &= viewer.base.mask[rows]
    if viewer.wanted is not None:
        allowed &= viewer.wanted[rows]
    return allowed if viewer.excluded is None else allowed & ~viewer.excluded[rows]
