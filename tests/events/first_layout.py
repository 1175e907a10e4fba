"""Writes the first layout of version 3 of stored signals, as an earlier package did."""

from __future__ import annotations

import struct
import zlib

import numpy as np

from shared.domain.signals_columns import (
    by_day,
    day_bytes,
    keys_bytes,
    minute_bytes,
    narrow,
    newest_first,
    progress_bytes,
    sealed,
    watched_bytes,
    within,
)
from shared.domain.signals_v3_rows import HEADER, PLAIN, ZLIB
from shared.domain.user_signals import Signals

VERSION = 3
_REST = struct.Struct("<BBQHH")


def pack_rows(signals: Signals) -> bytes:
    """Return the bytes of a document as an earlier package packed them."""
    rest = _pack_rest(signals)
    smaller = zlib.compress(rest, 1)
    encoding, rest = (ZLIB, smaller) if len(smaller) < len(rest) else (PLAIN, rest)
    tables = (signals.categories, signals.tags, signals.creators)
    rings = (signals.dismissed, signals.watched, signals.skipped, signals.follows, signals.progress)
    parts = [
        HEADER.pack(
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
