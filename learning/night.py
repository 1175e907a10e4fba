"""One night of one tenant: adds yesterday's sample, judges yesterday, and fits the models for tomorrow. Pure.

Yesterday is ranked with the tables and models of the night before, so nothing is judged by data it was built from.
Statistics and signals of the replay come from the sample itself. The same state and sample always give the same result.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np

from learning.learner import TRAINING_DAYS, Learner, Night
from learning.night_state import NightState
from learning.replay import DAY, Replay
from learning.rolling import LongViews
from learning.sample_lines import Shown, Videos, joined_shown, log_of, long_views_of
from learning.stopping import check
from ranking.table_file import Tables
from shared.domain.records import Video

WINDOW_DAYS = 8
"""Days of exposures that are kept: the longest demand window, and the judged day."""
MOST_SHOWN = 1_200_000
"""Limit of replayed exposures, about 40 MB. Beyond it, whole users are left out by their hash."""
MOST_RANKED = 30_000_000
"""Limit of videos ranked in a night, over all requests that it judges and learns from: about two minutes. Beyond it,
only the requests of some users are ranked. Statistics and signals are still those of all users."""
MOST_CHOICES = 1_500
"""Limit per day, so that seven days and their sum stay below 200 MB."""


@dataclass(frozen=True, eq=False)
class Learned:
    """Result of a night. `night` is None if nothing can be learned. `requests`: how many were judged or learned
    from."""

    state: NightState
    night: Night | None
    exposures: int
    requests: int
    users: int


def with_sample(
    state: NightState, new: Sequence[Shown], videos: Videos, night: str, erased: Mapping[int, float]
) -> NightState:
    """Return the state with new exposures, without what erased users did before their erasure.

    Exposures more than `WINDOW_DAYS` before the end of `night` only add long views.
    """
    end = end_of(night)
    taken = [_after_erasure(each, erased) for each in new]
    gone = [user for user, at in erased.items() if state.erased.get(user, -np.inf) < at]
    views, window = state.views.without(gone), state.window.without(gone)
    for each in taken:
        views = views.with_more(long_views_of(each, videos), end)
    views = views.with_more(LongViews(), end)
    recent = joined_shown([window, *taken])
    recent = recent.only((recent.time >= end - WINDOW_DAYS * DAY) & (recent.time < end))
    return NightState(night, views, _bounded(recent), state.memory, state.merged, dict(erased))


def _after_erasure(shown: Shown, erased: Mapping[int, float]) -> Shown:
    """Return the exposures without those before a user's erasure. Later ones of the same user stay."""
    if not erased:
        return shown
    users = np.array(sorted(erased), np.int64)
    at = np.array([erased[user] for user in users.tolist()])
    place = np.minimum(np.searchsorted(users, shown.user), len(users) - 1)
    return shown.only(~((users[place] == shown.user) & (shown.time <= at[place])))


def learn(before: NightState | None, state: NightState, tables: Tables | None, videos: Videos) -> Learned:
    """Judge and learn from the days of `state` that `before` does not have. `tables`: those used for ranking on these
    days."""
    end = end_of(state.night)
    since = max(end_of(before.night) if before else -np.inf, end - TRAINING_DAYS * DAY)
    learner = Learner("auto", most_choices=MOST_CHOICES)
    if before is not None:
        learner.recall(before.memory)
    log = log_of(state.window, state.views, videos)
    replay = Replay(log, tables=False, count_history=False)
    if tables is not None:
        replay.stats.use_cowatch(tables.cowatch)
        replay.stats.use_next_watch(tables.next_watch)
    mask, requests = _users_mask(state.window, since, len(videos.videos)), 0
    for visit in replay.walk(until=end, since=since):
        check()
        if (visit.user >> 16) & mask == 0:
            learner.see(replay, visit)
            requests += 1
    night = learner.end_day()
    fresh = night if requests else None
    learned = NightState(state.night, state.views, state.window, learner.memory(), state.merged, state.erased)
    return Learned(learned, fresh, len(state.window), requests, len(np.unique(state.window.user)))


def end_of(night: str) -> float:
    """Return the midnight that ends a day (UTC date), in seconds since the epoch."""
    day = date.fromisoformat(night) + timedelta(days=1)
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()


def night_before(moment: float) -> str:
    """Return the last day (UTC date) that ended before a moment."""
    return (datetime.fromtimestamp(moment, UTC).date() - timedelta(days=1)).isoformat()


def videos_of(videos: Iterable[Video]) -> Videos:
    """Return a tenant's videos, in an order that does not depend on how they were read."""
    return Videos(sorted(videos, key=lambda video: video.id))


def _bounded(shown: Shown) -> Shown:
    mask = 0
    while len(shown) > MOST_SHOWN:
        mask = mask << 1 | 1
        shown = shown.only((shown.user >> 8) & mask == 0)
    return shown


def _users_mask(window: Shown, since: float, videos: int) -> int:
    """Return a mask that selects the users whose requests are ranked: all, or halved until they stay within
    `MOST_RANKED`."""
    recent = window.time >= since
    half_hours = (window.time[recent] // 1_800).astype(np.int64)
    sessions = len(np.unique(window.user[recent] + half_hours * 1_000_003))
    mask = 0
    while sessions * videos > MOST_RANKED * (mask + 1):
        mask = mask << 1 | 1
    return mask
