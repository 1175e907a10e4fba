"""A user's signals: the folded state of their events, as arrays in memory and as one small document in the store.

Everything is named by fingerprint, so the document's size does not depend on how long a tenant's ids are:
`MAX_DOCUMENT_BYTES` holds for any history. The seen ring spends 3 bytes a video instead of 4, which buys a quarter
more memory of what was shown for a one in 16 million chance, per remembered video, to hide an unseen one.

Counters are forward-decayed: each holds Σ amount · 2^(−(newest − t) / half_life) over its events, where `newest`
is the minute of the user's newest event, so folding in any order gives the same sums (up to float32 rounding).
"""

from __future__ import annotations

import base64
import math
import struct
import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.domain.counted_receipts import CountedReceipts
from shared.domain.daily_counts import DailyCounts

SIGNALS_ID = "signals"
SIGNALS_TTL_SECONDS = 90 * 86_400
KEEP_DAYS = 90
MAX_DOCUMENT_BYTES = 12_288
MINUTES_PER_DAY = 1_440

MAX_CATEGORIES, MAX_TAGS, MAX_CREATORS = 20, 16, 12
MAX_SEEN = 920
MAX_WATCHED = 20
MAX_SKIPPED = 8
MAX_DISMISSED = 128
MAX_IDENTITIES = 100
IDENTITY_DAYS = 21
"""An event can be packed again for 7 days and then wait on the bus for 13: older identities match nothing any more."""
DAILY_DAYS = 7

VIEWS, WATCH_FRACTION, SKIPS, APPROVALS, WATCH_MS = range(5)
"""Columns of `Counters.values`; only categories have `WATCH_MS`. Approvals: likes − unlikes + shares + saves."""
CATEGORY_FIELDS, TAG_FIELDS = 5, 4

_VERSION = 2
_HEADER = struct.Struct("<BfIIQ3f8H")
_CHECKSUM = struct.Struct("<I")
_DAILY = np.dtype([("views", "<u4"), ("skips", "<u4"), ("watch_ms", "<f8")])


def _u32() -> NDArray[np.uint32]:
    return np.zeros(0, np.uint32)


def _i32() -> NDArray[np.int32]:
    return np.zeros(0, np.int32)


def _milliseconds_ring() -> Timeline:
    return Timeline(times=np.zeros(0, np.int64))


@dataclass(slots=True)
class Counters:
    """n capped counters: fingerprints, the day (UTC, since the epoch) each was last touched, decayed sums.

    `lost` is the strength (decayed views + skips + approvals above zero) of everything evicted at the cap so far: what
    an entry shows is below the truth by at most `lost`, and without `unlike` all together by exactly `lost`. It bounds
    nothing from above: an evicted entry with more unlikes than likes takes its deficit along, and a later like of it
    shows more approval than there is.
    """

    values: NDArray[np.float32]
    keys: NDArray[np.uint32] = field(default_factory=_u32)
    days: NDArray[np.int32] = field(default_factory=_i32)
    lost: float = 0.0

    @classmethod
    def empty(cls, fields: int) -> Counters:
        """No entries of `fields` columns."""
        return cls(values=np.zeros((0, fields), np.float32))


@dataclass(slots=True)
class Timeline:
    """A ring of fingerprints with the time of each: minutes since the epoch, or what the ring says."""

    keys: NDArray[np.uint32] = field(default_factory=_u32)
    times: NDArray[np.signedinteger[Any]] = field(default_factory=_i32)


_NO_DAYS, _NO_IDENTITIES = _i32(), _milliseconds_ring()
_NO_RECEIPTS, _NO_COUNTS = CountedReceipts(), DailyCounts()
_24_BITS = np.uint32(0xFFFFFF)


