"""Folds a batch of events into a user's signals. Pure: no I/O, no clock.

Folding is commutative: batches in any order give the same signals while nothing exceeds a cap. Above a cap the weakest
counters are evicted. Their strength is added to `Counters.lost`, which bounds what any entry lacks. Rings keep the
newest entries by (time, fingerprint), so the order of arrival does not matter. Long views of the same second are
ordered by acceptance. The ring of identities is ordered by acceptance too. So an event sent again in another batch
counts once, however old it is, while it is among the last 100 accepted; a whole batch always fits. Counters are sums of
float32, so "the same" means equal to about one part in a million.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from events.future_times import signals_until
from events.list_changes import is_finished
from events.plays import Followed, Step, follow
from events.schema import Event
from events.video_facts import Facts
from ranking.watching import counted_watch_time, interest, is_long_view, watch_fraction
from shared.domain.event_types import (
    COMPLETE,
    IMPRESSION,
    LIKE,
    NOT_INTERESTED,
    OF_PLAYING,
    PROGRESS,
    SAVE,
    SHARE,
    SKIP,
    UNLIKE,
    UNSAVE,
    VIDEO_VIEW,
)
from shared.domain.fingerprint import SEEN_MASK, fingerprint_of_name
from shared.domain.finished_episodes import Finished
from shared.domain.user_signals import (
    APPROVALS,
    CATEGORY_FIELDS,
    DAILY,
    DAILY_DAYS,
    IDENTITY_DAYS,
    KEEP_DAYS,
    MAX_CATEGORIES,
    MAX_CREATORS,
    MAX_DISMISSED,
    MAX_FOLLOWS,
    MAX_IDENTITIES,
    MAX_SEEN,
    MAX_SKIPPED,
    MAX_TAGS,
    MAX_WATCHED,
    MINUTES_PER_DAY,
    ORDER_BITS,
    SKIPS,
    VIEWS,
    Counters,
    Signals,
    Timeline,
    long_view_time,
)

_MS_PER_MINUTE = 60_000
_SECONDS_PER_DAY = 86_400
_APPROVAL = {LIKE: 1.0, SHARE: 1.0, SAVE: 1.0, UNLIKE: -1.0, UNSAVE: -1.0}
_NEGATIVE = (SKIP, NOT_INTERESTED)

_CAPS = (MAX_CATEGORIES, MAX_TAGS, MAX_CREATORS)
_TABLES: NDArray[np.int64] = np.arange(len(_CAPS)) << 32
"""Categories, tags, creators: the number of the table, above the 32 bits of a fingerprint."""
_CATEGORIES, _TAGS, _CREATORS = _TABLES.tolist()
_ONE_SKIP = (0.0, 0.0, 1.0, 0.0, 0.0, 0.0)


@dataclass(slots=True)
class _Added:
    """Amounts that a batch adds to counters. `amounts` and `days` have a row for each event that adds anything: its
    amounts, decayed to the newest minute, and its day. `keys` are the (table, fingerprint) pairs that events are about,
    `rows` the row of that event. A key can occur several times."""

    amounts: NDArray[np.float64]
    days: NDArray[np.int32]
    keys: list[int]
    rows: list[int]


def fold(
    signals: Signals | None,
    events: Sequence[Event],
    facts: Mapping[str, Facts],
    half_life_days: float,
    now: float,
    accepted_at: float | None = None,
    fresh: Sequence[Event] | None = None,
    followed: Followed | None = None,
) -> Signals:
    """Return `signals` (None for a new user) with `events` added.

    `facts` by video id. An event about a video without facts only adds what needs no facts: seen videos and daily
    totals. A changed `half_life_days` applies from now on; what was folded before keeps its decay. Entries older than
    90 days before `now` (seconds since the epoch) are dropped, and stored times after `now` are repaired. `accepted_at`
    is when the events were accepted; None, or a later time, means now. Followed subjects stay as they are: the list
    `following` decides about them.

    `fresh`: the result of `not_folded_yet`, if the caller has it, and `followed`: the result of `follow` for these
    events. Only `events` enter the ring of identities. A tenant's history is folded as `fresh` without any `events`.
    """
    old = signals_until(signals, now) if signals else Signals(half_life_days)
    fresh = not_folded_yet(signals, events) if fresh is None else fresh
    followed = follow(old.progress, fresh, facts) if followed is None else followed
    steps = followed.steps
    newest = max([old.newest_minute, *(e.at_ms // _MS_PER_MINUTE for e in fresh)])
    faded = float(2.0 ** ((old.newest_minute - newest) / (old.half_life_days * MINUTES_PER_DAY)))
    added = _added(fresh, steps, facts, newest, half_life_days)
    oldest_day = int(now // 86_400) - KEEP_DAYS
    accepted_ms = int((now if accepted_at is None else min(now, accepted_at)) * 1000)
    categories, tags, creators = _add((old.categories, old.tags, old.creators), added, faded, oldest_day)

    return Signals(
        half_life_days=half_life_days,
        newest_minute=newest,
        events=old.events + sum(map(_is_action, fresh, steps)),
        categories=categories,
        tags=tags,
        creators=creators,
        seen=_newest(old.seen, _videos(fresh, _day, SEEN_MASK), MAX_SEEN, oldest_day),
        watched=_newest(
            old.watched,
            _videos(
                [e for e in fresh if _long(e, facts)], lambda event: long_view_time(event.at_ms, accepted_ms // 1000)
            ),
            MAX_WATCHED,
            oldest_day * _SECONDS_PER_DAY << ORDER_BITS,
        ),
        skipped=_newest(
            old.skipped,
            _videos([e for e in fresh if e.type in _NEGATIVE], _minute),
            MAX_SKIPPED,
            oldest_day * MINUTES_PER_DAY,
        ),
        follows=_newest(old.follows, ([], []), MAX_FOLLOWS, oldest_day),
        finished=old.finished.with_all(_finished(fresh, facts), oldest_day),
        progress=followed.progress.since(oldest_day * MINUTES_PER_DAY),
        dismissed=_newest(
            old.dismissed, _videos([e for e in fresh if e.type == NOT_INTERESTED], _day), MAX_DISMISSED, oldest_day
        ),
        identities=_newest(
            old.identities,
            ([event.identity for event in events], [accepted_ms] * len(events)),
            MAX_IDENTITIES,
            int(now * 1000) - IDENTITY_DAYS * 86_400_000,
        ),
        daily=_daily(old, fresh, steps, facts, newest),
        counted=old.counted,
        daily_counts=old.daily_counts,
        updated_at=max(now, old.updated_at),
    )


def not_folded_yet(signals: Signals | None, events: Sequence[Event]) -> list[Event]:
    """Return the events whose identity is neither in the ring nor earlier in the batch (a client can send an event
    twice)."""
    known = set(signals.identities.keys.tolist()) if signals else set()
    fresh = []
    for event in events:
        if event.identity not in known:
            known.add(event.identity)
            fresh.append(event)
    return fresh


def _is_action(event: Event, step: Step | None) -> bool:
    """Tell whether the user did something. Only the first event of a play is an action."""
    if event.play is not None:
        return step is not None and step.before is None
    return event.type != IMPRESSION and event.type not in OF_PLAYING


def _added(
    events: Sequence[Event],
    steps: Sequence[Step | None],
    facts: Mapping[str, Facts],
    newest_minute: int,
    half_life_days: float,
) -> _Added:
    """Return what the events add per category, tag and creator. An event weighs 2^(−age / half-life)."""
    amounts_of: list[Sequence[float]] = []
    minutes: list[int] = []
    keys: list[int] = []
    rows: list[int] = []
    for event, step in zip(events, steps, strict=True):
        fact = facts.get(event.video_id)
        amounts = _amounts(event, step, fact) if fact else None
        if fact is None or amounts is None:
            continue
        named = _keys(fact.category, fact.tags, fact.creator)
        keys += named
        rows += [len(amounts_of)] * len(named)
        amounts_of.append(amounts)
        minutes.append(event.counts_at_ms // _MS_PER_MINUTE)
    at = np.array(minutes, np.int64)
    weights = np.exp2((at - newest_minute) / (half_life_days * MINUTES_PER_DAY))
    weighted = np.array(amounts_of, np.float64).reshape(-1, CATEGORY_FIELDS) * weights[:, None]
    return _Added(weighted, (at // MINUTES_PER_DAY).astype(np.int32), keys, rows)


@lru_cache(1 << 13)
def _keys(category: str, tags: tuple[str, ...], creator: str) -> tuple[int, ...]:
    """Return the counters that a video's events add to. Cached, because the same videos are watched again and again."""
    named = [(_CATEGORIES, category), *((_TAGS, tag) for tag in dict.fromkeys(tags)), (_CREATORS, creator)]
    return tuple(table | fingerprint_of_name(name) for table, name in named if name or table == _TAGS)


