"""Encodes version 2 of stored signals: a part that the previous release reads, and additions that it ignores. Pure.

`pack` makes the part that both releases read, with 20 long views in minutes. `pack_additions` makes the rest: 60 long
views in seconds, interest by time watched, follows and play progress. Its checksum also covers the first part: when the
previous release has rewritten that, the additions no longer fit and are ignored.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.domain.signals_columns import (
    CHECKSUM,
    Reader,
    UnreadableSignals,
    by_day,
    day_bytes,
    is_whole,
    keys_bytes,
    minute_bytes,
    narrow,
    newest_first,
    progress_bytes,
    sealed,
    watched_bytes,
    within,
)
from shared.domain.user_signals import (
    APPROVALS,
    CATEGORY_FIELDS,
    DAILY,
    DAILY_DAYS,
    INTEREST,
    MINUTES_PER_DAY,
    ORDER_BITS,
    SECONDS_PER_MINUTE,
    TAG_FIELDS,
    VIEWS,
    WATCH_MS,
    Counters,
    Progress,
    Signals,
    Timeline,
)

VERSION = 2
LONG_VIEWS = 20
_HEADER = struct.Struct("<BfIIQ3f8H")
_ADDITIONS = struct.Struct("<B3B")
_OF_CATEGORIES, _OF_TAGS = CATEGORY_FIELDS - 1, TAG_FIELDS - 1
_BEFORE_INTEREST = APPROVALS + 1
_STORED: dict[int, Any] = {
    CATEGORY_FIELDS: [column for column in range(CATEGORY_FIELDS) if column != INTEREST],
    TAG_FIELDS: slice(INTEREST),
}
"""Columns in `packed`, by their number in memory."""
_NO_DAYS: NDArray[np.int32] = np.zeros(0, np.int32)
_NO_IDENTITIES = Timeline(times=np.zeros(0, np.int64))
_NO_FOLLOWS, _NO_PROGRESS = Timeline(), Progress()


def pack(signals: Signals) -> bytes:
    """Encode the part that the previous release reads too, for `shared/domain/signals_document.py`."""
    accepted_ms = int(signals.identities.times.max(initial=0))
    newest_day, newest_minute = signals.newest_day, signals.newest_minute
    day_ages, days = by_day(signals.seen.times, newest_day)
    watched, minutes = signals.watched.keys[:LONG_VIEWS], signals.watched_minutes[:LONG_VIEWS]
    header = _HEADER.pack(
        VERSION,
        signals.half_life_days,
        newest_minute,
        min(signals.events, 0xFFFFFFFF),
        accepted_ms,
        signals.categories.lost,
        signals.tags.lost,
        signals.creators.lost,
        len(signals.categories.keys),
        len(signals.tags.keys),
        len(signals.creators.keys),
        len(signals.seen.keys),
        len(day_ages),
        len(signals.dismissed.keys),
        len(watched) << 8 | len(signals.skipped.keys),
        len(signals.identities.keys),
    )
    parts = [header, signals.daily.tobytes()]
    for counters in (signals.categories, signals.tags, signals.creators):
        parts += [keys_bytes(counters.keys), day_bytes(counters.days, newest_day)]
        parts.append(counters.values[:, _STORED[counters.values.shape[1]]].astype("<f4", copy=False).tobytes())
    parts += [days, narrow(newest_first(signals.seen))]
    parts += [keys_bytes(signals.dismissed.keys), day_bytes(signals.dismissed.times, newest_day)]
    parts += [keys_bytes(watched), minute_bytes(minutes, newest_minute)]
    parts += [keys_bytes(signals.skipped.keys), minute_bytes(signals.skipped.times, newest_minute)]
    ages_ms = within(accepted_ms - signals.identities.times.astype(np.int64), 0xFFFFFFFF)
    parts += [keys_bytes(signals.identities.keys), ages_ms.astype("<u4").tobytes()]
    return sealed(b"".join(parts))


def pack_additions(signals: Signals, packed: bytes) -> bytes:
    """Encode the parts that `packed` lacks."""
    header = _ADDITIONS.pack(VERSION, len(signals.watched.keys), len(signals.follows.keys), len(signals.progress.keys))
    parts = [header]
    tables = (signals.categories, signals.tags, signals.creators)
    parts.append(np.concatenate([table.values[:, INTEREST] for table in tables]).astype("<f4", copy=False).tobytes())
    parts.append(watched_bytes(signals))
    if len(signals.follows.keys):
        parts += [keys_bytes(signals.follows.keys), day_bytes(signals.follows.times, signals.newest_day)]
    if len(signals.progress.keys):
        parts.append(progress_bytes(signals))
    return sealed(b"".join(parts), _checksum(packed))


@dataclass(slots=True)
class _Additions:
    """Parts that the previous release does not read. `interest`: of categories, tags and creators together."""

    interest: NDArray[np.float32]
    watched: Timeline
    follows: Timeline
    progress: Progress


def unpack(raw: bytes, additions: bytes, updated_at: float, whole: bool) -> Signals:
    """Decode the bytes of `pack` and `pack_additions`. Raises `UnreadableSignals`, `ValueError` or `struct.error`.

    Without additions that fit, views replace interest, as in the previous release, and no play counts that can have
    been counted. Not `whole`: the additions are not read, so there are 20 long views in minutes, and views replace
    interest.
    """
    if not is_whole(raw):
        raise UnreadableSignals("the checksum does not match")
    version, half_life, newest_minute, events, accepted_ms, *rest = _HEADER.unpack_from(raw)
    if version != VERSION:
        raise UnreadableSignals("another version")
    lost, counts = rest[:3], rest[3:]
    n_categories, n_tags, n_creators, n_seen, n_days, n_dismissed, n_both, n_identities = counts
    newest_day = newest_minute // MINUTES_PER_DAY
    reader = Reader(raw, _HEADER.size)
    entries = n_categories + n_tags + n_creators
    added = _read_additions(additions, raw, entries, newest_minute) if whole else None

    def days(count: int) -> NDArray[np.int32]:
        if whole:
            return reader.take_days(count, newest_day)
        reader.at += count
        return _NO_DAYS

    def counters(before: int, count: int, fields: int, evicted: float) -> Counters:
        keys, touched = reader.take("<u4", count), days(count)
        stored = reader.take("<f4", count * fields).reshape(count, fields)
        interest = added.interest[before : before + count] if added else stored[:, VIEWS]
        return Counters(_with_interest(stored, interest), keys, touched, evicted)

    daily = reader.take(DAILY, DAILY_DAYS)
    categories = counters(0, n_categories, _OF_CATEGORIES, lost[0])
    tags = counters(n_categories, n_tags, _OF_TAGS, lost[1])
    creators = counters(n_categories + n_tags, n_creators, _OF_TAGS, lost[2])
    seen_days = days(n_days)
    if whole:
        seen_days = np.repeat(seen_days, reader.take("<u2", n_days))
        if len(seen_days) != n_seen:
            raise UnreadableSignals("seen ring")
    else:
        reader.at += 2 * n_days
    seen = Timeline(reader.take_wide(n_seen), seen_days)
    dismissed = Timeline(reader.take("<u4", n_dismissed), days(n_dismissed))
    watched = Timeline(reader.take("<u4", n_both >> 8), reader.take_minutes(n_both >> 8, newest_minute))
    skipped = Timeline(reader.take("<u4", n_both & 0xFF), reader.take_minutes(n_both & 0xFF, newest_minute))
    identities = _NO_IDENTITIES
    if whole:
        keys = reader.take("<u4", n_identities)
        identities = Timeline(keys, accepted_ms - reader.take("<u4", n_identities).astype(np.int64))
    return Signals(
        half_life_days=half_life,
        newest_minute=newest_minute,
        events=events,
        categories=categories,
        tags=tags,
        creators=creators,
        seen=seen,
        dismissed=dismissed,
        watched=added.watched if added else _in_seconds(watched),
        skipped=skipped,
        follows=added.follows if added else _NO_FOLLOWS,
        progress=added.progress if added else Progress.of((), newest_minute) if whole else _NO_PROGRESS,
        identities=identities,
        daily=daily,
        updated_at=updated_at,
        whole=whole,
    )


def _read_additions(raw: bytes, packed: bytes, entries: int, newest_minute: int) -> _Additions | None:
    if not is_whole(raw, _checksum(packed)):
        return None
    version, n_watched, n_follows, n_progress = _ADDITIONS.unpack_from(raw)
    if version != VERSION:
        return None
    reader = Reader(raw, _ADDITIONS.size)
    interest = reader.take("<f4", entries)
    watched = reader.take_watched(n_watched, newest_minute)
    follows, progress = _NO_FOLLOWS, _NO_PROGRESS
    if n_follows:
        keys = reader.take("<u4", n_follows)
        follows = Timeline(keys, reader.take_days(n_follows, newest_minute // MINUTES_PER_DAY))
    if n_progress:
        progress = reader.take_progress(n_progress, newest_minute)
    return _Additions(interest, watched, follows, progress)


def _checksum(packed: bytes) -> int:
    checksum: int = CHECKSUM.unpack_from(packed, len(packed) - CHECKSUM.size)[0]
    return checksum


def _with_interest(stored: NDArray[Any], interest: NDArray[Any]) -> NDArray[np.float32]:
    count, fields = stored.shape
    values = np.empty((count, fields + 1), np.float32)
    values[:, :_BEFORE_INTEREST] = stored[:, :_BEFORE_INTEREST]
    values[:, INTEREST] = interest
    if fields > _BEFORE_INTEREST:
        values[:, WATCH_MS] = stored[:, _BEFORE_INTEREST]
    return values


def _in_seconds(minutes: Timeline) -> Timeline:
    return Timeline(minutes.keys, (minutes.times.astype(np.int64) * SECONDS_PER_MINUTE) << ORDER_BITS)
