"""Reads the sample's lines into columns: which videos were shown to whom, and how long they were watched. Pure.

The exposures are the same as those of `learning.log.read_json_lines`. A view is one exposure; so is a play reported by
heartbeats, with its furthest position. An impression of a video that its user did not view is one without watch time.
Likes and `not_interested` mark the exposures of the same user and video.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from events.archive import counted_before_ms, counts
from learning.log import Exposures, Log, by_time, propensity_of
from learning.rolling import LongViews, user_code
from ranking.columns import key64
from ranking.watching import long_views
from shared.domain.event_types import COMPLETE, IMPRESSION, LIKE, NOT_INTERESTED, PROGRESS, SAVE, SHARE, VIDEO_VIEW
from shared.domain.records import Video

_MARKS = {COMPLETE: 1, LIKE: 2, SHARE: 2, SAVE: 2, NOT_INTERESTED: 4}
_TELLS_WATCHED = ("user", "type", "videoId", "watchTimeMs", "play", "origin")


@dataclass(frozen=True, eq=False)
class Shown:
    """Exposures as columns. `user` is a `user_code`, `video` a 64-bit key; times are in seconds since the epoch, watch
    times in ms. `marks`: 1 completed, 2 liked, 4 not interested. `propensity`: the probability with which the
    exploration slot showed the video, else 0."""

    user: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    video: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))
    time: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    watch_ms: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    marks: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))
    propensity: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))

    def __len__(self) -> int:
        return len(self.user)

    def only(self, kept: NDArray[np.bool_]) -> Shown:
        """Return those selected by a mask."""
        return Shown(*(getattr(self, each.name)[kept] for each in fields(self)))

    def without(self, users: Iterable[int]) -> Shown:
        """Return those of all other users."""
        gone = np.array(sorted(users), np.int64)
        return self.only(~np.isin(self.user, gone)) if len(gone) else self


def joined_shown(parts: Sequence[Shown]) -> Shown:
    """Return all of them in time order."""
    if not parts:
        return Shown()
    columns = {each.name: np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(Shown)}
    order = np.lexsort((columns["video"], columns["user"], columns["time"]))
    return Shown(**{name: column[order] for name, column in columns.items()})


class ShownReader:
    """Reads lines, file by file. Lines that do not count, and lines without a user, are skipped."""

    def __init__(self, keep_views: bool = False) -> None:
        """`keep_views`: also keep the lines that tell how long each user watched, for
        `learning.take_back.holdout_day`."""
        self._keep_views, self._came = keep_views, set[str]()
        self.views: list[dict[str, Any]] = []
        self._codes: dict[str, int] = {}
        self._keys: dict[str, int] = {}
        self._views: list[tuple[int, int, float, float]] = []
        self._plays: dict[tuple[int, int, int], tuple[float, float]] = {}
        self._impressions: dict[tuple[int, int], float] = {}
        self._marks: dict[tuple[int, int], int] = {}
        self._propensity: dict[tuple[int, int], float] = {}
        self.events = 0
        """Lines of users so far."""

    def add(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Add the lines of a file."""
        for line in lines:
            name = line["user"]
            if name is None:
                continue
            self.events += 1
            if not counts(line):
                continue
            kind, at = line["type"], line["timestamp"] / 1000
            if self._keep_views and (kind in (VIDEO_VIEW, PROGRESS) or name not in self._came):
                self._came.add(name)
                self.views.append({**{part: line.get(part) for part in _TELLS_WATCHED}, "counted": True})
            pair = (self._code(name), self._key(line["videoId"]))
            if chance := propensity_of(line):
                self._propensity.setdefault(pair, chance)
            if kind in (VIDEO_VIEW, PROGRESS):
                self._add_view(pair, at, line)
            elif kind == IMPRESSION:
                self._impressions.setdefault(pair, at)
            elif mark := _MARKS.get(kind):
                self._marks[pair] = self._marks.get(pair, 0) | mark
                if kind == COMPLETE:
                    self._impressions.setdefault(pair, at)

    def _add_view(self, pair: tuple[int, int], at: float, line: Mapping[str, Any]) -> None:
        watch_ms = float(line.get("watchTimeMs") or 0.0)
        play = line.get("play")
        if not play:
            self._views.append((*pair, at, watch_ms))
            return
        at = min(at, float(play.get("startedAt") or line["timestamp"]) / 1000)
        furthest = max(watch_ms, counted_before_ms(line) or 0.0)
        name = (*pair, int(play["key"]))
        began, so_far = self._plays.get(name, (at, 0.0))
        self._plays[name] = (min(at, began), max(furthest, so_far))

    def _code(self, name: str) -> int:
        code = self._codes.get(name)
        if code is None:
            code = self._codes[name] = user_code(name)
        return code

    def _key(self, video_id: str) -> int:
        key = self._keys.get(video_id)
        if key is None:
            key = self._keys[video_id] = int(key64(video_id))
        return key

    def shown(self) -> Shown:
        """Return all exposures in time order."""
        rows = [*self._views, *((*name[:2], *told) for name, told in self._plays.items())]
        viewed = {row[:2] for row in rows}
        rows += [(*pair, at, 0.0) for pair, at in self._impressions.items() if pair not in viewed]
        if not rows:
            return Shown()
        user, video, at, watch = zip(*rows, strict=True)
        marks = [self._marks.get(row[:2], 0) for row in rows]
        chances = [self._propensity.get(row[:2], 0.0) for row in rows]
        return joined_shown(
            [
                Shown(
                    np.array(user, np.int64),
                    np.array(video, np.uint64),
                    np.array(at, np.float64),
                    np.array(watch, np.float32),
                    np.array(marks, np.uint8),
                    np.array(chances, np.float32),
                )
            ]
        )


