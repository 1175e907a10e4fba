"""Encodes version 3 of stored signals: one text with two parts. Pure.

The first part has the data for ranking, in small uncompressed columns. The second has the data for folding and for the
signals view; it is compressed, and feed requests do not read it. An encoding byte distinguishes this layout (`COLUMNS`)
from the first one, which is still read (`shared/domain/signals_v3_rows.py`).
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from shared.domain import signals_v3_rows
from shared.domain.counted_receipts import CountedReceipts
from shared.domain.daily_counts import DailyCounts
from shared.domain.signals_columns import (
    CHECKSUM,
    NewerSignals,
    Reader,
    UnreadableSignals,
    day_bytes,
    fingerprints_bytes,
    is_whole,
    keys_bytes,
    narrow,
    newest_first,
    places_of_bytes,
    runs,
    sealed,
    split,
    sums_bytes,
    watched_ages,
    within,
)
from shared.domain.user_signals import (
    CATEGORY_FIELDS,
    DAILY,
    DAILY_DAYS,
    MINUTES_PER_DAY,
    ORDER_BITS,
    SECONDS_PER_MINUTE,
    TAG_FIELDS,
    Counters,
    Progress,
    Signals,
    Timeline,
)

VERSION = 3
COLUMNS = 2
"""Encoding byte of this layout."""
HEADER = signals_v3_rows.HEADER
PERIOD_MINUTES = 32 * MINUTES_PER_DAY
"""Sums are stored as of the beginning of the newest minute's period. So a sum without new events keeps the same bits;
rounding a decayed sum after each batch would add up."""
_REST = struct.Struct("<BQHH")
_MAX_REST_BYTES = 8_192
_WINDOW_BITS, _MEMORY = -10, 3
"""Raw deflate with a small window and small blocks, which suit short, different columns."""
_NO_TIMES: NDArray[np.int32] = np.zeros(0, np.int32)
_LOW_ORDER = (1 << ORDER_BITS) - 1


def pack(signals: Signals) -> bytes:
    """Encode the signals, for `shared/domain/signals_document.py`."""
    by_fingerprint = signals.seen.keys.argsort()
    rest = _compressed(_pack_rest(signals, by_fingerprint))
    tables = (signals.categories, signals.tags, signals.creators)
    rings = (signals.dismissed, signals.watched, signals.skipped, signals.follows, signals.progress)
    counts = [len(each.keys) for each in (*tables, *rings)]
    half_life = float(np.float32(signals.half_life_days))  # with the precision of the stored value
    header = HEADER.pack(
        VERSION,
        COLUMNS,
        half_life,
        signals.newest_minute,
        min(signals.events, 0xFFFFFFFF),
        *(table.lost for table in tables),
        len(signals.seen.keys),
        *counts,
        len(rest),
    )
    keys = np.concatenate([each.keys for each in (*tables, *rings)])
    sums = np.concatenate([table.values.ravel() for table in tables])
    minutes = np.concatenate([signals.skipped.times, signals.progress.times])
    ages = np.concatenate([watched_ages(signals), signals.newest_minute - minutes])
    seconds: NDArray[np.uint16] = np.minimum(signals.progress.seconds, 0xFFFF).astype("<u2")
    parts = [
        header,
        keys_bytes(keys),
        sums_bytes(sums * np.float32(_growth(signals.newest_minute, half_life))),
        fingerprints_bytes(signals.seen.keys[by_fingerprint]),
        narrow(within(ages, 0xFFFFFF)),
        seconds.tobytes(),
        keys_bytes(newest_first(signals.identities)),
        rest,
    ]
    return sealed(b"".join(parts))


def _growth(newest_minute: int, half_life_days: float) -> float:
    """Return the factor that converts sums of the newest minute to the beginning of its period."""
    return float(2.0 ** (newest_minute % PERIOD_MINUTES / (half_life_days * MINUTES_PER_DAY)))


def _pack_rest(signals: Signals, by_fingerprint: NDArray[np.intp]) -> bytes:
    accepted = signals.identities.times
    accepted_ms = int(accepted.max(initial=0))
    ages, sizes = runs(np.sort(accepted_ms - accepted))
    counted, today = signals.counted.pack(), signals.daily_counts.pack()
    days = [signals.seen.times[by_fingerprint], signals.categories.days, signals.tags.days, signals.creators.days]
    days += [signals.dismissed.times, signals.follows.times]
    order: NDArray[np.uint16] = (signals.watched.times & _LOW_ORDER).astype("<u2")
    return b"".join(
        [
            _REST.pack(len(ages), accepted_ms, len(counted), len(today)),
            day_bytes(np.concatenate(days), signals.newest_day),
            places_of_bytes(order),
            places_of_bytes(signals.daily),
            within(ages.astype(np.int64), 0xFFFFFFFF).astype("<u4").tobytes(),
            sizes.astype(np.uint8).tobytes(),
            today,
            counted,
        ]
    )


def _compressed(raw: bytes) -> bytes:
    packer = zlib.compressobj(6, zlib.DEFLATED, _WINDOW_BITS, _MEMORY, zlib.Z_RLE)
    return packer.compress(raw) + packer.flush()


def unpack(raw: bytes, updated_at: float, whole: bool) -> Signals:
    """Decode the bytes of `pack`, or of the first layout. Raises `UnreadableSignals`, `ValueError`, `ArithmeticError`
    or `struct.error`."""
    if not is_whole(raw):
        raise UnreadableSignals("the checksum does not match")
    version, encoding, half_life, newest_minute, events, *numbers = HEADER.unpack_from(raw)
    if version != VERSION:
        raise UnreadableSignals("another version")
    if encoding in signals_v3_rows.ENCODINGS:
        return signals_v3_rows.unpack(raw, updated_at, whole)
    if encoding != COLUMNS:
        raise NewerSignals(f"encoding {encoding}")
    lost, (n_seen, *n, n_rest) = numbers[:3], numbers[3:]
    n_categories, n_tags, n_creators, _, n_watched, n_skipped, _, n_progress = n
    reader = Reader(raw, HEADER.size)
    categories, tags, creators, dismissed, watched, skipped, follows, progress = split(reader.take("<u4", sum(n)), n)
    sums = reader.take_sums(n_categories * CATEGORY_FIELDS + (n_tags + n_creators) * TAG_FIELDS)
    sums *= np.float32(1 / _growth(newest_minute, half_life))
    seen = reader.take_fingerprints(n_seen)
    ages = reader.take_wide(n_watched + n_skipped + n_progress).astype(np.int32)
    seconds = (newest_minute + 1) * SECONDS_PER_MINUTE - ages[:n_watched].astype(np.int64)
    minutes = newest_minute - ages[n_watched:]
    of_tags = n_categories * CATEGORY_FIELDS
    of_creators = of_tags + n_tags * TAG_FIELDS
    signals = Signals(
        half_life_days=half_life,
        newest_minute=newest_minute,
        events=events,
        categories=_counters(sums[:of_tags], categories, CATEGORY_FIELDS, lost[0]),
        tags=_counters(sums[of_tags:of_creators], tags, TAG_FIELDS, lost[1]),
        creators=_counters(sums[of_creators:], creators, TAG_FIELDS, lost[2]),
        seen=Timeline(seen, _NO_TIMES),
        dismissed=Timeline(dismissed, _NO_TIMES),
        watched=Timeline(watched, seconds << ORDER_BITS),
        skipped=Timeline(skipped, minutes[:n_skipped]),
        follows=Timeline(follows, _NO_TIMES),
        progress=Progress(progress, minutes[n_skipped:], reader.take("<u2", n_progress)),
        updated_at=updated_at,
        whole=whole,
    )
    if whole:
        _read_rest(signals, reader, n_rest)
    return signals


def _counters(sums: NDArray[np.float32], keys: NDArray[np.uint32], fields: int, lost: float) -> Counters:
    return Counters(sums.reshape(-1, fields), keys, _NO_TIMES, lost)


def _read_rest(signals: Signals, identities: Reader, n_rest: int) -> None:
    """Read the second part. The number of `identities` follows from the bytes that remain before it."""
    begins = len(identities.raw) - CHECKSUM.size - n_rest
    n_identities, left_over = divmod(begins - identities.at, 4)
    if n_identities < 0 or left_over:
        raise UnreadableSignals("another length")
    raw = _decompressed(identities.raw[begins : begins + n_rest])
    n_ages, accepted_ms, n_counted, n_today = _REST.unpack_from(raw)
    reader = Reader(raw, _REST.size)
    tables, rings = (signals.categories, signals.tags, signals.creators), (signals.dismissed, signals.follows)
    counts = [len(each.keys) for each in (signals.seen, *tables, *rings)]
    signals.seen.times, *days = split(reader.take_days(sum(counts), signals.newest_day), counts)
    for table, touched in zip(tables, days[: len(tables)], strict=True):
        table.days = touched
    for ring, times in zip(rings, days[len(tables) :], strict=True):
        ring.times = times
    signals.watched.times |= reader.take_places("<u2", len(signals.watched.keys))
    signals.daily = reader.take_places(DAILY, DAILY_DAYS)
    accepted = accepted_ms - reader.take("<u4", n_ages).astype(np.int64)
    sizes = reader.take(np.uint8, n_ages)
    if int(sizes.sum()) != n_identities:
        raise UnreadableSignals("identities")
    signals.identities = Timeline(identities.take("<u4", n_identities), np.repeat(accepted, sizes))
    ends = reader.at + n_today
    signals.daily_counts = DailyCounts.unpack(raw[reader.at : ends])
    signals.counted = CountedReceipts.unpack(raw[ends : ends + n_counted])


def _decompressed(raw: bytes) -> bytes:
    try:
        return zlib.decompressobj(_WINDOW_BITS).decompress(raw, _MAX_REST_BYTES)
    except zlib.error as error:
        raise UnreadableSignals("deflate") from error
