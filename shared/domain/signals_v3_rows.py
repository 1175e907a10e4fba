"""Decodes the first layout of version 3 of stored signals, which is no longer written. Pure.

The first part has the data for ranking, uncompressed. The second has the data for folding and for the signals view,
uncompressed (`PLAIN`) or compressed (`ZLIB`). `shared/domain/signals_v3.py` has the layout that is written.
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

PLAIN, ZLIB = 0, 1
ENCODINGS = (PLAIN, ZLIB)
HEADER = struct.Struct("<BBfII3fH8BH")
"""Version, encoding, half-life in days, newest minute, events, `lost` of each table; number of seen videos; numbers of
entries of categories, tags, creators, dismissed, watched, skipped, follows and progress; bytes of the rest."""
_REST = struct.Struct("<BBQHH")
_MAX_REST_BYTES = 8_192
_NO_DAYS: NDArray[np.int32] = np.zeros(0, np.int32)


def unpack(raw: bytes, updated_at: float, whole: bool) -> Signals:
    """Decode bytes with a valid checksum and version. Raises `UnreadableSignals`, `ValueError` or `struct.error`."""
    _, encoding, half_life, newest_minute, events, *numbers = HEADER.unpack_from(raw)
    lost, (n_seen, *n, n_rest) = numbers[:3], numbers[3:]
    reader = Reader(raw, HEADER.size)

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
