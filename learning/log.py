"""Logged exposures, histories and videos as columns sorted by time.

`read_json_lines` reads archived events and a JSON-lines file of videos.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranking.watching import is_long_view
from shared.domain.records import Video

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

SKIP_MS = 3_000.0
"""A shorter view that is not long counts as a skip, in a log without skip events."""


@dataclass(frozen=True)
class Exposures:
    """Shown videos, sorted by time (seconds since the epoch). `user` and `video` are codes into `Log`'s lists.

    `propensity`: probability with which the exploration slot showed this video; 0 for other positions, or if the log
    does not record it. The default is 0.
    """

    user: Ints
    video: Ints
    time: Floats
    watch_ms: Floats
    long: NDArray[np.bool_]
    liked: NDArray[np.bool_]
    hated: NDArray[np.bool_]
    propensity: Floats = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        if len(self.propensity) != len(self.user):
            object.__setattr__(self, "propensity", np.zeros(len(self.user)))

    def __len__(self) -> int:
        return len(self.user)


@dataclass(frozen=True)
class Log:
    """Everything a replay needs. `history`: exposures from before the log itself, with estimated times."""

    videos: list[Video]
    users: list[str]
    history: Exposures
    exposures: Exposures


class UnreadableLog(ValueError):
    """A file is missing, or lacks a column. The message says which."""


def read_json_lines(events: Path, videos: Path) -> Log:
    """Read archived events (one JSON object a line: user, type, videoId, timestamp in ms, watchTimeMs) and videos.

    A `video_view` becomes one exposure. So does a play reported by heartbeats, with its furthest position; it counts at
    its start. An `impression` of a video that the user never viewed becomes an exposure without watch time. Likes and
    `not_interested` mark the exposure of the same user and video. An event at the position of the exploration slot
    gives it the propensity in its receipt. Raises `UnreadableLog`.
    """
    videos_read = [Video.from_document(line) for line in _lines(videos)]
    code_of = {video.id: code for code, video in enumerate(videos_read)}
    user_code: dict[str, int] = {}
    shown: dict[tuple[int, int], float] = {}
    views: list[tuple[int, int, float, float]] = []
    plays: dict[tuple[int, int, int], tuple[float, float]] = {}
    marks: dict[tuple[int, int], set[str]] = {}
    explored: dict[tuple[int, int], float] = {}
    for event in _lines(events):
        try:
            name, kind, at = str(event["user"]), event["type"], float(event["timestamp"]) / 1000
            video = code_of.get(event["videoId"])
        except (KeyError, TypeError, ValueError) as error:
            raise UnreadableLog(f"{events}: an event lacks user, type, videoId or timestamp in ms ({error})") from error
        if video is None:
            continue
        pair = (user_code.setdefault(name, len(user_code)), video)
        play = event.get("play")
        if chance := propensity_of(event):
            explored.setdefault(pair, chance)
        if kind in ("video_view", "progress") and isinstance(play, dict):
            name_of_play = (*pair, int(play.get("key", 0)))
            at = min(at, float(play.get("startedAt") or event["timestamp"]) / 1000)
            began, furthest = plays.get(name_of_play, (at, 0.0))
            plays[name_of_play] = (min(at, began), max(float(event.get("watchTimeMs") or 0.0), furthest))
        elif kind == "video_view":
            views.append((*pair, at, float(event.get("watchTimeMs") or 0.0)))
        elif kind == "impression":
            shown.setdefault(pair, at)
        else:
            marks.setdefault(pair, set()).add(kind)
    views += [(user, video, at, watch_ms) for (user, video, _), (at, watch_ms) in plays.items()]
    viewed = {(user, video) for user, video, _, _ in views}
    views += [(*pair, at, 0.0) for pair, at in shown.items() if pair not in viewed]
    rows = [
        (
            user,
            video,
            at,
            watch_ms,
            is_long_view(watch_ms, videos_read[video].duration_seconds),
            bool(marks.get((user, video), set()) & {"like", "share", "save"}),
            "not_interested" in marks.get((user, video), set()),
            explored.get((user, video), 0.0),
        )
        for user, video, at, watch_ms in views
    ]
    return Log(videos_read, list(user_code), exposures_of([]), by_time(exposures_of(rows)))


def propensity_of(event: Mapping[str, Any]) -> float:
    """Return the probability with which the exploration slot showed an archived event's video; 0 if it was shown for
    its score.

    The page's receipt has the slot's position and the probability; the event has its own position.
    """
    request = event.get("request")
    if not isinstance(request, Mapping):
        return 0.0
    place, explored, chance = event.get("rankPosition"), request.get("exploredRank"), request.get("propensity")
    if place is None or place != explored or isinstance(chance, bool) or not isinstance(chance, int | float):
        return 0.0
    return float(chance) if 0.0 < chance <= 1.0 else 0.0


def exposures_of(rows: Sequence[tuple[Any, ...]]) -> Exposures:
    """Return columns of rows (user, video, time, watch_ms, long, liked, hated), and optionally propensity."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * 7
    kinds = (np.int64, np.int64, np.float64, np.float64, np.bool_, np.bool_, np.bool_, np.float64)
    return Exposures(*(np.array(column, kind) for column, kind in zip(columns, kinds, strict=False)))


def by_time(exposures: Exposures) -> Exposures:
    """Return the same exposures in time order; simultaneous ones by user and video."""
    order = np.lexsort((exposures.video, exposures.user, exposures.time))
    return Exposures(*(getattr(exposures, name)[order] for name in Exposures.__dataclass_fields__))


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        raise UnreadableLog(f"{path} does not exist.")
    files = sorted(path.rglob("*.jsonl*")) if path.is_dir() else [path]
    for file in files:
        opened = gzip.open if file.suffix == ".gz" else open
        with opened(file, "rt", encoding="utf-8") as stream:
            for number, line in enumerate(stream, 1):
                if line.strip():
                    try:
                        yield json.loads(line)
                    except ValueError as error:
                        raise UnreadableLog(f"{file}, line {number}: not JSON ({error})") from error
