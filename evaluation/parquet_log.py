"""Reads a log from parquet files with the columns of the KuaiRand sample (documented in docs/ranking.md)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from learning.log import Exposures, Log, UnreadableLog, by_time, exposures_of
from shared.domain.records import Video

HISTORY_DAYS = 16.0
"""Histories without dates are spread over this many days before their last exposure."""


def read_parquet(exposures: Path, videos: Path, history: Path | None = None) -> Log:
    """Read a log in the columns of the KuaiRand sample. Raises `UnreadableLog`."""
    shown = _columns(exposures, ("user_id", "video_id", "time_ms", "play_time_ms", "long_view"))
    catalog = _columns(videos, ("video_id", "author_id", "upload_dt", "video_duration", "tag"))
    videos_read = [_video(*row) for row in zip(*(catalog[n].tolist() for n in catalog), strict=True)]
    code_of = {video.id: code for code, video in enumerate(videos_read)}
    past = _columns(history, ("user_id", "history_len", "last_time_ms", "watch_seq", "like_seq", "long_watch_seq"))
    users = sorted({str(u) for u in shown["user_id"].tolist()} | {str(u) for u in past["user_id"].tolist()})
    user_code = {user: code for code, user in enumerate(users)}
    optional = _columns(exposures, (), ("is_like", "is_follow", "is_forward", "is_hate"))
    zeros = np.zeros(len(shown["user_id"]), np.int64)
    liked = sum((optional.get(n, zeros) for n in ("is_like", "is_follow", "is_forward")), zeros) > 0
    video = np.array([code_of.get(f"v{v}", -1) for v in shown["video_id"].tolist()], np.int64)
    found = video >= 0
    dated = by_time(
        Exposures(
            user=np.array([user_code[str(u)] for u in shown["user_id"].tolist()], np.int64)[found],
            video=video[found],
            time=shown["time_ms"].astype(np.float64)[found] / 1000,
            watch_ms=shown["play_time_ms"].astype(np.float64)[found],
            long=shown["long_view"][found] > 0,
            liked=liked[found],
            hated=optional.get("is_hate", zeros)[found] > 0,
        )
    )
    until = float(dated.time[0]) if len(dated) else np.inf
    return Log(videos_read, users, _history(past, user_code, code_of, videos_read, until), dated)


def _video(number: Any, author: Any, uploaded: Any, duration_ms: Any, tag: Any) -> Video:
    tags = tuple(f"tag {part}" for part in str(tag).split(",") if part and part not in ("nan", "None"))
    return Video(
        id=f"v{number}",
        title=f"v{number}",
        playback_url="",
        category=tags[0] if tags else "",
        tags=tags,
        creator=f"author {author}",
        duration_seconds=float(duration_ms) / 1000 if duration_ms == duration_ms else 0.0,
        maturity_rating="G",
        published_at=float(np.datetime64(str(uploaded), "s").astype(np.int64)),
    )


def _history(
    past: dict[str, Any], user_code: dict[str, int], code_of: dict[str, int], videos: list[Video], until: float
) -> Exposures:
    """Convert sequences without dates to exposures, evenly spaced before the last one. Long views that are older than
    the list come first."""
    rows: list[tuple[int, int, float, float, bool, bool, bool]] = []
    columns = (
        past[n].tolist() for n in ("user_id", "history_len", "last_time_ms", "watch_seq", "like_seq", "long_watch_seq")
    )
    for user, length, last_ms, watched, liked, long in zip(*columns, strict=True):
        code, long_set, like_set = user_code[str(user)], set(long), set(liked)
        sequence = [v for v in long if v not in set(watched)] + list(watched)
        step = min(6 * 3600.0, HISTORY_DAYS * 86_400 / max(1, length))
        for place, number in enumerate(sequence):
            video = code_of.get(f"v{number}")
            if video is not None:
                at = min(last_ms / 1000, until) - (len(sequence) - 1 - place) * step
                needed = min(videos[video].duration_seconds or 18.0, 18.0) * 1000
                is_long = number in long_set
                rows.append((code, video, at, needed if is_long else 0.2 * needed, is_long, number in like_set, False))
    return by_time(exposures_of(rows))


def _columns(path: Path | None, needed: tuple[str, ...], optional: tuple[str, ...] = ()) -> dict[str, Any]:
    import pyarrow.parquet as pq

    if path is None:
        return {name: np.zeros(0, np.int64) for name in needed}
    if not path.exists():
        raise UnreadableLog(f"{path} does not exist.")
    have = set(pq.read_schema(path).names)
    missing = [name for name in needed if name not in have]
    if missing:
        raise UnreadableLog(f"{path} lacks the column(s) {', '.join(missing)}; it has {', '.join(sorted(have))}.")
    wanted = [*needed, *(name for name in optional if name in have)]
    table = pq.read_table(path, columns=wanted)
    return {name: table[name].to_numpy() for name in wanted}
