"""Static features: everything about a catalog that does not depend on the user, computed once per minute.

`CatalogStats.static` computes and caches them; `features.py` has the formulas.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ranking.columns import VideoColumns
from ranking.cowatch import CoWatch
from ranking.next_watch import NextWatch

Column = NDArray[np.float32]
"""One feature's values, one per row."""


@dataclass(slots=True, eq=False)
class Shares:
    """The tenant's base rates per code of a vocabulary; a user's own rates are compared with them.

    `demand`: share of long views (sums to one over categories); `skip_rate`: skips per view; `watch`: mean watched
    fraction of a view. All are strictly positive. The last element, for rows without a code, is 1.
    """

    demand: NDArray[np.float64]
    skip_rate: NDArray[np.float64]
    watch: NDArray[np.float64]


@dataclass(slots=True, eq=False)
class StaticFeatures:
    """The static features of a catalog as of `now`, and the figures from which they and the user features are computed.

    `decayed`: (n, 9) counters as of `now`. `shown`: how often each video was tried: impressions, or views if an app
    reports more views than impressions. `rates`: posterior mean and standard deviation of each video's long views per
    try. `demand`: see `features.demand_levels`. `values`: float32 column over all rows by feature name. `means`: cache
    of `mean`.
    """

    columns: VideoColumns
    now: float
    decayed: NDArray[np.float64]
    shown: NDArray[np.float64]
    rates: tuple[NDArray[np.float64], NDArray[np.float64]]
    categories: Shares
    tags: Shares
    creators: Shares
    cowatch: CoWatch | None
    next_watch: NextWatch | None = None
    demand: tuple[Column, ...] | None = None
    values: dict[str, Column] = field(default_factory=dict)
    means: dict[str, float] = field(default_factory=dict)

    def mean(self, name: str) -> float:
        """Return the mean of a static feature over the active videos; 0 if there are none."""
        cached = self.means.get(name)
        if cached is None:
            values = self.values[name][self.columns.active]
            cached = self.means[name] = float(values.mean(dtype=np.float64)) if len(values) else 0.0
        return cached
