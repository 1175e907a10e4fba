"""Describes a user's signals in readable form, for operators. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np

from ranking.columns import Vocabulary
from shared.domain.formats import iso_time
from shared.domain.user_signals import DAILY_DAYS, SKIPS, VIEWS, WATCH_MS, Signals


def describe(signals: Signals, categories: Vocabulary, now: float) -> dict[str, Any]:
    """Return the signals as a readable object. Category figures are decayed to `now`; seven-day totals are plain
    counts."""
    faded = signals.decay_to(now)
    table = (signals.categories.values.astype(np.float64) * faded).tolist()
    stats = {
        categories.shown(key): {
            "views": round(row[VIEWS], 4),
            "watchTimeMs": round(row[WATCH_MS], 1),
            "skips": round(row[SKIPS], 4),
        }
        for key, row in zip(signals.categories.keys.tolist(), table, strict=True)
    }
    skipped_days = int(now // 86_400) - signals.newest_day
    recent = signals.daily[: max(0, DAILY_DAYS - max(0, skipped_days))]
    views, skips = int(recent["views"].sum()), int(recent["skips"].sum())
    return {
        "categoryStats": stats,
        "categoryStatsLost": round(signals.categories.lost * faded, 4),
        "halfLifeDays": signals.half_life_days,
        "totalViewsLast7d": views,
        "totalWatchTimeLast7dMs": int(recent["watch_ms"].sum()),
        "skipRateLast7d": round(skips / (views + skips), 4) if views + skips else 0.0,
        "events": signals.events,
        "seenVideos": len(signals.seen.keys),
        "notInterestedVideos": len(signals.dismissed.keys),
        "lastActiveAt": iso_time(signals.newest_minute * 60),
        "updatedAt": iso_time(signals.updated_at),
    }