def _amounts(event: Event, step: Step | None, fact: Facts) -> Sequence[float] | None:
    """Return what one event adds: views, watch fraction, skips, approvals, interest, watch ms. None when it adds
    nothing."""
    if event.play is not None:
        return _amounts_of_play(step, fact.duration_seconds)
    if event.type == VIDEO_VIEW:
        duration = fact.duration_seconds
        watch_ms = counted_watch_time(event.watch_ms, duration)
        return (1.0, watch_fraction(watch_ms, duration), 0.0, 0.0, interest(watch_ms, duration), watch_ms)
    if event.type in _NEGATIVE:
        return _ONE_SKIP
    approval = _APPROVAL.get(event.type)
    return None if approval is None else (0.0, 0.0, 0.0, approval, 0.0, 0.0)


def _amounts_of_play(step: Step | None, duration: float) -> Sequence[float] | None:
    """Return the same for an event of a play: the difference between its furthest position before and after."""
    if step is None or not step.adds:
        return None
    before, after = 1000.0 * (step.before or 0), 1000.0 * step.after
    share = watch_fraction(after, duration) - watch_fraction(before, duration)
    interested = interest(after, duration) - interest(before, duration)
    return (float(step.before is None), share, 0.0, 0.0, interested, after - before)


def _add(tables: Sequence[Counters], added: _Added, faded: float, oldest_day: int) -> list[Counters]:
    """Return the tables of counters at the newest minute, with the batch's amounts, without old entries, within their
    caps. All tables are processed in one pass: the table's number stands above an entry's fingerprint."""
    sizes = [len(each.keys) for each in tables]
    keys = np.concatenate([each.keys for each in tables]).astype(np.int64)
    keys |= np.repeat(_TABLES, sizes)
    days = np.concatenate([each.days for each in tables])
    values = np.zeros((len(keys), CATEGORY_FIELDS))
    at = 0
    for each, size in zip(tables, sizes, strict=True):
        values[at : at + size, : each.values.shape[1]] = each.values * np.float32(faded)
        at += size
    if added.keys:
        keys = np.concatenate([keys, np.array(added.keys, np.int64)])
        order = keys.argsort(kind="stable")
        keys = keys[order]
        first = _first_of_each(keys)
        keys = keys[first]
        days = np.maximum.reduceat(np.concatenate([days, added.days[added.rows]])[order], first)
        values = np.add.reduceat(np.concatenate([values, added.amounts[added.rows]])[order], first)
    kept = days >= oldest_day
    if not kept.all():
        keys, days, values = keys[kept], days[kept], values[kept]
    ends = [*keys.searchsorted(_TABLES[1:]).tolist(), len(keys)]
    found, at = [], 0
    for each, end, cap in zip(tables, ends, _CAPS, strict=True):
        of_table = slice(at, end)
        sums = values[of_table, : each.values.shape[1]].astype(np.float32)
        counters = Counters(sums, keys[of_table].astype(np.uint32), days[of_table], each.lost * faded)
        found.append(counters if end - at <= cap else _strongest(counters, values[of_table], cap))
        at = end
    return found


