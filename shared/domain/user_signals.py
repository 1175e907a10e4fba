"""A user's signals: the folded state of their events, as arrays in memory.

`shared/domain/signals_document.py` has the stored form. Names are stored as fingerprints, so the size does not depend
on the length of a tenant's ids, and `MAX_DOCUMENT_BYTES` holds for any history. The ring of seen videos uses 3 bytes
per video instead of 4. So more videos fit, and each of them hides an unseen one with a probability of one in 16
million.

Counters are forward-decayed: each is Σ amount · 2^(−(newest − t) / half_life) over its events. `newest` is the
minute of the user's newest event. Folding in any order gives the same sums, up to float32 rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.domain.counted_receipts import CountedReceipts
from shared.domain.daily_counts import DailyCounts
from shared.domain.finished_episodes import NONE_FINISHED, FinishedEpisodes

SIGNALS_ID = "signals"
SIGNALS_TTL_SECONDS = 90 * 86_400
KEEP_DAYS = 90
MAX_DOCUMENT_BYTES = 13_312
SECONDS_PER_MINUTE, MINUTES_PER_DAY = 60, 1_440

MAX_CATEGORIES, MAX_TAGS, MAX_CREATORS = 20, 16, 12
MAX_SEEN = 920
MAX_WATCHED = 60
MAX_SKIPPED = 8
MAX_DISMISSED = 128
MAX_FOLLOWS = 64
MAX_PROGRESS = 16
MAX_PLAY_SECONDS = 0x7FFF
_IN_STATISTICS, _CLOSED = MAX_PLAY_SECONDS + 1, 0
MAX_IDENTITIES = 100
IDENTITY_DAYS = 21
"""A client can send an event again for 7 days, and the bus keeps it for 13: older identities match no event."""
DAILY_DAYS = 7

VIEWS, WATCH_FRACTION, SKIPS, APPROVALS, INTEREST, WATCH_MS = range(6)
"""Columns of `Counters.values`; only categories have `WATCH_MS`. Approvals: likes − unlikes + shares + saves − unsaves.
Interest: per view, watch time divided by that of a long view, at most 1."""
CATEGORY_FIELDS, TAG_FIELDS = 6, 5

DAILY = np.dtype([("views", "<u4"), ("skips", "<u4"), ("watch_ms", "<f8")])


def _u32() -> NDArray[np.uint32]:
    return np.zeros(0, np.uint32)


def _i32() -> NDArray[np.int32]:
    return np.zeros(0, np.int32)


def _wide_ring() -> Timeline:
    return Timeline(times=np.zeros(0, np.int64))


@dataclass(slots=True)
class Counters:
    """n capped counters: fingerprints, day (UTC, since the epoch) of the last change, decayed sums.

    `lost`: strength (decayed views + skips + approvals above zero) of all entries evicted at the cap. An entry is below
    the true value by at most `lost`; without `unlike`, all together are below by exactly `lost`. It is no upper bound:
    an evicted entry with more unlikes than likes loses its deficit, so a later like shows more approval than there is.
    """

    values: NDArray[np.float32]
    keys: NDArray[np.uint32] = field(default_factory=_u32)
    days: NDArray[np.int32] = field(default_factory=_i32)
    lost: float = 0.0

    @classmethod
    def empty(cls, fields: int) -> Counters:
        """Return counters without entries, with `fields` columns."""
        return cls(values=np.zeros((0, fields), np.float32))


@dataclass(slots=True)
class Timeline:
    """Ring of fingerprints with a time each: minutes since the epoch, unless the field's docstring says otherwise."""

    keys: NDArray[np.uint32] = field(default_factory=_u32)
    times: NDArray[np.signedinteger[Any]] = field(default_factory=_i32)


