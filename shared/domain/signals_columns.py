"""Encodes and decodes columns of stored signals; shared by the versions of the format. Pure."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.domain.user_signals import (
    ORDER_BITS,
    SECONDS_PER_MINUTE,
    Progress,
    Signals,
    Timeline,
)

CHECKSUM = struct.Struct("<I")
_24_BITS = np.uint32(0xFFFFFF)
_FIRST = np.zeros(1, np.intp)
FEW_FINGERPRINTS = 40
"""Below this number, splitting fingerprints saves nothing."""


class UnreadableSignals(ValueError):
    """A stored document that is damaged. The fold starts afresh; the feed falls back."""


class NewerSignals(UnreadableSignals):
    """A stored document of a version that only a later release knows. It must not be overwritten."""


class Reader:
    """Reads columns from bytes, one after another. Raises `ValueError` where they end too early."""

    __slots__ = ("at", "raw")

    def __init__(self, raw: bytes, at: int = 0) -> None:
        self.raw = raw
        self.at = at

    def take(self, dtype: Any, count: int) -> NDArray[Any]:
        """Return a column of `count` values."""
        found = np.frombuffer(self.raw, dtype, count, self.at)
        self.at += found.nbytes
        return found

    def take_wide(self, count: int) -> NDArray[np.uint32]:
        """Return values of three little-endian bytes, read as four; the last byte belongs to the next value or to the
        checksum."""
        found = np.ndarray((count,), "<u4", self.raw, self.at, (3,)) & _24_BITS
        self.at += 3 * count
        return found

    def take_sums(self, count: int) -> NDArray[np.float32]:
        """See `sums_bytes`."""
        some = self.take_bits(count)
        sums = np.zeros(count, np.uint32)
        sums[some] = self.take_wide(int(np.count_nonzero(some))) << 8
        return sums.view(np.float32)

    def take_fingerprints(self, count: int) -> NDArray[np.uint32]:
        """See `fingerprints_bytes`."""
        if count < FEW_FINGERPRINTS:
            return self.take_wide(count)
        low, places = self.take("<u2", count), self.take_bits(count + 256).nonzero()[0]
        if len(places) != count:
            raise UnreadableSignals("fingerprints")
        found: NDArray[np.uint32] = (places - np.arange(count) << 16 | low).astype(np.uint32)
        return found

    def take_bits(self, count: int) -> NDArray[np.bool_]:
        """Return flags, eight per byte."""
        return np.unpackbits(self.take(np.uint8, (count + 7) // 8), count=count).view(np.bool_)

    def take_places(self, dtype: Any, count: int) -> NDArray[Any]:
        """See `places_of_bytes`."""
        size = np.dtype(dtype).itemsize
        places = self.take(np.uint8, size * count).reshape(size, count)
        found: NDArray[Any] = np.ascontiguousarray(places.T).view(dtype).ravel()
        return found

    def take_days(self, count: int, newest_day: int) -> NDArray[np.int32]:
        """Return days, stored as ages of one byte."""
        days: NDArray[np.int32] = newest_day - self.take(np.uint8, count).astype(np.int32)
        return days

    def take_minutes(self, count: int, newest_minute: int) -> NDArray[np.int32]:
        """Return minutes, stored as ages of three bytes."""
        minutes: NDArray[np.int32] = newest_minute - self.take_wide(count).astype(np.int32)
        return minutes

    def take_watched(self, count: int, newest_minute: int) -> Timeline:
        """See `watched_bytes`."""
        keys, ages = self.take("<u4", count), self.take_wide(count).astype(np.int64)
        seconds = (newest_minute + 1) * SECONDS_PER_MINUTE - ages
        return Timeline(keys, seconds << ORDER_BITS | self.take("<u2", count))

    def take_progress(self, count: int, newest_minute: int) -> Progress:
        """See `progress_bytes`."""
        return Progress(self.take("<u4", count), self.take_minutes(count, newest_minute), self.take("<u2", count))


def split(column: NDArray[Any], counts: Sequence[int]) -> list[NDArray[Any]]:
    """Split a column into parts of the given lengths."""
    columns, at = [], 0
    for count in counts:
        columns.append(column[at : at + count])
        at += count
    return columns


def within(values: NDArray[Any], most: int) -> NDArray[Any]:
    """Clip values to 0 … `most`, in a quarter of `np.clip`'s time for short columns."""
    found: NDArray[Any] = np.minimum(np.maximum(values, 0), most)
    return found


def by_day(days: NDArray[Any], newest_day: int) -> tuple[NDArray[Any], bytes]:
    """Return the distinct ages of days, ascending, and a byte and a two-byte count for each."""
    counts = np.bincount(within(newest_day - days, 255))
    ages = np.flatnonzero(counts)
    return ages, ages.astype(np.uint8).tobytes() + counts[ages].astype("<u2").tobytes()


