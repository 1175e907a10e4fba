"""Pure NumPy ranking: no I/O, no clock, no environment. docs/ranking.md says why; this is how the other rooms use it.

    columns = VideoColumns(videos)               # one a tenant; upsert(video), remove(id) as the change feed tells
    stats = StatsColumns(columns)                # stats.replace(merged(StatsTable.unpack(shard) for shard in …))
    stats.use_cowatch(CoWatchTable.from_bytes(raw))     # when the pointer to a newer table appears; None for none
    model = global_model().overridden(tenant.weights)   # keep it: caches know a model by its identity
    context = Context(now, limit=20, streak_cap=tenant.streak_cap, seed=…, explore=True, country=…, language=…)

    kept = columns.rows()[…]                     # the filters' work: columns.without(signals.seen.keys, bits=24), …
    slate = rank(columns, stats, signals, kept, model, context)
    slate = with_pins(slate, {place: row}, kept, context.limit)
    [columns.ids[row] for row in slate.rows]     # with slate.scores; the place in the slate is the rank
    slate.explored, slate.propensities           # what to log with the feed request: the slot and its chance

    ordering = popularity_order(columns, stats, kept, context)       # the fallback, once for many requests
    slate = page_of(columns, ordering, context, keep=columns.without(served))

    explain(columns, stats, signals, row, model, context)            # exact contributions of one row
    why_absent(columns, stats, signals, kept, model, context, slate, row)       # the stage and rule, None if served
    what_if(columns, stats, requests, current, candidate)            # before a configuration is saved

`ordering` holds row numbers: throw it away when `columns.version` moves.
The roll-up: `table.add([(video_id, seconds, type, watch_ms, duration_seconds), …])`, `table.pack()`,
`StatsTable.unpack(text)`, `merged(tables)`, `table.week(video_id, now)` for the plain figures of seven days.
The fold: `is_long_view(watch_ms, duration_seconds)` decides what enters the `watched` ring.
The co-watch builder: `build(user codes, video keys by key64, times, built_at=now).to_bytes()` from the archive's long
views; seconds of CPU and a few hundred MB for 10,000 videos, so not on a serving instance.
"""

from ranking.catalog_stats import CatalogStats
from ranking.columns import VideoColumns, key64, title_key
from ranking.cowatch import CoWatchTable, UnreadableTable, build
from ranking.explain import ABSENCES, Absence, Contribution, Explanation, explain, why_absent
from ranking.features import ALIASES, FEATURES
from ranking.model import InvalidModel, LinearModel, checked_weights, global_model, parse, popularity_model
from ranking.pins import with_pins
from ranking.rank import Ordering, Slate, page_of, popularity_order, rank, score
from ranking.stats import StatsTable, UnreadableStats, merged
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
    "Ordering",
    "RankingOptions",
    "Slate",
    "StatsTable",
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
    "title_key",
    "watch_fraction",
    "what_if",
    "why_absent",
    "with_pins",
]
