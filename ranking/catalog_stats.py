"""One tenant's statistics aligned to the rows of its catalog, and the features that all users share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranking.columns import VideoColumns, Vocabulary
from ranking.cowatch import CoWatch, CoWatchTable
from ranking.exploration import posterior
from ranking.features import static_values
from ranking.model import LinearModel
from ranking.next_watch import NextWatch, NextWatchTable
from ranking.static_features import Shares, StaticFeatures
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
from ranking.table_file import Tables

KEEP_SECONDS = 60
"""How long static features are cached. `now` is rounded down to it, so equal inputs give equal scores."""
_MODELS_KEPT = 64
"""Named feeds have their own weights. A cached score takes 80 kB for 10,000 videos."""
_BASE_PRIOR = 50.0
"""Long views that the even share of a catalog counts for in a category's base rate."""


class CatalogStats:
    """Statistics of one tenant, aligned to its catalog's rows. Call `replace` whenever a newer table is read."""

    def __init__(self, columns: VideoColumns, table: StatsTable | None = None) -> None:
        self.columns = columns
        self.table = StatsTable() if table is None else table
        self._replaced = 0
        self.cowatch: CoWatch | None = None
        self.next_watch: NextWatch | None = None
        self._gathered: tuple[tuple[int, int, int], NDArray[np.float64]] | None = None
        self._static: tuple[tuple[int, int, int, int], StaticFeatures] | None = None
        self._static_scores: dict[LinearModel, NDArray[np.float64]] = {}

    @property
    def version(self) -> tuple[int, int]:
        """Version of the statistics. It changes with the table and never repeats."""
        return self.table.version, self._replaced

    def replace(self, table: StatsTable) -> None:
        """Use another table from now on."""
        self.table = table
        self._replaced += 1

    def use_cowatch(self, table: CoWatchTable | None) -> None:
        """Use another co-watch table from now on; None for none."""
        self.cowatch = CoWatch(self.columns, table) if table is not None and len(table.keys) else None
        self._replaced += 1

    def use_tables(self, tables: Tables) -> None:
        """Use the tables of another nightly file from now on."""
        self.use_cowatch(tables.cowatch)
        self.use_next_watch(tables.next_watch)

    def use_next_watch(self, table: NextWatchTable | None) -> None:
        """Use another next-watch table from now on; None for none."""
        self.next_watch = NextWatch(self.columns, table) if table is not None and len(table.keys) else None
        self._replaced += 1

    def gathered(self) -> NDArray[np.float64]:
        """Return the decayed counters per catalog row, (n, 9), as of the table's reference; zeros where unknown.

        Values below zero become zero, as when more likes were taken back than counted.
        """
        version = (self.columns.version, self.table.version, self._replaced)
        if self._gathered is None or self._gathered[0] != version:
            self._gathered = (version, _gather(self.columns, self.table))
        return self._gathered[1]

    def static(self, now: float) -> StaticFeatures:
        """Return the static features as of `now`, rounded down to the minute.

        They are computed once per version of catalog and statistics and per minute.
        """
        moment = int(now // KEEP_SECONDS)
        version = (self.columns.version, self.table.version, self._replaced, moment)
        if self._static is None or self._static[0] != version:
            self._static = (version, self._compute(float(moment * KEEP_SECONDS)))
            self._static_scores.clear()
        return self._static[1]

    def static_score(self, model: LinearModel, now: float) -> NDArray[np.float64]:
        """Return the static part of a model's score for all rows: Σ weight × value, in the order of the model's terms.

        Cached with the static features, for up to 64 models. Models are compared by identity.
        """
        static = self.static(now)
        total = self._static_scores.get(model)
        if total is None:
            total = np.zeros(len(self.columns))
            for name, weight in model.static_terms:
                total += np.multiply(static.values[name], weight, dtype=np.float64)
            if len(self._static_scores) >= _MODELS_KEPT:
                del self._static_scores[next(iter(self._static_scores))]  # the first of this minute
            self._static_scores[model] = total
        return total

    def _compute(self, now: float) -> StaticFeatures:
        age = max(0.0, now - self.table.reference) if len(self.table) else 0.0
        half_lives = np.array([*HALF_LIVES, *([HALF_LIVES[-1]] * (DECAYED - len(HALF_LIVES)))])
        with np.errstate(under="ignore"):
            decayed = self.gathered() * np.exp2(-age / half_lives)
        columns = self.columns
        shown = np.maximum(decayed[:, IMPRESSIONS], decayed[:, VIEWS])
        long_rate = float(np.clip((decayed[:, DEMAND_7D].sum() + 1.0) / (shown.sum() + 4.0), 0.01, 0.99))
        tags = columns.tags[:, : max(1, columns.tag_width)]
        static = StaticFeatures(
            columns=columns,
            now=now,
            decayed=decayed,
            shown=shown,
            rates=posterior(decayed[:, DEMAND_7D], shown, long_rate),
            categories=_shares(columns.category, columns.categories, decayed, columns.active),
            tags=_shares(tags, columns.tag_names, decayed, columns.active),
            creators=_shares(columns.creator, columns.creators, decayed, columns.active),
            cowatch=self.cowatch,
            next_watch=self.next_watch,
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
        found[hit] = table.decayed[order[at[hit]]].clip(0.0)
    return found


def _shares(
    codes: NDArray[np.int32], vocabulary: Vocabulary, decayed: NDArray[np.float64], active: NDArray[np.bool_]
) -> Shares:
    """Compute base rates per code; `codes` is (n,) or (n, 8) with -1 for none. Smoothing keeps them above zero."""
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
