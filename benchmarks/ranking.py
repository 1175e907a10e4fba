"""Measures the ranking of one request (features, model, order, exploration, diversity), 500 and 10,000 candidates.

`ratio` is the time of `rank` over a bare NumPy dot product of as many features and top-k on as many rows, in the same
run. So it shows the cost besides the arithmetic, and depends little on the machine, unlike the absolute time. `static`
is the cost of a catalog once a minute, or after a change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring import Timing, measure
from benchmarks.results import SPEED, keep_table
from learning.next_watch_network import MATRICES, new_parameters
from ranking import (
    CatalogStats,
    NextWatchTable,
    RankingOptions,
    StatsTable,
    VideoColumns,
    explain,
    global_model,
    key64,
    rank,
)
from ranking.cowatch import build
from ranking.features import FEATURES
from shared.domain.fingerprint import fingerprint
from shared.domain.records import Video
from shared.domain.user_signals import (
    CATEGORY_FIELDS,
    MAX_CATEGORIES,
    MAX_CREATORS,
    MAX_SKIPPED,
    MAX_TAGS,
    MAX_WATCHED,
    ORDER_BITS,
    TAG_FIELDS,
    Counters,
    Signals,
    Timeline,
)

NOW = 1_700_000_000.0
TIMES = 400


def main() -> None:
    """Print the table."""
    print(f"{'candidates':>10} {'what':>22} {'p50 µs':>9} {'p99 µs':>9} {'ratio':>7}")
    rows = [row for count in (500, 10_000) for row in _measure(count)]
    keep_table(
        *("ranking time", ("candidates", "what", "p50", "p99", "ratio"), rows),
        topic=SPEED,
        what="Ranking one page",
        command="python -m benchmarks ranking",
        note="The ratio is to a dot product and top-k in the same run.",
    )


def whole(count: int) -> Timing:
    """Measure the whole ranking of one request of `count` candidates."""
    columns, stats, signals = instance(count)
    rows, model = columns.rows(), global_model()
    options = RankingOptions(NOW, language="en", country="DE", seed=1, explore=True)
    return measure(lambda: rank(columns, stats, signals, rows, model, options), TIMES)


def _measure(count: int) -> Iterator[tuple[str, ...]]:
    columns, stats, signals = instance(count)
    rows, model = columns.rows(), global_model()
    options = RankingOptions(NOW, language="en", country="DE", seed=1, explore=True)
    plain = replace(options, explore=False, diversity=0.0, streak_cap=0, creator_cap=0)
    first = int(rank(columns, stats, signals, rows, model, options).rows[0])

    def changed() -> object:
        stats.table.version += 1
        return stats.static_score(model, NOW)

    bare = measure(_bare(count), TIMES)
    for what, timing in (
        ("dot product and top-k", bare),
        ("rank", measure(lambda: rank(columns, stats, signals, rows, model, options), TIMES)),
        ("without rules and slot", measure(lambda: rank(columns, stats, signals, rows, model, plain), TIMES)),
        ("explain one", measure(lambda: explain(columns, stats, signals, first, model, options), TIMES)),
        ("static", measure(changed, 30, warm_up=2)),
    ):
        print(f"{count:>10,} {what:>22} {timing.p50:>9,.0f} {timing.p99:>9,.0f} {timing.p50 / bare.p50:>7.1f}")
        yield f"{count:,}", what, f"{timing.p50:,.0f} µs", f"{timing.p99:,.0f} µs", f"{timing.p50 / bare.p50:.1f}"


def _bare(count: int) -> Callable[[], object]:
    draw = np.random.default_rng(0)
    features = draw.random((count, len(FEATURES)), np.float32)
    weights = draw.random(len(FEATURES), np.float32)

    def call() -> object:
        scores = features @ weights
        best = np.argpartition(-scores, 20)[:20]
        return best[np.argsort(-scores[best])]

    return call


def _next_watch(keys: NDArray[np.uint64], draw: np.random.Generator) -> NextWatchTable:
    """Return a table of random numbers in the trained size."""
    parameters = new_parameters(len(keys), draw)
    matrices = {name: parameters[name] for name in MATRICES}
    return NextWatchTable(keys, parameters["vectors"].astype(np.float16), parameters["bias"], matrices)


def instance(count: int) -> tuple[VideoColumns, CatalogStats, Signals]:
    """Return a catalog with a week of events and the nightly tables, and a user with full signals."""
    draw = np.random.default_rng(1)
    columns = VideoColumns(
        Video(
            id=f"v{i}",
            title=f"title {i}",
            playback_url="",
            category=f"category {draw.integers(40)}",
            tags=tuple(f"tag {t}" for t in draw.integers(0, 60, 3)),
            creator=f"creator {draw.integers(count // 5)}",
            duration_seconds=float(draw.integers(5, 120)),
            maturity_rating="G",
            language="en",
            published_at=NOW - float(draw.integers(0, 10**6)),
        )
        for i in range(count)
    )
    views = np.minimum((draw.pareto(1.2, 40_000) * count / 50).astype(int), count - 1)
    table = StatsTable()
    table.add([(f"v{i}", NOW - float(draw.integers(0, 500_000)), "video_view", 20_000.0, 30.0) for i in views])
    stats = CatalogStats(columns, table)
    keys = np.array([key64(f"v{i}") for i in views], np.uint64)
    stats.use_cowatch(build(draw.integers(0, 2_000, len(views)), keys, draw.random(len(views))))
    stats.use_next_watch(_next_watch(np.sort(columns.key), draw))
    signals = Signals(14.0, newest_minute=int(NOW // 60) - 3, events=500)

    def counters(word: str, most: int, fields: int) -> Counters:
        names = np.array([fingerprint(f"{word} {i}") for i in range(most)], np.uint32)
        return Counters(
            draw.random((most, fields), np.float32) * 20, names, np.full(most, signals.newest_day, np.int32)
        )

    def ring(most: int) -> Timeline:
        names = np.array([fingerprint(f"v{i}") for i in views[:most]], np.uint32)
        return Timeline(names, np.full(most, signals.newest_minute, np.int32))

    signals.categories = counters("category", MAX_CATEGORIES, CATEGORY_FIELDS)
    signals.tags = counters("tag", MAX_TAGS, TAG_FIELDS)
    signals.creators = counters("creator", MAX_CREATORS, TAG_FIELDS)
    signals.watched, signals.skipped = ring(MAX_WATCHED), ring(MAX_SKIPPED)
    signals.watched.times = signals.watched.times.astype(np.int64) * 60 << ORDER_BITS
    return columns, stats, signals


if __name__ == "__main__":
    main()