@dataclass(slots=True)
class Signals:
    """One user's signals. Times are minutes since the epoch unless a name says otherwise."""

    half_life_days: float
    newest_minute: int = 0
    events: int = 0
    """How many events were folded, ever (cold start asks for a few)."""
    categories: Counters = field(default_factory=lambda: Counters.empty(CATEGORY_FIELDS))
    tags: Counters = field(default_factory=lambda: Counters.empty(TAG_FIELDS))
    creators: Counters = field(default_factory=lambda: Counters.empty(TAG_FIELDS))
    seen: Timeline = field(default_factory=Timeline)
    """24-bit fingerprints, times in days."""
    watched: Timeline = field(default_factory=Timeline)
    """Videos watched long or completed."""
    skipped: Timeline = field(default_factory=Timeline)
    dismissed: Timeline = field(default_factory=Timeline)
    """`not_interested`, times in days."""
    identities: Timeline = field(default_factory=_milliseconds_ring)
    """Fingerprints of events already folded, against clients that pack an event into a second batch; times in ms since
    the epoch, when the event was last accepted: what a client packs again, it sent not long ago, however old it is."""
    daily: NDArray[np.void] = field(default_factory=lambda: np.zeros(DAILY_DAYS, _DAILY))
    """Totals per day, index 0 the day of `newest_minute`, 1 the day before, …"""
    counted: CountedReceipts = _NO_RECEIPTS
    """What statistics have counted of the user's newest receipts."""
    daily_counts: DailyCounts = _NO_COUNTS
    """What statistics have counted today of each video."""
    updated_at: float = 0.0
    """When the last batch was folded, in seconds since the epoch."""
    whole: bool = True
    """Whether what only folding and showing need was read too: it cannot be stored otherwise."""

    @property
    def newest_day(self) -> int:
        return self.newest_minute // MINUTES_PER_DAY

    def decay_to(self, now: float) -> float:
        """What to multiply the counters with to have them as of `now` (seconds since the epoch)."""
        age_days = max(0.0, now / 86_400 - self.newest_minute / MINUTES_PER_DAY)
        return float(2.0 ** (-age_days / self.half_life_days))


class UnreadableSignals(ValueError):
    """A stored document that this version cannot read. The fold starts afresh; the feed falls back."""


def pack(signals: Signals) -> str:
    """Signals as base64 text: 7,900 characters at the caps, the seen videos spread over every day."""
    if not signals.whole:
        raise ValueError("signals read for a ranking cannot be stored")
    accepted_ms = int(signals.identities.times.max(initial=0))
    day_keys, day_counts = np.unique(signals.newest_day - signals.seen.times, return_counts=True)
    header = _HEADER.pack(
        _VERSION,
        signals.half_life_days,
        signals.newest_minute,
        min(signals.events, 0xFFFFFFFF),
        accepted_ms,
        signals.categories.lost,
        signals.tags.lost,
        signals.creators.lost,
        len(signals.categories.keys),
        len(signals.tags.keys),
        len(signals.creators.keys),
        len(signals.seen.keys),
        len(day_keys),
        len(signals.dismissed.keys),
        len(signals.watched.keys) << 8 | len(signals.skipped.keys),
        len(signals.identities.keys),
    )
    parts = [header, signals.daily.tobytes()]
    for counters in (signals.categories, signals.tags, signals.creators):
        ages = np.clip(signals.newest_day - counters.days, 0, 255).astype(np.uint8)
        parts += [
            counters.keys.astype("<u4").tobytes(),
            ages.tobytes(),
            counters.values.astype("<f4").tobytes(),
        ]
    by_age = np.lexsort((signals.seen.keys, signals.newest_day - signals.seen.times))
    parts += [day_keys.astype(np.uint8).tobytes(), day_counts.astype("<u2").tobytes()]
    parts.append(_narrow(signals.seen.keys[by_age], 3))
    parts.append(signals.dismissed.keys.astype("<u4").tobytes())
    parts.append(np.clip(signals.newest_day - signals.dismissed.times, 0, 255).astype(np.uint8).tobytes())
    for ring in (signals.watched, signals.skipped):
        ages_minutes = np.clip(signals.newest_minute - ring.times, 0, 0xFFFFFF)
        parts += [ring.keys.astype("<u4").tobytes(), _narrow(ages_minutes, 3)]
    ages_ms = np.clip(accepted_ms - signals.identities.times, 0, 0xFFFFFFFF)
    parts += [signals.identities.keys.astype("<u4").tobytes(), ages_ms.astype("<u4").tobytes()]
    raw = b"".join(parts)
    return base64.b64encode(raw + _CHECKSUM.pack(zlib.crc32(raw))).decode()


def unpack(text: str, updated_at: float = 0.0, *, whole: bool = True) -> Signals:
    """The inverse of `pack`. Raises `UnreadableSignals`. Not `whole`: for a ranking, which takes half the time; days,
    identities, what was counted, and the times of what was seen and dismissed stay empty."""
    try:
        raw = base64.b64decode(text, validate=True)
        return _unpack(raw, updated_at, whole)
    except (ValueError, TypeError, struct.error, IndexError) as error:
        raise UnreadableSignals(str(error)) from error


