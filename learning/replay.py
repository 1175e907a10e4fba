"""Replays a log in time order with the production fold, statistics and filters, and yields each request.

State is strictly as of the request: signals have only that user's earlier events; statistics are at most
`STATS_SECONDS` old; the nightly tables are rebuilt at the start of each day from the days before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from events.fold import fold
from events.schema import Event
from events.video_facts import Facts
from feed.filters import Viewer, apply_filters
from learning.log import SKIP_MS, Exposures, Ints, Log
from learning.nightly_tables import NextWatchOfNight, NightlyTables
from ranking.catalog_stats import CatalogStats
from ranking.columns import VideoColumns
from ranking.features import FEATURES, values_of
from ranking.stats import DEMAND_24H, StatEvent, StatsTable
from ranking.user_features import RankingOptions, UserFeatures
from shared.domain.event_types import IMPRESSION, LIKE, NOT_INTERESTED, SKIP, VIDEO_VIEW
from shared.domain.fingerprint import fingerprint
from shared.domain.records import RATINGS
from shared.domain.user_signals import Signals

SESSION_GAP_SECONDS = 1_800.0
"""Exposures of a user with shorter gaps belong to one request."""
STATS_SECONDS = 600.0
POOL = 500
DAY = 86_400.0
_NOTHING_SERVED = np.zeros(0, np.uint32)


@dataclass(eq=False)
class Visit:
    """One request and its outcome.

    `kept`: catalog rows that the filters keep for this user; `pool`: the `POOL` rows of these with the most demand.
    `shown`: rows that the log showed; `long`: which of these were watched long; `unseen`: which of these the filters
    keep; `propensity`: probability with which the exploration slot showed each, 0 for the others.
    """

    now: float
    user: int
    signals: Signals | None
    kept: NDArray[np.int64]
    pool: NDArray[np.int64]
    shown: NDArray[np.int64]
    long: NDArray[np.bool_]
    unseen: NDArray[np.bool_]
    propensity: NDArray[np.float64]

    @property
    def history(self) -> int:
        """Number of events in the user's signals."""
        return self.signals.events if self.signals else 0


