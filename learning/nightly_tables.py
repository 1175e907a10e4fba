"""The tables of a replay's nights: those that the nightly job would have built at each midnight, from earlier long
views."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from learning.log import Log
from learning.next_watch_training import Training, histories_of, seed_of, train_night
from ranking.columns import key64
from ranking.cowatch import CoWatchTable, build
from ranking.next_watch import NextWatchTable

NextWatchOfNight = Callable[[float], NextWatchTable | None]
"""Returns the next-watch table as of a midnight; `NightlyTables.next_watch` by default."""


class NightlyTables:
    """Tables by midnight. The next-watch model continues from night to night, so request the nights in order."""

    def __init__(self, log: Log, tenant_id: str = "replay") -> None:
        self._log, self._tenant_id = log, tenant_id
        self._key = np.array([key64(video.id) for video in log.videos], np.uint64)
        self._training: Training | None = None
        self._trained_until = -np.inf

    def cowatch(self, before: float) -> CoWatchTable:
        """Return neighbors and dayparts from all long views before a time."""
        users, keys, times, dated = self._long_views(before)
        return build(users, keys, times, built_at=before, dated=dated)

    def next_watch(self, before: float) -> NextWatchTable | None:
        """Return the next-watch table of a midnight; None while no user has two long views."""
        users, keys, times, _ = self._long_views(before)
        night = datetime.fromtimestamp(before, UTC).date().isoformat()
        histories = histories_of(users, keys, times)
        self._training = train_night(self._training, histories, seed_of(self._tenant_id, night), self._trained_until)
        self._trained_until = before
        return None if self._training is None else self._training.table(before)

    def _long_views(
        self, before: float
    ) -> tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.float64], NDArray[np.bool_]]:
        """Return user, video key and time of each, and whether the time is known to the hour; those of a history are
        estimates."""
        past, shown = self._log.history, self._log.exposures
        upto = int(np.searchsorted(shown.time, before))
        long = shown.long[:upto]
        users = np.concatenate([past.user[past.long], shown.user[:upto][long]])
        videos = np.concatenate([past.video[past.long], shown.video[:upto][long]])
        times = np.concatenate([past.time[past.long], shown.time[:upto][long]])
        return users, self._key[videos], times, np.arange(len(users)) >= int(past.long.sum())