def _unpack(raw: bytes, updated_at: float, whole: bool) -> Signals:
    head = _HEADER.unpack_from(raw)
    version, half_life, newest_minute, events, accepted_ms, *rest = head
    if version != _VERSION:
        raise UnreadableSignals(f"version {version}")
    if _CHECKSUM.unpack(raw[-_CHECKSUM.size :])[0] != zlib.crc32(raw[: -_CHECKSUM.size]):
        raise UnreadableSignals("the checksum does not match")
    lost, counts = rest[:3], rest[3:]
    n_categories, n_tags, n_creators, n_seen, n_days, n_dismissed, n_both, n_identities = counts
    newest_day = newest_minute // MINUTES_PER_DAY
    at = _HEADER.size

    def take(dtype: Any, count: int) -> NDArray[Any]:
        nonlocal at
        found = np.frombuffer(raw, dtype, count, at)
        at += found.nbytes
        return found

    def take_wide(count: int) -> NDArray[np.uint32]:
        """Three little-endian bytes each: read as four, of which the last is the next one's (or the checksum's)."""
        nonlocal at
        found = np.ndarray((count,), "<u4", raw, at, (3,)) & _24_BITS
        at += 3 * count
        return found

    def take_days(count: int) -> NDArray[np.int32]:
        nonlocal at
        if not whole:
            at += count
            return _NO_DAYS
        days: NDArray[np.int32] = newest_day - take(np.uint8, count).astype(np.int32)
        return days

    def take_counters(count: int, fields: int, evicted: float) -> Counters:
        keys, days = take("<u4", count), take_days(count)
        return Counters(take("<f4", count * fields).reshape(count, fields), keys, days, evicted)

    def take_ring(count: int) -> Timeline:
        return Timeline(take("<u4", count), newest_minute - take_wide(count).astype(np.int32))

    daily = take(_DAILY, DAILY_DAYS)
    categories = take_counters(n_categories, CATEGORY_FIELDS, lost[0])
    tags = take_counters(n_tags, TAG_FIELDS, lost[1])
    creators = take_counters(n_creators, TAG_FIELDS, lost[2])
    seen_days = take_days(n_days)
    if whole:
        seen_days = np.repeat(seen_days, take("<u2", n_days))
        if len(seen_days) != n_seen:
            raise UnreadableSignals("seen ring")
    else:
        at += 2 * n_days
    return Signals(
        half_life_days=half_life,
        newest_minute=newest_minute,
        events=events,
        categories=categories,
        tags=tags,
        creators=creators,
        seen=Timeline(take_wide(n_seen), seen_days),
        dismissed=Timeline(take("<u4", n_dismissed), take_days(n_dismissed)),
        watched=take_ring(n_both >> 8),
        skipped=take_ring(n_both & 0xFF),
        identities=Timeline(take("<u4", n_identities), accepted_ms - take("<u4", n_identities).astype(np.int64))
        if whole
        else _NO_IDENTITIES,
        daily=daily,
        updated_at=updated_at,
        whole=whole,
    )


def _narrow(values: NDArray[Any], width: int) -> bytes:
    """Unsigned integers as `width` little-endian bytes each."""
    return values.astype("<u4").view(np.uint8).reshape(-1, 4)[:, :width].tobytes()


def to_document(signals: Signals) -> dict[str, Any]:
    """The stored shape. Lives 90 days after its last write.

    At the caps it stays within `MAX_DOCUMENT_BYTES` as JSON with what the fold adds: the partition, the tenant, and
    when the user was erased. What statistics have counted stands beside `packed`: the release before this one passes
    it over, and drops it when it writes the document.
    """
    return {
        "id": SIGNALS_ID,
        "kind": "signals",
        "lastActiveAt": signals.newest_minute * 60,
        "updatedAt": signals.updated_at,
        "packed": pack(signals),
        "counted": base64.b64encode(signals.counted.pack()).decode(),
        "dailyCounts": base64.b64encode(signals.daily_counts.pack()).decode(),
        "ttl": SIGNALS_TTL_SECONDS,
    }


def from_document(body: dict[str, Any], *, whole: bool = True) -> Signals | None:
    """Read a stored document; None for the tombstone of an erasure. Raises `UnreadableSignals`. See `unpack`."""
    if body.get("kind") == "erased":
        return None
    packed, updated_at = body.get("packed"), body.get("updatedAt")
    if not isinstance(packed, str) or not isinstance(updated_at, int | float):
        raise UnreadableSignals("fields are missing")
    signals = unpack(packed, float(updated_at), whole=whole)
    if whole:
        signals.counted = _counted(body.get("counted"), signals.updated_at)
        signals.daily_counts = _daily_counts(body.get("dailyCounts"))
    return signals


def _counted(text: Any, updated_at: float) -> CountedReceipts:
    """The counted receipts. Where the release before this one dropped them, nothing that may have been counted until
    the last fold counts again."""
    try:
        return CountedReceipts.unpack(base64.b64decode(text, validate=True))
    except (TypeError, ValueError):
        return _NO_RECEIPTS.closed_until(math.ceil(updated_at))


def _daily_counts(text: Any) -> DailyCounts:
    try:
        return DailyCounts.unpack(base64.b64decode(text, validate=True))
    except (TypeError, ValueError):
        return _NO_COUNTS
