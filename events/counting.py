"""Decides which events count in statistics, co-watch and experiment reports. Pure: no I/O, no clock.

An app's key can be extracted from the app. So a valid receipt proves that a page was served, not what the user did with
it. One receipt can therefore change statistics by one page at most: each (receipt, video, event type) counts once, in
any order and however often it is sent. An `unlike` only takes back a like that counted, an `unsave` only a save. A
`follow` is about no video and never counts. A user's own signals are not decided here: they count everything that the
user did.

- **A receipt of version 2** knows its page: only videos on that page count.
- **A receipt of version 1** does not. The first `MAX_PAGE` videos quoted with it are taken as its page.
- **A trusted sender** (the tenant's own backend, or a tenant that counts anonymous events) counts without a receipt.
- **A play reported by heartbeats** counts as one view as soon as one of its events can count. What later events add to
  it counts too. Plays of anonymous users are not stored: their heartbeats do not count, and a final `video_view` counts
  whole.
- All of them share a cap per user, video and day. The day is that of acceptance, which no client can choose.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from events.batch import Batch
from events.plays import Step
from events.schema import Event
from shared.domain.counted_receipts import CountedReceipt, CountedReceipts, pair
from shared.domain.daily_counts import COUNTERS, DailyCounts
from shared.domain.event_types import LIKE, PROGRESS, SAVE, TAKES_BACK, TYPE_CODES, VIDEO_VIEW
from shared.domain.feed_receipt import NOT_ON_PAGE
from shared.domain.fingerprint import fingerprint_of_name

MAX_PAGE = 50
"""Videos that a receipt of version 1 counts for: the largest page size."""
MAX_A_DAY = 12
"""Events of one video that one user can add to statistics in a day (UTC): two pages' worth of every common type."""
DAY_SECONDS = 86_400

REASONS = ("no_receipt", "not_on_page", "old_receipt", "again", "cap", "no_like", "no_save", "no_play")
"""Why an event does not count: it quotes no valid receipt; its video was not on that page; the receipt is older than
the remembered ones; it counted before; the user reached the video's cap for the day; there is no like or save to take
back; its play is not stored."""
_NOTHING_TO_TAKE_BACK = {LIKE: "no_like", SAVE: "no_save"}


_NO_RECEIPTS, _NOTHING_TODAY = CountedReceipts(), DailyCounts()


@dataclass(frozen=True, slots=True)
class Ledger:
    """Events of a user that have counted: by receipt, and today by video. `today` is None for an anonymous user, who
    has no cap."""

    receipts: CountedReceipts = _NO_RECEIPTS
    today: DailyCounts | None = _NOTHING_TODAY


@dataclass(frozen=True, slots=True)
class Decision:
    """Which events count, in their order; the ledger afterwards; the number that does not count, by reason. `goes_on`:
    whether an event adds to a play that already counts. `plays`: the keys of plays that count from now on."""

    counted: tuple[bool, ...]
    ledger: Ledger
    refused: Counter[str]
    goes_on: tuple[bool, ...] = ()
    plays: frozenset[int] = frozenset()