class Videos:
    """A tenant's videos for the replay, by 64-bit key."""

    def __init__(self, videos: Sequence[Video]) -> None:
        self.videos = list(videos)
        keys = np.array([key64(video.id) for video in videos], np.uint64)
        self._order = np.argsort(keys)
        self._sorted = keys[self._order]
        self.seconds = np.array([video.duration_seconds for video in videos], np.float64)

    def places(self, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the index of each video; -1 for one that the tenant does not have."""
        if not len(self._sorted):
            return np.full(len(keys), -1, np.int64)
        at = np.minimum(np.searchsorted(self._sorted, keys), len(self._sorted) - 1)
        return np.where(self._sorted[at] == keys, self._order[at], -1)

    def are_long(self, shown: Shown, places: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which exposures were watched long."""
        return long_views(shown.watch_ms, self.seconds[places]) | (shown.marks & 1 > 0)


def long_views_of(shown: Shown, videos: Videos) -> LongViews:
    """Return the long views among exposures, of videos that the tenant has."""
    places = videos.places(shown.video)
    shown, places = shown.only(places >= 0), places[places >= 0]
    long = videos.are_long(shown, places)
    return LongViews(shown.user[long], shown.video[long], shown.time[long])


def log_of(shown: Shown, earlier: LongViews, videos: Videos) -> Log:
    """Return a log to replay: the exposures, and as history the long views before the first of them."""
    places = videos.places(shown.video)
    shown, places = shown.only(places >= 0), places[places >= 0]
    long = videos.are_long(shown, places)
    exposures = Exposures(
        shown.user,
        places,
        shown.time,
        shown.watch_ms.astype(np.float64),
        long,
        shown.marks & 2 > 0,
        shown.marks & 4 > 0,
        shown.propensity.astype(np.float64),
    )
    past = videos.places(earlier.keys)
    known = past >= 0
    if len(shown):
        known &= earlier.times < shown.time[0]
    count = int(known.sum())
    watched = videos.seconds[past[known]] * 1000.0
    yes, no = np.ones(count, np.bool_), np.zeros(count, np.bool_)
    history = Exposures(earlier.users[known], past[known], earlier.times[known], watched, yes, no, no)
    return Log(videos.videos, [], by_time(history), by_time(exposures))
