"""Evaluates lists of similar videos on a log: how often the first 20 for a long view contain the user's next one.

The tables are those of the night before the first test day, so they have no later views. Statistics and seen videos are
as of the request, the same for every list.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.nightly_tables import NextWatchOfNight, NightlyTables
from learning.ranking_metrics import Interval, difference_interval
from learning.replay import Replay, Visit
from ranking.model import LinearModel, global_model, popularity_model
from ranking.neighbors import similar
from ranking.user_features import COLD_START_EVENTS, RankingOptions
from shared.domain.user_signals import Signals

LENGTH = 20
POPULAR, ANYWHERE, BY_SUBJECT, FOR_ANYBODY, FOR_VIEWER = (
    "popular in its category",
    "popular anywhere",
    "same subject alone",
    "similar, by popularity",
    "similar, in the viewer's order",
)
Rows = NDArray[np.int64]


@dataclass
class Judged:
    """Hits (the list contained the next long view) by list, and the user of each pair of views."""

    hits: dict[str, list[float]] = field(
        default_factory=lambda: {name: [] for name in (POPULAR, ANYWHERE, BY_SUBJECT, FOR_ANYBODY, FOR_VIEWER)}
    )
    users: list[int] = field(default_factory=list)

    def rate(self, name: str) -> float:
        """Return the share of pairs whose list contained the next long view."""
        return float(np.mean(self.hits[name]))

    def over_popular(self, name: str) -> Interval:
        """Return the difference to the rate of popular videos, with its 95 % interval over users."""
        ours, theirs = np.array(self.hits[name]), np.array(self.hits[POPULAR])
        return difference_interval(ours, theirs, np.array(self.users, np.int64))


def judge_similar(replay: Replay, since: float, until: float | None, next_watch: NextWatchOfNight | None) -> Judged:
    """Evaluate the test days from `since` (a midnight) on. `replay` must not build its own tables."""
    nights = NightlyTables(replay.log)
    replay.stats.use_cowatch(nights.cowatch(since))
    replay.stats.use_next_watch((next_watch or nights.next_watch)(since))
    judged, last = Judged(), dict[int, int]()
    for visit in replay.walk(until, since):
        long = visit.shown[visit.long].tolist()
        before = last.get(visit.user)
        chain = long if before is None else [before, *long]
        for row, following in pairwise(chain):
            if row != following and following in visit.kept:
                judged.users.append(visit.user)
                for name, rows in _lists(replay, visit, row):
                    judged.hits[name].append(float(following in rows))
        if long:
            last[visit.user] = long[-1]
    return judged


def _lists(replay: Replay, visit: Visit, row: int) -> Iterator[tuple[str, Rows]]:
    columns, stats = replay.columns, replay.stats
    kept = visit.kept[visit.kept != row]
    of_category = kept[columns.category[kept] == columns.category[row]]
    demand = stats.static(visit.now).values["demand_24h"]
    for name, rows in ((POPULAR, of_category), (ANYWHERE, kept)):
        yield name, rows[np.lexsort((columns.key[rows], -demand[rows]))[:LENGTH]]

    def listed(model: LinearModel, signals: Signals | None, learned: bool) -> Rows:
        options = RankingOptions(visit.now, limit=LENGTH, streak_cap=0)
        found = similar(columns, stats, row, kept, model, signals, options, learned=learned)
        return np.asarray(found.slate.rows)

    yield BY_SUBJECT, listed(popularity_model(), None, False)
    yield FOR_ANYBODY, listed(popularity_model(), None, True)
    warm = visit.history >= COLD_START_EVENTS
    yield FOR_VIEWER, listed(*((global_model(), visit.signals) if warm else (popularity_model(), None)), True)


def similar_report(judged: Judged) -> dict[str, Any]:
    """Return the figures as JSON."""
    return {
        "pairs": len(judged.users),
        "users": len(set(judged.users)),
        "lists": {
            name: {"hitRate": judged.rate(name), "overPopular": vars(judged.over_popular(name))} for name in judged.hits
        },
    }


def similar_markdown(report: dict[str, Any]) -> str:
    """Return the figures as a Markdown table."""
    lines = [
        f"{report['pairs']:,} long views that followed another one, by {report['users']:,} users.",
        "",
        "| first 20 | has the next long view | over popular in its category, points |",
        "|---|---|---|",
    ]
    for name, each in report["lists"].items():
        gap = each["overPopular"]
        points = f"{gap['value']:+.1%} [{gap['low']:+.1%}, {gap['high']:+.1%}]".replace("%", "")
        lines.append(f"| {name} | {each['hitRate']:.1%} | {'–' if name == POPULAR else points} |")
    return "\n".join(lines) + "\n"