def decide(
    batch: Batch, events: Sequence[Event], ledger: Ledger, now: float, steps: Sequence[Step | None] = ()
) -> Decision:
    """Decide about `events`, some or all of a batch's. `now` is in seconds since the epoch. `steps`: the result of
    `follow` for these events; without it, no play is known.

    Events that take something back are decided last, so a like and its `unlike` in one batch match in any order.
    """
    round = _Round(batch, ledger, int(min(batch.accepted_at, now) // DAY_SECONDS))
    order: Sequence[int] = range(len(events))
    if any(event.type in TAKES_BACK for event in events):
        order = sorted(order, key=lambda at: events[at].type in TAKES_BACK)
    counted, goes_on = [False] * len(events), [False] * len(events)
    refused: Counter[str] = Counter()
    plays: set[int] = set()
    for at in order:
        event, step = events[at], steps[at] if steps else None
        if event.subject is not None:
            continue
        if event.type == PROGRESS or (event.play is not None and steps):
            goes_on[at] = _goes_on(event, step, plays)
            reason = round.reason_against_play(event, step, goes_on[at])
            if not reason and event.play is not None:
                plays.add(event.play.key)
        else:
            reason = round.reason_not_to_count(event)
        counted[at] = not reason
        if reason:
            refused[reason] += 1
    return Decision(tuple(counted), round.ledger(), refused, tuple(goes_on), frozenset(plays))


def _goes_on(event: Event, step: Step | None, plays: set[int]) -> bool:
    return event.play is not None and step is not None and (step.in_statistics or event.play.key in plays)


class _Round:
    """State of one decision: what it has counted so far."""

    def __init__(self, batch: Batch, ledger: Ledger, day: int) -> None:
        self._batch = batch
        self._receipts = ledger.receipts
        self._today, self._day = ledger.today, day
        self._added: defaultdict[int, int] = defaultdict(int)
        """What this decision adds to the day's counters, by counter."""
        self._open: dict[tuple[int, int], CountedReceipt | None] = {}
        """The quoted receipts, by key and serving time; None for one that is too old to count."""
        self._pairs: dict[tuple[int, int], int] = {}
        """The counted (video, type) pairs of these receipts as bits, including those counted before."""

    def reason_against_play(self, event: Event, step: Step | None, goes_on: bool) -> str:
        """Like `reason_not_to_count`, for an event of a play. The first event that can count is the view of the
        play."""
        if step is None:
            return "no_play"
        if goes_on:
            return "" if step.adds else "again"
        return self.reason_not_to_count(replace(event, type=VIDEO_VIEW))

    def reason_not_to_count(self, event: Event) -> str:
        """Count an event and return an empty text, or return the reason why it does not count."""
        video = fingerprint_of_name(event.video_id)
        if event.request is None:
            return self._without_receipt(event, video) if self._batch.trusted else "no_receipt"
        if event.place == NOT_ON_PAGE:
            return self._without_receipt(event, video) if self._batch.trusted else "not_on_page"
        request = self._batch.requests[event.request]
        name = (request.key, request.served_at)
        if name not in self._open:
            found = self._open[name] = self._receipts.find(*name)
            self._pairs[name] = found.pairs if found else 0
        receipt = self._open[name]
        if receipt is None:
            return "old_receipt"
        place, learned = event.place, None
        if place is None:
            learned, place = receipt.with_video(video, MAX_PAGE)
            if place is None:
                return "not_on_page"
        bit = 1 << pair(place, TYPE_CODES[event.type])
        if self._pairs[name] & bit:
            return "again"
        if (given := TAKES_BACK.get(event.type)) is not None:
            if not self._pairs[name] & 1 << pair(place, TYPE_CODES[given]):
                return _NOTHING_TO_TAKE_BACK[given]
        elif not self._has_room(video):
            return "cap"
        self._pairs[name] |= bit
        if learned is not None:
            self._open[name] = learned
        return ""

    def _without_receipt(self, event: Event, video: int) -> str:
        """Count a trusted sender's event. Likes and saves are counted per day, so no more than these can be taken
        back."""
        given = TAKES_BACK.get(event.type)
        if self._today is None:
            return "" if given is None else _NOTHING_TO_TAKE_BACK[given]
        if given is not None:
            number = fingerprint_of_name(f"{given}\n{event.video_id}")
            if self._of(self._today, number) <= 0:
                return _NOTHING_TO_TAKE_BACK[given]
            self._added[number % COUNTERS] -= 1
            return ""
        if not self._has_room(video):
            return "cap"
        if event.type in _NOTHING_TO_TAKE_BACK:
            self._added[fingerprint_of_name(f"{event.type}\n{event.video_id}") % COUNTERS] += 1
        return ""

    def _has_room(self, video: int) -> bool:
        """Use one of the user's events per day for a video; False if none is left."""
        if self._today is None:
            return True
        if self._of(self._today, video) >= MAX_A_DAY:
            return False
        self._added[video % COUNTERS] += 1
        return True

    def _of(self, today: DailyCounts, video: int) -> int:
        return today.of(self._day, video) + self._added.get(video % COUNTERS, 0)

    def ledger(self) -> Ledger:
        """Return the ledger with what was counted."""
        receipts = self._receipts
        for name, receipt in self._open.items():
            if receipt is not None and self._pairs[name] != receipt.pairs:
                receipts = receipts.with_receipt(replace(receipt, pairs=self._pairs[name]))
        today = self._today
        return Ledger(receipts, today.with_all(self._day, self._added) if today and self._added else today)


def decide_without_ledger(batches: Iterable[Batch]) -> list[tuple[bool, ...]]:
    """Decide about batches of the previous release, which carry no decision.

    That release counted every event that quotes a receipt or is trusted. This counts each (receipt, video, type) once
    within the given batches, with the cap per user and video.
    """
    ledgers: dict[str, Ledger] = {}
    decided = []
    for batch in batches:
        ledger = ledgers.get(batch.user_key, Ledger())
        decision = decide(batch, batch.events, ledger, batch.accepted_at)
        ledgers[batch.user_key] = decision.ledger
        decided.append(decision.counted)
    return decided


def mask_of(counted: Sequence[bool]) -> str:
    """Return flags as hexadecimal digits, the first flag in the lowest bit."""
    return f"{sum(1 << at for at, flag in enumerate(counted) if flag):x}"


def flags_of(mask: str, count: int) -> tuple[bool, ...]:
    """Return the flags of a mask: the inverse of `mask_of`. Raises `ValueError`."""
    bits = int(mask, 16)
    return tuple(bool(bits >> at & 1) for at in range(count))