class Replay:
    """A log that can be walked once. `columns` and `stats` are those of a serving instance at each visit."""

    def __init__(
        self,
        log: Log,
        half_life_days: float = 14.0,
        tables: bool = True,
        next_watch: NextWatchOfNight | None = None,
        count_history: bool = True,
    ) -> None:
        """`tables` False: no nightly tables are built. `next_watch`: returns that table instead of training it.
        `count_history` False: the log's history has only long views, so it enters signals but not statistics."""
        self.log = log
        self.columns = VideoColumns(log.videos)
        self.table = StatsTable()
        self.stats = CatalogStats(self.columns, self.table)
        self.signals: dict[int, Signals] = {}
        self._half_life = half_life_days
        self._with_tables, self._nights = tables, NightlyTables(log)
        self._count_history = count_history
        self._next_watch = next_watch or self._nights.next_watch
        self._row = np.array([self.columns.row(video.id) for video in log.videos], np.int64)
        self._facts = {v.id: Facts(v.category, v.tags, v.creator, v.duration_seconds) for v in log.videos}

    def walk(self, until: float | None = None, since: float = -np.inf) -> Iterator[Visit]:
        """Yield every request from `since` on, in time order. Earlier requests only update the state. The state is
        valid until the next request."""
        shown = self.log.exposures
        self._take_history()
        rolled_up, boundary, day = 0, -np.inf, -1
        popular = np.zeros(0, np.int64)
        for session in sessions(shown):
            now = float(shown.time[session[0]])
            if until is not None and now >= until:
                break
            if now >= boundary:
                boundary = (now // STATS_SECONDS + 1) * STATS_SECONDS
                upto = int(np.searchsorted(shown.time, boundary - STATS_SECONDS))
                self._roll_up(shown, rolled_up, upto)
                rolled_up = upto
                popular = self._most_demanded(now) if now >= since else popular
            if int(now // DAY) != day:
                day = int(now // DAY)
                if self._with_tables:
                    self._rebuild_tables(day * DAY)
            user = int(shown.user[session[0]])
            signals = self.signals.get(user)
            if now < since:
                self.signals[user] = self._fold(signals, shown, session)
                continue
            viewer = Viewer(
                now=now, maturity=max(RATINGS.values()), country=None, served=_NOTHING_SERVED, signals=signals
            )
            kept = apply_filters(self.columns, viewer).kept
            is_kept = np.zeros(len(self.columns), np.bool_)
            is_kept[kept] = True
            pool = popular[is_kept[popular]][:POOL]
            rows = self._row[shown.video[session]]
            chances = shown.propensity[session]
            yield Visit(now, user, signals, kept, pool, rows, shown.long[session], is_kept[rows], chances)
            self.signals[user] = self._fold(signals, shown, session)

    def _rebuild_tables(self, before: float) -> None:
        self.stats.use_cowatch(self._nights.cowatch(before))
        self.stats.use_next_watch(self._next_watch(before))

    def _take_history(self) -> None:
        past = self.log.history
        if not len(past):
            return
        if self._count_history:
            self._roll_up(past, 0, len(past))
        order = np.argsort(past.user, kind="stable")
        for indexes in np.split(order, np.flatnonzero(np.diff(past.user[order])) + 1):
            self.signals[int(past.user[indexes[0]])] = self._fold(None, past, indexes)

    def _roll_up(self, log: Exposures, first: int, last: int) -> None:
        events: list[StatEvent] = []
        for i in range(first, last):
            video = self.log.videos[log.video[i]]
            at = float(log.time[i])
            for kind, watch_ms in _events(log, i):
                events.append((video.id, at, kind, watch_ms, video.duration_seconds))
        self.table.add(events)

    def _fold(self, signals: Signals | None, log: Exposures, indexes: Ints) -> Signals:
        events = []
        for i in indexes.tolist():
            name, at_ms = self.log.videos[log.video[i]].id, int(log.time[i] * 1000)
            for kind, watch_ms in _events(log, i):
                events.append(Event(kind, name, at_ms, fingerprint(f"{kind} {name} {at_ms}"), watch_ms))
        return fold(signals, events, self._facts, self._half_life, float(log.time[indexes[-1]]))

    def _most_demanded(self, now: float) -> NDArray[np.int64]:
        """Return rows by falling demand: four times the pool's length, since users have seen some of them."""
        demand = self.stats.static(now).decayed[:, DEMAND_24H]
        return np.lexsort((self.columns.key, -demand))[: 4 * POOL]


def sessions(shown: Exposures) -> Iterator[Ints]:
    """Yield the indexes of each request's exposures, ordered by the first one's time."""
    order = np.lexsort((shown.time, shown.user))
    users, times = shown.user[order], shown.time[order]
    fresh = np.r_[True, (users[1:] != users[:-1]) | (np.diff(times) > SESSION_GAP_SECONDS)] if len(order) else order
    groups = np.split(order, np.flatnonzero(fresh)[1:]) if len(order) else []
    yield from sorted(groups, key=lambda group: (shown.time[group[0]], group[0]))


def _events(log: Exposures, i: int) -> Sequence[tuple[str, float]]:
    """Return the events that an app would have sent for one exposure."""
    watch_ms = float(log.watch_ms[i])
    events = [(IMPRESSION, 0.0)]
    if watch_ms > 0:
        events.append((VIDEO_VIEW, watch_ms))
    if watch_ms < SKIP_MS and not log.long[i]:
        events.append((SKIP, 0.0))
    if log.liked[i]:
        events.append((LIKE, 0.0))
    if log.hated[i]:
        events.append((NOT_INTERESTED, 0.0))
    return events


def user_features_of(replay: Replay, visit: Visit) -> UserFeatures:
    """Build the production user features of a visit."""
    return UserFeatures(replay.columns, replay.stats.static(visit.now), visit.signals, RankingOptions(visit.now))


def features_of(replay: Replay, visit: Visit, rows: NDArray[np.int64], names: Sequence[str]) -> NDArray[np.float32]:
    """Return the production features as of the visit, (rows, names)."""
    user = user_features_of(replay, visit)
    columns = [values_of(FEATURES[name], user, rows) for name in names]
    return np.stack(columns, axis=1)


def has_next_watch(replay: Replay, visit: Visit) -> bool:
    """Tell whether the next-watch table knows any of the user's long views at this visit."""
    return user_features_of(replay, visit).has_next_watch
