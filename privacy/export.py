"""Describes everything that is stored about a user, with names where the catalog still knows them. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranking.columns import VideoColumns, Vocabulary
from shared.domain.fingerprint import SEEN_BITS
from shared.domain.formats import iso_time
from shared.domain.user_signals import (
    APPROVALS,
    INTEREST,
    ORDER_BITS,
    SKIPS,
    VIEWS,
    WATCH_FRACTION,
    WATCH_MS,
    Counters,
    Signals,
)

COUNTED = {
    "views": VIEWS,
    "watchedShare": WATCH_FRACTION,
    "skips": SKIPS,
    "approvals": APPROVALS,
    "interest": INTEREST,
    "watchTimeMs": WATCH_MS,
}
"""What is counted of a category, and at which place; tags and creators have the first `TAG_FIELDS` of it."""


def describe_all(signals: Signals, columns: VideoColumns, now: float) -> dict[str, Any]:
    """Signals with every entry named where the catalog still knows the name; else by its fingerprint."""
    newest = np.argsort(-signals.seen.times, kind="stable")
    return {
        "events": signals.events,
        "lastActiveAt": iso_time(signals.newest_minute * 60),
        "updatedAt": iso_time(signals.updated_at),
        "halfLifeDays": signals.half_life_days,
        "categories": _counters(signals.categories, columns.categories, signals.decay_to(now)),
        "tags": _counters(signals.tags, columns.tag_names, signals.decay_to(now)),
        "creators": _counters(signals.creators, columns.creators, signals.decay_to(now)),
        "seen": _videos(signals.seen.keys[newest], signals.seen.times[newest], columns, 86_400, SEEN_BITS),
        "watchedLong": _videos(signals.watched.keys, signals.watched.times >> ORDER_BITS, columns, 1),
        "skipped": _videos(signals.skipped.keys, signals.skipped.times, columns, 60),
        "notInterested": _videos(signals.dismissed.keys, signals.dismissed.times, columns, 86_400),
        "follows": [
            {"creator": columns.creators.shown(key), "at": iso_time(day * 86_400)}
            for key, day in zip(signals.follows.keys.tolist(), signals.follows.times.tolist(), strict=True)
        ],
        "playProgress": [
            {"videoIds": [f"#{key:08x}"], "at": iso_time(began * 60), "seconds": seconds}
            for key, began, seconds, _ in signals.progress.plays()
        ],
        "countedReceipts": len(signals.counted.receipts),
        "recentEventFingerprints": [f"{key:08x}" for key in signals.identities.keys.tolist()],
        "days": [
            {
                "day": iso_time((signals.newest_day - age) * 86_400)[:10],
                "views": int(day["views"]),
                "watchTimeMs": int(day["watch_ms"]),
                "skips": int(day["skips"]),
            }
            for age, day in enumerate(signals.daily)
        ],
    }


def _counters(counters: Counters, names: Vocabulary, faded: float) -> dict[str, dict[str, float]]:
    found = {}
    rows = (counters.values.astype(np.float64) * faded).tolist()
    for key, row in zip(counters.keys.tolist(), rows, strict=True):
        found[names.shown(key)] = {field: round(row[at], 4) for field, at in COUNTED.items() if at < len(row)}
    return found


def _videos(
    keys: NDArray[np.uint32], times: NDArray[Any], columns: VideoColumns, unit_seconds: int, bits: int = 32
) -> list[dict[str, Any]]:
    listed = []
    for key, time in zip(keys.tolist(), times.tolist(), strict=True):
        rows = columns.find(np.array([key], np.uint32), bits=bits)
        ids = sorted(columns.ids[row] for row in rows.tolist())
        listed.append({"videoIds": ids or [f"#{key:0{bits // 4}x}"], "at": iso_time(time * unit_seconds)})
    return listed