def _strongest(counters: Counters, sums: NDArray[np.float64], cap: int) -> Counters:
    """Return the `cap` strongest counters; of equal ones those with the lower fingerprints. `sums`: their values before
    rounding."""
    strength = _strength(sums)
    by_strength = np.lexsort((counters.keys, -strength))
    kept = np.sort(by_strength[:cap])
    lost = counters.lost + float(strength[by_strength[cap:]].sum())
    return Counters(counters.values[kept], counters.keys[kept], counters.days[kept], lost)


def _first_of_each(ascending: NDArray[Any]) -> NDArray[np.intp]:
    """Return the first index of each value in a sorted, non-empty column."""
    differs = np.empty(len(ascending), bool)
    differs[0] = True
    np.not_equal(ascending[1:], ascending[:-1], out=differs[1:])
    return differs.nonzero()[0]


def _strength(values: NDArray[Any]) -> NDArray[np.float64]:
    """Return the strength of each entry: decayed views, skips and approvals."""
    strength: NDArray[np.float64] = values[:, VIEWS] + values[:, SKIPS] + np.maximum(values[:, APPROVALS], 0.0)
    return strength


def _newest(ring: Timeline, added: tuple[list[int], list[int]], cap: int, oldest: int) -> Timeline:
    """Return the ring with fingerprints and their times added: each once at its newest time, at most the newest `cap`.

    Sorted newest first, ties by fingerprint, so the result does not depend on the order of arrival.
    """
    new_keys, new_times = added
    if not new_keys and (not len(ring.times) or ring.times.min() >= oldest):
        return ring
    keys = np.concatenate([ring.keys, np.array(new_keys, np.uint32)])
    times = np.concatenate([ring.times, np.array(new_times, ring.times.dtype)])
    by_key = np.lexsort((-times, keys))
    each = by_key[_first_of_each(keys[by_key])]
    keys, times = keys[each], times[each]
    order = np.lexsort((keys, -times))[:cap]
    times = times[order]
    kept = int(np.count_nonzero(times >= oldest))
    return Timeline(keys[order[:kept]], times[:kept])