def narrow(values: NDArray[Any]) -> bytes:
    """Encode unsigned integers as three little-endian bytes each."""
    wide: NDArray[np.uint8] = values.astype("<u4").view(np.uint8)
    kept: NDArray[np.uint8] = wide.reshape(-1, 4)[:, :3]
    return kept.tobytes()


def runs(ascending: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Return the distinct values of a sorted column, and the count of each."""
    ends = (ascending[1:] != ascending[:-1]).nonzero()[0] + 1
    begins = np.concatenate([_FIRST[: len(ascending)], ends])
    return ascending[begins], np.concatenate([ends, [len(ascending)]])[: len(begins)] - begins


def newest_first(ring: Timeline) -> NDArray[np.uint32]:
    """Return the fingerprints of a ring by descending time, the order of the fold."""
    if (ring.times[1:] <= ring.times[:-1]).all():
        return ring.keys
    return ring.keys[np.argsort(-ring.times, kind="stable")]


def keys_bytes(keys: NDArray[np.uint32]) -> bytes:
    """Encode fingerprints as four bytes each."""
    stored: NDArray[np.uint32] = keys.astype("<u4", copy=False)
    return stored.tobytes()


def day_bytes(days: NDArray[Any], newest_day: int) -> bytes:
    """Encode days as ages of one byte."""
    ages: NDArray[np.uint8] = within(newest_day - days, 255).astype(np.uint8)
    return ages.tobytes()


def minute_bytes(minutes: NDArray[Any], newest_minute: int) -> bytes:
    """Encode minutes as ages of three bytes."""
    return narrow(within(newest_minute - minutes, 0xFFFFFF))


def watched_ages(signals: Signals) -> NDArray[np.int64]:
    """Return the ages of long views, in seconds before the end of the newest minute."""
    ages: NDArray[np.int64] = (signals.newest_minute + 1) * SECONDS_PER_MINUTE - (signals.watched.times >> ORDER_BITS)
    return ages


def watched_bytes(signals: Signals) -> bytes:
    """Encode long views as nine bytes each: fingerprints, ages, order."""
    order: NDArray[np.uint16] = (signals.watched.times & ((1 << ORDER_BITS) - 1)).astype("<u2")
    return keys_bytes(signals.watched.keys) + narrow(within(watched_ages(signals), 0xFFFFFF)) + order.tobytes()


def progress_bytes(signals: Signals) -> bytes:
    """Encode play progress as nine bytes each: fingerprints, ages in minutes, seconds with flags (see `Progress`)."""
    ring = signals.progress
    seconds: NDArray[np.uint16] = np.minimum(ring.seconds, 0xFFFF).astype("<u2")
    return keys_bytes(ring.keys) + minute_bytes(ring.times, signals.newest_minute) + seconds.tobytes()


def sums_bytes(sums: NDArray[np.float32]) -> bytes:
    """Encode sums: a bit for each tells whether it is not 0, then three bytes for each of those.

    The bytes are a rounded float of 32 bits without its last eight; the error is at most 2^-16 of the sum.
    """
    some = sums != 0
    bits: NDArray[np.uint32] = sums[some].view(np.uint32)
    return np.packbits(some).tobytes() + narrow((bits + np.uint32(0x80)) >> 8)


def fingerprints_bytes(ascending: NDArray[np.uint32]) -> bytes:
    """Encode ascending fingerprints of 24 bits.

    First the low 16 bits of each, then the high eight of all in unary: a one for each fingerprint, a zero where the
    next value of the high eight begins. Few fingerprints take three bytes each instead, as the zeros take 32 bytes.
    """
    if len(ascending) < FEW_FINGERPRINTS:
        return narrow(ascending)
    bits = np.zeros(len(ascending) + 256, np.uint8)
    bits[(ascending >> 16 & 0xFF) + np.arange(len(ascending))] = 1
    return ascending.astype("<u2").tobytes() + np.packbits(bits).tobytes()


def places_of_bytes(column: NDArray[Any]) -> bytes:
    """Encode a column byte plane by byte plane: similar bytes are adjacent, which compresses better."""
    return column.view(np.uint8).reshape(len(column), column.itemsize).T.tobytes()


def sealed(raw: bytes, binds_to: int = 0) -> bytes:
    """Append a checksum to bytes. It also covers the data whose checksum is `binds_to`."""
    return raw + CHECKSUM.pack(zlib.crc32(raw, binds_to))


def is_whole(raw: bytes, binds_to: int = 0) -> bool:
    """Whether the checksum of sealed bytes is right."""
    ends = len(raw) - CHECKSUM.size
    return ends >= 0 and CHECKSUM.unpack_from(raw, ends)[0] == zlib.crc32(memoryview(raw)[:ends], binds_to)
