"""Time of day: log-lift of a video's share of long views in a part of the day over the tenant's share.

The nightly build of the co-watch table counts them from the archive and stores them in the same file, so the statistics
that every event updates stay as they are. Parts are of UTC days. Most tenants have viewers in few time zones; for
others the shares are even and the feature is near 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ranking.columns import VideoColumns

DAYPARTS = 6
"""Parts of a day, 4 hours each; part 0 begins at midnight UTC."""
VIDEO_PRIOR, CATEGORY_PRIOR, TENANT_PRIOR = 20.0, 100.0, 10.0
"""Long views that the prior counts for beside a video's, a category's, and (per part) the tenant's own."""


def daypart_of(now: float) -> int:
    """Return the part of the day of a time in seconds since the epoch."""
    return int(now % 86_400.0 // (86_400.0 / DAYPARTS))


def count_by_daypart(
    known: NDArray[np.uint64], keys: NDArray[np.uint64], times: NDArray[np.float64]
) -> NDArray[np.uint32]:
    """Count the long views of each known video (ascending keys) per part of the day, (n, `DAYPARTS`)."""
    counts = np.zeros(len(known) * DAYPARTS, np.int64)
    if len(known) and len(keys):
        at = np.minimum(np.searchsorted(known, keys), len(known) - 1)
        hit = known[at] == keys
        parts = (times[hit] % 86_400.0 // (86_400.0 / DAYPARTS)).astype(np.int64)
        counts = np.bincount(at[hit] * DAYPARTS + parts, minlength=len(counts))
    return counts.astype(np.uint32).reshape(-1, DAYPARTS)


def lift_by_daypart(columns: VideoColumns, counts: NDArray[np.float64]) -> NDArray[np.float32]:
    """Compute log(smoothed share of a row's long views in the part ÷ the tenant's share), (rows, `DAYPARTS`).

    `counts`: long views per row and part. Shares back off video → category → tenant, like the rates of `features.py`. 0
    for a video that nobody watched in a category that nobody watched.
    """
    total = counts.sum()
    tenant = (counts.sum(axis=0) + TENANT_PRIOR) / (total + TENANT_PRIOR * DAYPARTS)
    size = len(columns.categories)
    category = np.where(columns.category < 0, size, columns.category)
    by_category = np.stack([np.bincount(category, counts[:, part], size + 1) for part in range(DAYPARTS)], axis=1)
    by_category[size] = 0.0  # videos without a category share no counts
    shares = (by_category + CATEGORY_PRIOR * tenant) / (by_category.sum(axis=1, keepdims=True) + CATEGORY_PRIOR)
    own = (counts + VIDEO_PRIOR * shares[category]) / (counts.sum(axis=1, keepdims=True) + VIDEO_PRIOR)
    values: NDArray[np.float32] = np.log(own / tenant).astype(np.float32)
    # Without any counts only rounding errors are left.
    values[(counts.sum(axis=1) == 0) & (by_category.sum(axis=1)[category] == 0)] = 0.0
    return values
