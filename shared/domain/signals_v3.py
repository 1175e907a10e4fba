"""Version 3 of stored signals: everything in one text, in two parts. Pure.

The first part is all that a ranking needs and is read as it is. The second, with an encoding byte before it, is what
only folding and showing need: it is compressed, and no feed request opens it.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from shared.domain.counted_receipts import CountedReceipts
from shared.domain.daily_counts import DailyCounts
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
    CATEGORY_FIELDS,
    DAILY,
    DAILY_DAYS,
    MINUTES_PER_DAY,
    TAG_FIELDS,
    Counters,
    Signals,
    Timeline,
)

VERSION = 3
_HEADER = struct.Struct("<BBfII3fH8BH")
_REST = struct.Struct("<BBQHH")
PLAIN, ZLIB = 0, 1
_MAX_REST_BYTES = 8_192
_NO_DAYS: NDArray[np.int32] = np.zeros(0, np.int32)


def pack(signals: Signals) -> bytes:
    """The document's bytes; `shared/domain/signals_document.py` says what is around them."""
    rest = _pack_rest(signals)
    smaller = zlib.compress(rest, 1)
    encoding, rest = (ZLIB, smaller) if len(smaller) < len(rest) else (PLAIN, rest)
    tables = (signals.categories, signals.tags, signals.creators)
    rings = (signals.dismissed, signals.watched, signals.skipped, signals.follows, signals.progress)
    parts = [
        _HEADER.pack(
            VERSION,
            encoding,
            signals.half_life_days,
            signals.newest_minute,
            min(signals.events, 0xFFFFFFFF),
            *(table.lost for table in tables),
            len(signals.seen.keys),
            *(len(each.keys) for each in (*tables, *rings)),
            len(rest),
        )
    ]
    for table in tables:
        parts += [keys_bytes(table.keys), table.values.astype("<f4", copy=False).tobytes()]
    parts += [narrow(newest_first(signals.seen)), keys_bytes(signals.dismissed.keys), watched_bytes(signals)]
    parts += [keys_bytes(signals.skipped.keys), minute_bytes(signals.skipped.times, signals.newest_minute)]
    parts += [keys_bytes(signals.follows.keys), progress_bytes(signals), rest]
    return sealed(b"".join(parts))


def _pack_rest(signals: Signals) -> bytes:
    newest_day = signals.newest_day
    day_ages, days = by_day(signals.seen.times, newest_day)
    accepted_ms = int(signals.identities.times.max(initial=0))
    ages, sizes = np.unique(accepted_ms - signals.identities.times, return_counts=True)
    counted = signals.counted.pack()
    parts = [_REST.pack(len(day_ages), len(ages), accepted_ms, len(counted), len(signals.daily_counts.pack()))]
    parts.append(days)
    for table in (signals.categories, signals.tags, signals.creators):
        parts.append(day_bytes(table.days, newest_day))
    parts += [day_bytes(signals.dismissed.times, newest_day), day_bytes(signals.follows.times, newest_day)]
    parts += [signals.daily.tobytes(), within(ages.astype(np.int64), 0xFFFFFFFF).astype("<u4").tobytes()]
    parts += [sizes.astype(np.uint8).tobytes(), keys_bytes(newest_first(signals.identities))]
    return b"".join([*parts, counted, signals.daily_counts.pack()])


def unpack(raw: bytes, updated_at: float, whole: bool) -> Signals:
    """The inverse of `pack`. Raises `UnreadableSignals`, `ValueError` or `struct.error`."""
    if not is_whole(raw):
        raise UnreadableSignals("the checksum does not match")
    version, encoding, half_life, newest_minute, events, *numbers = _HEADER.unpack_from(raw)
    if version != VERSION:
        raise UnreadableSignals("another version")
    lost, (n_seen, *n, n_rest) = numbers[:3], numbers[3:]
    reader = Reader(raw, _HEADER.size)

    def counters(table: int, fields: int) -> Counters:
        count = n[table]
        keys = reader.take("<u4", count)
        return Counters(reader.take("<f4", count * fields).reshape(count, fields), keys, _NO_DAYS, lost[table])

    signals = Signals(
        half_life_days=half_life,
        newest_minute=newest_minute,
        events=events,
        categories=counters(0, CATEGORY_FIELDS),
        tags=counters(1, TAG_FIELDS),
        creators=counters(2, TAG_FIELDS),
        seen=Timeline(reader.take_wide(n_seen), _NO_DAYS),
        dismissed=Timeline(reader.take("<u4", n[3]), _NO_DAYS),
        watched=reader.take_watched(n[4], newest_minute),
        skipped=Timeline(reader.take("<u4", n[5]), reader.take_minutes(n[5], newest_minute)),
        follows=Timeline(reader.take("<u4", n[6]), _NO_DAYS),
        progress=reader.take_progress(n[7], newest_minute),
        updated_at=updated_at,
        whole=whole,
    )
    if reader.at + n_rest + CHECKSUM.size != len(raw):
        raise UnreadableSignals("another length")
    if whole:
        _read_rest(signals, _decoded(raw[reader.at : reader.at + n_rest], encoding))
    return signals


def _decoded(raw: bytes, encoding: int) -> bytes:
    if encoding == PLAIN:
        return raw
    if encoding != ZLIB:
        raise UnreadableSignals("another encoding")
    try:
        return zlib.decompressobj().decompress(raw, _MAX_REST_BYTES)
    except zlib.error as error:
        raise UnreadableSignals("zlib") from error


def _read_rest(signals: Signals, raw: bytes) -> None:
    n_days, n_ages, accepted_ms, n_counted, n_daily_counts = _REST.unpack_from(raw)
    newest_day = signals.newest_minute // MINUTES_PER_DAY
    reader = Reader(raw, _REST.size)
    seen_days = reader.take_days(n_days, newest_day)
    signals.seen.times = np.repeat(seen_days, reader.take("<u2", n_days))
    if len(signals.seen.times) != len(signals.seen.keys):
        raise UnreadableSignals("seen ring")
    for table in (signals.categories, signals.tags, signals.creators):
        table.days = reader.take_days(len(table.keys), newest_day)
    for ring in (signals.dismissed, signals.follows):
        ring.times = reader.take_days(len(ring.keys), newest_day)
    signals.daily = reader.take(DAILY, DAILY_DAYS)
    accepted = accepted_ms - reader.take("<u4", n_ages).astype(np.int64)
    sizes = reader.take(np.uint8, n_ages)
    signals.identities = Timeline(reader.take("<u4", int(sizes.sum())), np.repeat(accepted, sizes))
    ends = reader.at + n_counted
    signals.counted = CountedReceipts.unpack(raw[reader.at : ends])
    signals.daily_counts = DailyCounts.unpack(raw[ends : ends + n_daily_counts])
