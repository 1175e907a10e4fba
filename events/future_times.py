"""Repairs times from the future, written by an instance whose clock ran ahead. Pure: no I/O, no clock.

Sums decay towards the newest folded time. So one event from the future would weaken everything folded until real time
reaches it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from events.schema import CLAMP_AHEAD_SECONDS, Event
from shared.domain.user_signals import DAILY_DAYS, MINUTES_PER_DAY, ORDER_BITS, Counters, Signals, Timeline


def events_until(events: Sequence[Event], now: float) -> tuple[Event, ...]:
    """Return the events; those more than 5 minutes ahead of `now` (seconds since the epoch) are moved to `now`."""
    limit = (now + CLAMP_AHEAD_SECONDS) * 1000
    return tuple(event if event.at_ms <= limit else replace(event, at_ms=int(now * 1000)) for event in events)


def signals_until(signals: Signals, now: float) -> Signals:
    """Return the signals with no time after `now`; the same object if none is more than 5 minutes ahead.

    A counter last changed before today regains what it lost by decaying towards the future. One changed later stays as
    it is: nothing tells how much of it came from the future.
    """
    latest = now + CLAMP_AHEAD_SECONDS
    if max(signals.newest_minute * 60, signals.updated_at, signals.identities.times.max(initial=0) / 1000) <= latest:
        return signals
    newest = min(signals.newest_minute, int(now // 60))
    today, days_ahead = newest // MINUTES_PER_DAY, signals.newest_day - newest // MINUTES_PER_DAY
    exponent = (signals.newest_minute - newest) / (signals.half_life_days * MINUTES_PER_DAY)
    regained = np.float32(2.0 ** min(exponent, 100.0))

    def counters(old: Counters) -> Counters:
        factor = np.where(old.days < today, regained, np.float32(1.0))[:, None]
        return Counters(old.values * factor, old.keys, np.minimum(old.days, today), old.lost)

    def ring(old: Timeline, latest: int) -> Timeline:
        times = np.minimum(old.times, latest)
        order = np.lexsort((old.keys, -times))
        return Timeline(old.keys[order], times[order])

    daily = np.zeros_like(signals.daily)
    kept = max(0, DAILY_DAYS - days_ahead)
    daily[:kept] = signals.daily[DAILY_DAYS - kept :]
    for name in daily.dtype.names or ():
        daily[name][0] += signals.daily[name][:days_ahead].sum()
    return replace(
        signals,
        newest_minute=newest,
        categories=counters(signals.categories),
        tags=counters(signals.tags),
        creators=counters(signals.creators),
        seen=ring(signals.seen, today),
        watched=ring(signals.watched, ((newest + 1) * 60 << ORDER_BITS) - 1),
        skipped=ring(signals.skipped, newest),
        dismissed=ring(signals.dismissed, today),
        follows=ring(signals.follows, today),
        progress=replace(signals.progress, times=np.minimum(signals.progress.times, newest)),
        identities=ring(signals.identities, int(now * 1000)),
        daily=daily,
        counted=signals.counted.until(int(latest)),
        daily_counts=signals.daily_counts.until(today),
        updated_at=min(signals.updated_at, now),
    )
