"""Ranks videos with pure NumPy and compiled loops: no I/O, no clock, no environment. docs/ranking.md gives the reasons.

    columns = VideoColumns(videos)               # one per tenant; then upsert(video) and remove(id) on every change
    stats = CatalogStats(columns)                # stats.replace(merged(StatsTable.unpack(shard) for shard in …))
    stats.use_tables(Tables.from_bytes(raw))     # whenever a newer file is there: co-watch and next watch
    model = global_model().overridden(tenant.weights)   # keep the object: caches compare models by identity
    options = RankingOptions(now, limit=20, streak_cap=tenant.streak_cap, seed=…, explore=True, country=…, language=…)

    kept = columns.rows()[…]                     # what the filters keep: columns.without(signals.seen.keys, bits=24), …
    slate = rank(columns, stats, signals, kept, model, options)
    similar(columns, stats, row, kept, model, signals, options)      # videos like one video
    slate = with_pins(slate, {place: row}, kept, options.limit)
    [columns.ids[row] for row in slate.rows]     # with slate.scores; the index is the rank
    slate.explored, slate.propensities           # log these with the request: the exploration slot, the probabilities

    ordering = popularity_order(columns, stats, kept, options)       # the fallback, once for many requests
    slate = page_of(columns, ordering, options, keep=columns.without(served))

    explain(columns, stats, signals, row, model, options)            # exact contributions to one row's score
    why_absent(columns, stats, signals, kept, model, options, slate, row)       # stage and rule; None if served
    what_if(columns, stats, requests, current, candidate)            # before a configuration is saved

`ordering` holds row numbers: discard it when `columns.version` changes.

The statistics consumer uses `table.add([(video_id, seconds, type, watch_ms, duration_seconds), …])`, `table.pack()`,
`StatsTable.unpack(text)`, `merged(tables)`, and `table.week(video_id, now)` for the totals of seven days. The fold of
user signals uses `is_long_view(watch_ms, duration_seconds)`. The nightly job (`learning/table_builder.py`) uses
`build(user codes, video keys by key64, times, built_at=now)` on the archive's long views; this takes seconds of CPU and
a few hundred MB for 10,000 videos, so it does not run on a serving instance.

Modules inside this package import its submodules, never the package itself.
"""

from ranking.catalog_stats import CatalogStats
from ranking.columns import VideoColumns, key64, title_key
from ranking.cowatch import CoWatchTable, build
from ranking.explain import ABSENCES, Absence, Contribution, Explanation, explain, why_absent
from ranking.features import ALIASES, FEATURES
from ranking.model import InvalidModel, LinearModel, checked_weights, global_model, parse, popularity_model
from ranking.neighbors import SimilarSlate, similar
from ranking.next_watch import NextWatchTable
from ranking.pins import with_pins
from ranking.rank import Ordering, Slate, page_of, popularity_order, rank, score
from ranking.stats import StatsTable, UnreadableStats, merged
from ranking.table_file import Tables
from ranking.unreadable_table import UnreadableTable
from ranking.user_features import COLD_START_EVENTS, RankingOptions
from ranking.watching import is_long_view, watch_fraction
from ranking.whatif import Configuration, Explored, LoggedRequest, WhatIf, what_if

__all__ = [
    "ABSENCES",
    "ALIASES",
    "COLD_START_EVENTS",
    "FEATURES",
    "Absence",
    "CatalogStats",
    "CoWatchTable",
    "Configuration",
    "Contribution",
    "Explanation",
    "Explored",
    "InvalidModel",
    "LinearModel",
    "LoggedRequest",
    "NextWatchTable",
    "Ordering",
    "RankingOptions",
    "SimilarSlate",
    "Slate",
    "StatsTable",
    "Tables",
    "UnreadableStats",
    "UnreadableTable",
    "VideoColumns",
    "WhatIf",
    "build",
    "checked_weights",
    "explain",
    "global_model",
    "is_long_view",
    "key64",
    "merged",
    "page_of",
    "parse",
    "popularity_model",
    "popularity_order",
    "rank",
    "score",
    "similar",
    "title_key",
    "watch_fraction",
    "what_if",
    "why_absent",
    "with_pins",
]
