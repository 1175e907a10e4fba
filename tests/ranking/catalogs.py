"""Generates catalogs, statistics and users for ranking tests from a seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ranking import CatalogStats, StatsTable, VideoColumns
from shared.domain.fingerprint import fingerprint
from shared.domain.records import Video
from shared.domain.user_signals import CATEGORY_FIELDS, ORDER_BITS, TAG_FIELDS, Counters, Signals, Timeline

NOW = 1_700_000_000.0


def make_videos(count: int, seed: int = 0, categories: int = 6, titles: int | None = None) -> list[Video]:
    """Some videos; with fewer `titles` than videos some are near-duplicates."""
    draw = np.random.default_rng(seed)
    return [
        Video(
            id=f"vid_{i}",
            title=f"Title {i if titles is None else int(draw.integers(titles))}",
            playback_url="https://cdn.example/v.m3u8",
            category=f"category {draw.integers(categories)}",
            tags=tuple(f"tag {t}" for t in draw.integers(0, 9, int(draw.integers(0, 4)))),
            creator=f"creator {draw.integers(max(1, count // 3))}",
            duration_seconds=float(draw.integers(0, 120)),
            maturity_rating="PG",
            editorial_boost=float(draw.integers(-10, 11)),
            language=("en", "de", None)[int(draw.integers(3))],
            published_at=NOW - float(draw.integers(0, 10**6)),
        )
        for i in range(count)
    ]


def make_events(videos: Sequence[Video], count: int, seed: int = 0) -> list[tuple[str, float, str, float, float]]:
    """Events of every type over the last ten days."""
    draw = np.random.default_rng(seed)
    types = ("impression", "video_view", "complete", "skip", "like", "unlike", "share", "save", "not_interested")
    events = []
    for _ in range(count):
        video = videos[int(draw.integers(len(videos)))]
        at, watch_ms = NOW - float(draw.integers(0, 864_000)), float(draw.integers(0, 60_000))
        events.append((video.id, at, types[int(draw.integers(len(types)))], watch_ms, video.duration_seconds))
    return events


def make_catalog(videos: Sequence[Video], events: int = 300, seed: int = 0) -> tuple[VideoColumns, CatalogStats]:
    """The columns of these videos, and stats from random events on them."""
    columns, table = VideoColumns(videos), StatsTable()
    if videos:
        table.add(make_events(sorted(videos, key=lambda video: video.id), events, seed))
    return columns, CatalogStats(columns, table)


def make_signals(seed: int = 0) -> Signals:
    """A user with some history."""
    draw = np.random.default_rng(seed)
    signals = Signals(half_life_days=14.0, newest_minute=int(NOW // 60) - 2, events=50)

    def counters(word: str, count: int, fields: int) -> Counters:
        keys = np.array([fingerprint(f"{word} {i}") for i in range(count)], np.uint32)
        return Counters(
            draw.random((count, fields), np.float32) * 20, keys, np.full(count, signals.newest_day, np.int32)
        )

    def ring(count: int) -> Timeline:
        keys = np.array([fingerprint(f"vid_{draw.integers(200)}") for _ in range(count)], np.uint32)
        return Timeline(keys, np.full(count, signals.newest_minute, np.int32))

    signals.categories = counters("category", 4, CATEGORY_FIELDS)
    signals.tags = counters("tag", 5, TAG_FIELDS)
    signals.creators = counters("creator", 6, TAG_FIELDS)
    signals.watched, signals.skipped = ring(10), ring(4)
    signals.watched.times = signals.watched.times.astype(np.int64) * 60 << ORDER_BITS
    return signals
