"""A user's signals: the folded state of their events, as arrays in memory.

How they are stored is in `shared/domain/signals_document.py`. Everything is named by fingerprint, so the document's
size does not depend on how long a tenant's ids are: `MAX_DOCUMENT_BYTES` holds for any history. The seen ring spends 3
bytes a video instead of 4. That remembers a quarter more videos, and hides an unseen one with a chance of one in 16
million per remembered video.

Counters are forward-decayed: each holds Σ amount · 2^(−(newest − t) / half_life) over its events. `newest` is the
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
"""An event can be packed again for 7 days and then wait on the bus for 13: older identities match nothing any more."""
DAILY_DAYS = 7

VIEWS, WATCH_FRACTION, SKIPS, APPROVALS, INTEREST, WATCH_MS = range(6)
"""Columns of `Counters.values`; only categories have `WATCH_MS`. Approvals: likes − unlikes + shares + saves − unsaves.
Interest: of each view the time watched by the time that a long view needs, 1 at the most."""
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


@dataclass(slots=True)
class Progress:
    """Plays that are told by heartbeats (`events/plays.py`): fingerprints, the minute in which each began, and the
    whole seconds that count of it, with `_IN_STATISTICS` set where statistics count the play. The last row may be
    `_CLOSED`: the minute in which the latest play began that is no longer kept."""

    keys: NDArray[np.uint32] = field(default_factory=_u32)
    times: NDArray[np.signedinteger[Any]] = field(default_factory=_i32)
    seconds: NDArray[np.unsignedinteger[Any]] = field(default_factory=_u32)

    @classmethod
    def of(cls, plays: Sequence[tuple[int, int, int, bool]], closed_until: int = 0) -> Progress:
        """From what `plays` and `closed_until` tell."""
        rows = [(key, began, seconds | _IN_STATISTICS * known) for key, began, seconds, known in plays]
        rows += [(_CLOSED, closed_until, 0)] if closed_until else []
        keys, times, seconds = zip(*rows, strict=True) if rows else ((), (), ())
        return cls(np.array(keys, np.uint32), np.array(times, np.int32), np.array(seconds, np.uint32))

    @property
    def closed_until(self) -> int:
        """Plays that began in this minute or before, and are not kept, count no more; 0 while none was dropped."""
        return int(self.times[self.keys == _CLOSED].max(initial=0))

    def plays(self) -> list[tuple[int, int, int, bool]]:
        """Plays: fingerprint, minute it began, seconds, and whether statistics count it."""
        rows = zip(self.keys.tolist(), self.times.tolist(), self.seconds.tolist(), strict=True)
        return [
            (key, began, seconds & MAX_PLAY_SECONDS, seconds > MAX_PLAY_SECONDS)
            for key, began, seconds in rows
            if key != _CLOSED
        ]

    def since(self, minute: int) -> Progress:
        """Without what began before a minute."""
        if not len(self.times) or self.times.min() >= minute:
            return self
        kept = self.times >= minute
        return Progress(self.keys[kept], self.times[kept], self.seconds[kept])


ORDER_BITS = 16
"""Low bits of a long view's time, which order the views of one second."""


def long_view_time(at_ms: int, accepted_second: int) -> int:
    """The time of a long view in the ring: its second, and below it what orders the views of one second.

    First by when they were accepted (how many seconds later, up to 255), then by the 4 ms
    in which they happened; what is still equal goes by fingerprint. All of it depends on the event and its acceptance
    alone, so rings that keep the newest are the same in whatever order batches are folded.
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
    """How many events were folded, ever (cold start asks for a few)."""
    categories: Counters = field(default_factory=lambda: Counters.empty(CATEGORY_FIELDS))
    tags: Counters = field(default_factory=lambda: Counters.empty(TAG_FIELDS))
    creators: Counters = field(default_factory=lambda: Counters.empty(TAG_FIELDS))
    seen: Timeline = field(default_factory=Timeline)
    """24-bit fingerprints, times in days; in any order: version 3 has them by fingerprint."""
    watched: Timeline = field(default_factory=_wide_ring)
    """Videos watched long or completed, newest first; times as `long_view_time` makes them."""
    skipped: Timeline = field(default_factory=Timeline)
    dismissed: Timeline = field(default_factory=Timeline)
    """`not_interested`, times in days."""
    follows: Timeline = field(default_factory=Timeline)
    """What the user follows (`Subject.fingerprint`), times in days; made from the list of it, which has the names."""
    progress: Progress = field(default_factory=Progress)
    identities: Timeline = field(default_factory=_wide_ring)
    """Fingerprints of events already folded, against clients that pack an event into a second batch; times in ms since
    the epoch, when the event was last accepted: what a client packs again, it sent not long ago, however old it is."""
    daily: NDArray[np.void] = field(default_factory=lambda: np.zeros(DAILY_DAYS, DAILY))
    """Totals per day, index 0 the day of `newest_minute`, 1 the day before, …"""
    counted: CountedReceipts = _NO_RECEIPTS
    """What statistics have counted of the user's newest receipts."""
    daily_counts: DailyCounts = _NO_COUNTS
    """What statistics have counted today of each video."""
    finished: FinishedEpisodes = NONE_FINISHED
    updated_at: float = 0.0
    """When the last batch was folded, in seconds since the epoch."""
    whole: bool = True
    """Whether what only folding and showing need was read too: it cannot be stored otherwise."""

    @property
    def watched_minutes(self) -> NDArray[np.int32]:
        """The times of `watched` in minutes since the epoch."""
        minutes: NDArray[np.int32] = ((self.watched.times >> ORDER_BITS) // SECONDS_PER_MINUTE).astype(np.int32)
        return minutes

    @property
    def newest_day(self) -> int:
        return self.newest_minute // MINUTES_PER_DAY

    def decay_to(self, now: float) -> float:
        """Factor that decays the counters to `now` (seconds since the epoch)."""
        age_days = max(0.0, now / 86_400 - self.newest_minute / MINUTES_PER_DAY)
        return float(2.0 ** (-age_days / self.half_life_days))
