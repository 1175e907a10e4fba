"""Pure NumPy ranking: no I/O, no clock, no environment.

How the other rooms use it:

    columns = VideoColumns(videos)               # one a tenant; upsert(video), remove(id) as the change feed tells
    stats = StatsColumns(columns)                # stats.replace(merged(StatsTable.unpack(shard) for shard in …))
    model = global_model().overridden(tenant.weights)   # keep it: caches know a model by its identity
    context = Context(now, limit=20, streak_cap=tenant.streak_cap, country=…, language=…)

    kept = columns.rows()[…]                     # the filters' work: columns.mask(signals.seen.keys, bits=24), …
    slate = rank(columns, stats, signals, kept, model, context)
    [columns.ids[row] for row in slate.rows]     # with slate.scores; the place in the slate is the rank

    ordering = popularity_order(columns, stats, kept, context)       # the fallback, once for many requests
    slate = page_of(columns, ordering, context, keep=~columns.mask(served))

    explain(columns, stats, signals, row, model, context)            # exact contributions of one row

`ordering` holds row numbers: throw it away when `columns.version` moves.
The roll-up: `table.add([(video_id, seconds, type, watch_ms, duration_seconds), …])`, `table.pack()`,
`StatsTable.unpack(text)`, `merged(tables)`, `table.week(video_id, now)` for the plain figures of seven days.
The fold: `is_long_view(watch_ms, duration_seconds)` decides what enters the `watched` ring.
"""

from ranking.columns import VideoColumns, key64, title_key
from ranking.explain import Contribution, Explanation, explain
from ranking.features import ALIASES, FEATURES
from ranking.model import InvalidModel, LinearModel, checked_weights, global_model, parse, popularity_model
from ranking.rank import Ordering, Slate, page_of, popularity_order, rank, score
from ranking.request import Context
from ranking.stats import StatsTable, UnreadableStats, merged
from ranking.statscolumns import StatsColumns
from ranking.watching import is_long_view, watch_fraction

__all__ = [
    "ALIASES",
    "FEATURES",
    "Context",
    "Contribution",
    "Explanation",
    "InvalidModel",
    "LinearModel",
    "Ordering",
    "Slate",
    "StatsColumns",
    "StatsTable",
    "UnreadableStats",
    "VideoColumns",
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
]
