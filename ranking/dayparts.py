"""Time of day: how much more (or less) of a video's long views fall in this part of the day than of the tenant's.

Counted from the archive by the nightly build that makes the co-watch table, and kept in the same file, so nothing is
added to the statistics that every event writes. Parts are of UTC days: a tenant's viewers mostly live in few time
zones, and where they do not, shares are even and the feature says nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ranking.columns import VideoColumns

PARTS = 6
"""Parts of a day, of 4 hours each; 0 begins at midnight UTC."""
VIDEO_PRIOR, CATEGORY_PRIOR, TENANT_PRIOR = 20.0, 100.0, 10.0
"""Long views that what is known without it weighs against a video, a category, and (per part) the tenant."""


def part_of(now: float) -> int:
    """The part of the day that a time (seconds since the epoch) falls in."""
    return int(now % 86_400.0 // (86_400.0 / PARTS))


def count(known: NDArray[np.uint64], keys: NDArray[np.uint64], times: NDArray[np.float64]) -> NDArray[np.uint32]:
    """Long views of each known video (keys ascending) in each part of the day, (n, `PARTS`); in any order."""
    counts = np.zeros(len(known) * PARTS, np.int64)
    if len(known) and len(keys):
        at = np.minimum(np.searchsorted(known, keys), len(known) - 1)
        hit = known[at] == keys
        parts = (times[hit] % 86_400.0 // (86_400.0 / PARTS)).astype(np.int64)
        counts = np.bincount(at[hit] * PARTS + parts, minlength=len(counts))
    return counts.astype(np.uint32).reshape(-1, PARTS)


def lift(columns: VideoColumns, counts: NDArray[np.float64]) -> NDArray[np.float32]:
    """(rows, `PARTS`): log(smoothed share of a row's long views in the part ÷ the tenant's share), from the rows'
    counts; backed off video → category → tenant as the rates are. 0 for a video and category never watched."""
    total = counts.sum()
    tenant = (counts.sum(axis=0) + TENANT_PRIOR) / (total + TENANT_PRIOR * PARTS)
    size = len(columns.categories)
    category = np.where(columns.category < 0, size, columns.category)
    by_category = np.stack([np.bincount(category, counts[:, part], size + 1) for part in range(PARTS)], axis=1)
    by_category[size] = 0.0  # no category is no company
    shares = (by_category + CATEGORY_PRIOR * tenant) / (by_category.sum(axis=1, keepdims=True) + CATEGORY_PRIOR)
    own = (counts + VIDEO_PRIOR * shares[category]) / (counts.sum(axis=1, keepdims=True) + VIDEO_PRIOR)
    values: NDArray[np.float32] = np.log(own / tenant).astype(np.float32)
    # What rounding leaves of nothing.
    values[(counts.sum(axis=1) == 0) & (by_category.sum(axis=1)[category] == 0)] = 0.0
    return values