def _videos(events: Sequence[Event], time: Any, mask: int = 0xFFFFFFFF) -> tuple[list[int], list[int]]:
    """Return the fingerprints of the events' videos, and a time of each."""
    events = [event for event in events if event.subject is None]
    return [fingerprint_of_name(event.video_id) & mask for event in events], [time(event) for event in events]


def _finished(events: Sequence[Event], facts: Mapping[str, Facts]) -> list[Finished]:
    """Return the episodes that were finished."""
    found = []
    for event in events:
        fact = facts.get(event.video_id)
        if fact is not None and fact.place.series_id and is_finished(event, fact):
            found.append(Finished(fingerprint_of_name(fact.place.series_id), *fact.place.order, _day(event)))
    return found


def _minute(event: Event) -> int:
    return event.at_ms // _MS_PER_MINUTE


def _day(event: Event) -> int:
    return event.at_ms // (_MS_PER_MINUTE * MINUTES_PER_DAY)


def _long(event: Event, facts: Mapping[str, Facts]) -> bool:
    if event.type == COMPLETE:
        return True
    if event.type not in (VIDEO_VIEW, PROGRESS):
        return False
    fact = facts.get(event.video_id)
    return is_long_view(event.watch_ms or 0.0, fact.duration_seconds if fact else 0.0)


def _daily(
    signals: Signals,
    events: Sequence[Event],
    steps: Sequence[Step | None],
    facts: Mapping[str, Facts],
    newest_minute: int,
) -> NDArray[np.void]:
    """Return plain totals of the last seven days; index 0 is the newest day."""
    today = newest_minute // MINUTES_PER_DAY
    shift = min(DAILY_DAYS, today - signals.newest_day) if signals.newest_minute else DAILY_DAYS
    daily = np.zeros(DAILY_DAYS, DAILY)
    daily[shift:] = signals.daily[: DAILY_DAYS - shift]
    views, skips, watch_ms = [0] * DAILY_DAYS, [0] * DAILY_DAYS, [0.0] * DAILY_DAYS
    for event, step in zip(events, steps, strict=True):
        age = today - event.counts_at_ms // (_MS_PER_MINUTE * MINUTES_PER_DAY)
        if age >= DAILY_DAYS:
            continue
        if event.play is not None:
            if step is not None:
                views[age] += step.before is None
                watch_ms[age] += 1000 * (step.after - (step.before or 0))
        elif event.type == VIDEO_VIEW:
            views[age] += 1
            fact = facts.get(event.video_id)
            watch_ms[age] += counted_watch_time(event.watch_ms, fact.duration_seconds if fact else 0.0)
        elif event.type in _NEGATIVE:
            skips[age] += 1
    for name, amounts in (("views", views), ("skips", skips), ("watch_ms", watch_ms)):
        if any(amounts):
            daily[name] += np.array(amounts, daily[name].dtype)
    return daily
