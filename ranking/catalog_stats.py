"""A tenant's stats on the rows of its catalog, and every feature that no user can change, kept for a minute."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ranking.columns import VideoColumns, Vocabulary
from ranking.cowatch import CoWatch, CoWatchTable
from ranking.stats import (
    DECAYED,
    DEMAND_7D,
    HALF_LIVES,
    IMPRESSIONS,
    SKIPS,
    VIEWS,
    WATCH_FRACTION,
    StatsTable,
)

if TYPE_CHECKING:
    from ranking.model import LinearModel

KEEP_SECONDS = 60
"""How long static features are kept. `now` is rounded down to it, so equal inputs give equal scores."""
_MODELS_KEPT = 16
_BASE_PRIOR = 50.0
"""Long views that the even share of a catalog weighs in a category's base rate."""

Column = NDArray[np.float32]


@dataclass(slots=True, eq=False)
class Shares:
    """A vocabulary's base rates in a tenant: per code, what a user's own rates are compared with.

    `demand`: share of long views (sums to one over categories); `skip_rate`: skips per view; `watch`: mean watched
    fraction of a view. All strictly positive; 1 in one more place, for what has no code.
    """

    demand: NDArray[np.float64]
    skip_rate: NDArray[np.float64]
    watch: NDArray[np.float64]