@dataclass(slots=True)
class Progress:
    """Plays reported by heartbeats (`events/plays.py`): fingerprint, minute of the start, counted whole seconds.

    The bit `_IN_STATISTICS` is set where statistics count the play. The last row can be `_CLOSED`: the start minute of
    the latest dropped play.
    """

    keys: NDArray[np.uint32] = field(default_factory=_u32)
    times: NDArray[np.signedinteger[Any]] = field(default_factory=_i32)
    seconds: NDArray[np.unsignedinteger[Any]] = field(default_factory=_u32)

    @classmethod
    def of(cls, plays: Sequence[tuple[int, int, int, bool]], closed_until: int = 0) -> Progress:
        """Create from values as `plays` and `closed_until` return them."""
        rows = [(key, began, seconds | _IN_STATISTICS * known) for key, began, seconds, known in plays]
        rows += [(_CLOSED, closed_until, 0)] if closed_until else []
        keys, times, seconds = zip(*rows, strict=True) if rows else ((), (), ())
        return cls(np.array(keys, np.uint32), np.array(times, np.int32), np.array(seconds, np.uint32))

    @property
    def closed_until(self) -> int:
        """Minute until which a play that is not kept no longer counts; 0 while none was dropped."""
        return int(self.times[self.keys == _CLOSED].max(initial=0))

    def plays(self) -> list[tuple[int, int, int, bool]]:
        """Return the plays: fingerprint, start minute, seconds, and whether statistics count it."""
        rows = zip(self.keys.tolist(), self.times.tolist(), self.seconds.tolist(), strict=True)
        return [
            (key, began, seconds & MAX_PLAY_SECONDS, seconds > MAX_PLAY_SECONDS)
            for key, began, seconds in rows
            if key != _CLOSED
        ]

    def since(self, minute: int) -> Progress:
        """Return a copy without plays that began before a minute."""
        if not len(self.times) or self.times.min() >= minute:
            return self
        kept = self.times >= minute
        return Progress(self.keys[kept], self.times[kept], self.seconds[kept])


ORDER_BITS = 16
"""Low bits of a long view's time; they order the views of one second."""


def long_view_time(at_ms: int, accepted_second: int) -> int:
    """Return the time of a long view in the ring: its second, with an order within the second in the low bits.

    Views of a second are ordered by their delay to acceptance (seconds, up to 255), then by the 4 ms in which they
    happened, then by fingerprint. All depend only on the event and its acceptance, so a ring of the newest views is the
    same in any order of batches.
    """
    second, milliseconds = divmod(at_ms, 1_000)
    return second << ORDER_BITS | min(0xFF, max(0, accepted_second - second)) << 8 | milliseconds // 4


_NO_RECEIPTS, _NO_COUNTS = CountedReceipts(), DailyCounts()


@dataclass(slots=True)
class Signals:
    """One user's signals. Times are minutes since the epoch unless a name says otherwise."""

    half_life_days: float
    newest_minute: int = 0
    events: int = 0
    """Number of folded events, ever; with fewer than a few, the user is a cold start."""
    categories: Counters = field(default_factory=lambda: Counters.empty(CATEGORY_FIELDS))
    tags: Counters = field(default_factory=lambda: Counters.empty(TAG_FIELDS))
    creators: Counters = field(default_factory=lambda: Counters.empty(TAG_FIELDS))
    seen: Timeline = field(default_factory=Timeline)
    """24-bit fingerprints of seen videos, times in days. Unordered: version 3 stores them by fingerprint."""
    watched: Timeline = field(default_factory=_wide_ring)
    """Videos watched long or completed, newest first; times of `long_view_time`."""
    skipped: Timeline = field(default_factory=Timeline)
    dismissed: Timeline = field(default_factory=Timeline)
    """Videos of events `not_interested`, times in days."""
    follows: Timeline = field(default_factory=Timeline)
    """Followed subjects (`Subject.fingerprint`), times in days. Made from the list *following*, which has the names."""
    progress: Progress = field(default_factory=Progress)
    identities: Timeline = field(default_factory=_wide_ring)
    """Fingerprints of folded events, to recognize one that a client sends again in another batch. Times: last
    acceptance in ms since the epoch, since a repeat follows soon after the first send, whatever the event's time."""
    daily: NDArray[np.void] = field(default_factory=lambda: np.zeros(DAILY_DAYS, DAILY))
    """Totals per day: index 0 is the day of `newest_minute`, 1 the day before."""
    counted: CountedReceipts = _NO_RECEIPTS
    """Events that statistics have counted, by the user's newest receipts."""
    daily_counts: DailyCounts = _NO_COUNTS
    """Events that statistics have counted today, by video."""
    finished: FinishedEpisodes = NONE_FINISHED
    updated_at: float = 0.0
    """Time of the last fold, in seconds since the epoch."""
    whole: bool = True
    """Whether all parts were read; only then can the signals be stored."""

    @property
    def watched_minutes(self) -> NDArray[np.int32]:
        """Times of `watched` in minutes since the epoch."""
        minutes: NDArray[np.int32] = ((self.watched.times >> ORDER_BITS) // SECONDS_PER_MINUTE).astype(np.int32)
        return minutes

    @property
    def newest_day(self) -> int:
        return self.newest_minute // MINUTES_PER_DAY

    def decay_to(self, now: float) -> float:
        """Return the factor that decays the counters to `now` (seconds since the epoch)."""
        age_days = max(0.0, now / 86_400 - self.newest_minute / MINUTES_PER_DAY)
        return float(2.0 ** (-age_days / self.half_life_days))