@dataclass(slots=True, eq=False)
class StaticFeatures:
    """Everything about a catalog that does not depend on the user, as of `now`.

    `values` maps each static feature to a float32 column over all rows; `decayed` is (n, 9) as of `now`. `shown`: how
    often each video was tried (impressions, or views where an app reports more of these); `rates`: the mean and the
    deviation of what is believed of each video's long views per try. `means` is filled as asked for.
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
    values: dict[str, Column]
    scores: dict[int, tuple[LinearModel, NDArray[np.float64]]]
    means: dict[str, float] = field(default_factory=dict)

    def mean(self, name: str) -> float:
        """The mean of a static feature over the active videos."""
        known = self.means.get(name)
        if known is None:
            values = self.values[name][self.columns.active]
            known = self.means[name] = float(values.mean(dtype=np.float64)) if len(values) else 0.0
        return known

    def score(self, model: LinearModel) -> NDArray[np.float64]:
        """The static part of a model's score for all rows: weight × value, added in the order of the model's terms."""
        known = self.scores.get(id(model))
        if known is not None and known[0] is model:
            return known[1]
        total = np.zeros(len(self.columns))
        for name, weight in model.static_terms:
            total += np.multiply(self.values[name], weight, dtype=np.float64)
        if len(self.scores) >= _MODELS_KEPT:
            self.scores.clear()
        self.scores[id(model)] = (model, total)
        return total


class CatalogStats:
    """One tenant's stats as its catalog's rows see them. `replace` the table whenever a newer one was read."""

    def __init__(self, columns: VideoColumns, table: StatsTable | None = None) -> None:
        self.columns = columns
        self.table = StatsTable() if table is None else table
        self._replaced = 0
        self.cowatch: CoWatch | None = None
        self._gathered: tuple[tuple[int, int, int], NDArray[np.float64]] | None = None
        self._static: tuple[tuple[int, int, int, int], StaticFeatures] | None = None

    @property
    def version(self) -> tuple[int, int]:
        """Which statistics these are: it changes with the table, and none comes twice."""
        return self.table.version, self._replaced

    def replace(self, table: StatsTable) -> None:
        """Use another table from now on."""
        self.table = table
        self._replaced += 1

    def use_cowatch(self, table: CoWatchTable | None) -> None:
        """Use another co-watch table from now on; None for none."""
        self.cowatch = CoWatch(self.columns, table) if table is not None and len(table.keys) else None
        self._replaced += 1

    def gathered(self) -> NDArray[np.float64]:
        """The table's decayed counters on the catalog's rows, (n, 9), as of the table's reference; zeros if absent."""
        version = (self.columns.version, self.table.version, self._replaced)
        if self._gathered is None or self._gathered[0] != version:
            self._gathered = (version, _gather(self.columns, self.table))
        return self._gathered[1]

    def static(self, now: float) -> StaticFeatures:
        """The static features as of `now`, rounded down to the minute; computed once per catalog, stats and time."""
        moment = int(now // KEEP_SECONDS)
        version = (self.columns.version, self.table.version, self._replaced, moment)
        if self._static is None or self._static[0] != version:
            self._static = (version, self._compute(float(moment * KEEP_SECONDS)))
        return self._static[1]

    def _compute(self, now: float) -> StaticFeatures:
        from ranking.exploration import posterior
        from ranking.features import static_values

        age = max(0.0, now - self.table.reference) if len(self.table) else 0.0
        half_lives = np.array([*HALF_LIVES, *([HALF_LIVES[-1]] * (DECAYED - len(HALF_LIVES)))])
        with np.errstate(under="ignore"):
            decayed = self.gathered() * np.exp2(-age / half_lives)
        columns = self.columns
        shown = np.maximum(decayed[:, IMPRESSIONS], decayed[:, VIEWS])
        long_rate = float(np.clip((decayed[:, DEMAND_7D].sum() + 1.0) / (shown.sum() + 4.0), 0.01, 0.99))
        categories = _shares(columns.category, columns.categories, decayed, columns.active)
        tags = _shares(columns.tags[:, : max(1, columns.tag_width)], columns.tag_names, decayed, columns.active)
        creators = _shares(columns.creator, columns.creators, decayed, columns.active)
        static = StaticFeatures(
            columns,
            now,
            decayed,
            shown,
            posterior(decayed[:, DEMAND_7D], shown, long_rate),
            categories,
            tags,
            creators,
            self.cowatch,
            {},
            {},
        )
        static.values = static_values(static)
        return static


def _gather(columns: VideoColumns, table: StatsTable) -> NDArray[np.float64]:
    found = np.zeros((len(columns), DECAYED))
    if len(table) and len(columns):
        order = np.argsort(table.keys)
        keys = table.keys[order]
        at = np.minimum(np.searchsorted(keys, columns.key), len(keys) - 1)
        hit = keys[at] == columns.key
        found[hit] = table.decayed[order[at[hit]]]
    return found


def _shares(
    codes: NDArray[np.int32], vocabulary: Vocabulary, decayed: NDArray[np.float64], active: NDArray[np.bool_]
) -> Shares:
    """Base rates per code; `codes` is (n,) or (n, 8) with -1 for none. Smoothed, so that none is zero."""
    size = len(vocabulary)
    flat, per_row = codes.reshape(-1), 1 if codes.ndim == 1 else codes.shape[1]
    index = np.where(flat < 0, size, flat)

    def per_code(amount: NDArray[Any]) -> NDArray[np.float64]:
        return np.bincount(index, np.repeat(amount, per_row), size + 1)[:size].astype(np.float64)

    demand, videos = decayed[:, DEMAND_7D], active.astype(np.float64)
    total, count = float(demand.sum()), max(1.0, float(videos.sum()))
    even = (per_code(videos) + 0.5) / (count + 0.5 * size)
    views, watch, skips = (decayed[:, column] for column in (VIEWS, WATCH_FRACTION, SKIPS))
    mean_watch = (float(watch.sum()) + 5.0) / (float(views.sum()) + 10.0)
    mean_skips = (float(skips.sum()) + 1.0) / (float(np.maximum(views, decayed[:, IMPRESSIONS]).sum()) + 10.0)
    views_per_code = per_code(views)
    return Shares(
        demand=np.append((per_code(demand).clip(0.0) + _BASE_PRIOR * even) / (total + _BASE_PRIOR), 1.0),
        skip_rate=np.append((per_code(skips).clip(0.0) + 20.0 * mean_skips) / (views_per_code + 20.0), 1.0),
        watch=np.append((per_code(watch).clip(0.0) + 20.0 * mean_watch) / (views_per_code + 20.0), 1.0),
    )
