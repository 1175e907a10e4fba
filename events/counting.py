"""Decides which events statistics, co-watch and experiment reports count. Pure: no I/O, no clock.

An app's key can be read out of the app, so a valid receipt proves that a page was served, not what was done with it.
One receipt therefore moves statistics by its page at most: each (receipt, video, event type) counts once, in any order
and however often it is sent. An `unlike` takes back nothing but a like that counted, an `unsave` nothing but a save. A
`follow` is about no video, and never counts. A user's own signals are not decided here: they count whatever the user
did.

- **A receipt of version 2** knows its page: only videos that stood on it count.
- **A receipt of version 1** does not. The first `MAX_PAGE` videos quoted with it are taken for its page.
- **A trusted sender** (the tenant's own backend, or a tenant that counts anonymous events) counts without a receipt.
- **A play that is told by heartbeats** counts as one view, once one of its events may. What later events add to it
  counts with it. Of nobody no play is kept, so there heartbeats do not count, and a final `video_view` counts whole.
- All of them share a cap per user, video and day. Days go by acceptance, which no client can choose.
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
"""Videos that a receipt of version 1 counts for: the longest page there is."""
MAX_A_DAY = 12
"""Events of one video that one user moves statistics by in a day (UTC): two pages' worth of every common type."""
DAY_SECONDS = 86_400

REASONS = ("no_receipt", "not_on_page", "old_receipt", "again", "cap", "no_like", "no_save", "no_play")
"""Why an event does not count: it quotes no valid receipt; its video was not on that page; the receipt is older than
those that are remembered; it counted before; the user's day has enough of the video; there is no like or save to take
back; its play is not kept."""
_NOTHING_TO_TAKE_BACK = {LIKE: "no_like", SAVE: "no_save"}


_NO_RECEIPTS, _NOTHING_TODAY = CountedReceipts(), DailyCounts()


@dataclass(frozen=True, slots=True)
class Ledger:
    """Ledger of what counted of a user: by receipt, and today by video. `today` None: nobody is named, so there is no
    cap."""

    receipts: CountedReceipts = _NO_RECEIPTS
    today: DailyCounts | None = _NOTHING_TODAY


@dataclass(frozen=True, slots=True)
class Decision:
    """Which events count, in their order; the ledger afterwards; how many do not count, by reason. `goes_on`: whether
    an event adds to a play that counts already. `plays`: the keys of plays that count from now on."""

    counted: tuple[bool, ...]
    ledger: Ledger
    refused: Counter[str]
    goes_on: tuple[bool, ...] = ()
    plays: frozenset[int] = frozenset()


def decide(
    batch: Batch, events: Sequence[Event], ledger: Ledger, now: float, steps: Sequence[Step | None] = ()
) -> Decision:
    """Decide about `events`, some or all of a batch's. `now` in seconds since the epoch. `steps`: what `follow` says of
    these events; without, no play is known.

    What takes back comes last, so that a like and its `unlike` in one batch are a pair in any order.
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
    """One decision under way: what it has counted so far."""

    def __init__(self, batch: Batch, ledger: Ledger, day: int) -> None:
        self._batch = batch
        self._receipts = ledger.receipts
        self._today, self._day = ledger.today, day
        self._added: defaultdict[int, int] = defaultdict(int)
        """What is counted of the day besides, by the number of its counter."""
        self._open: dict[tuple[int, int], CountedReceipt | None] = {}
        """The receipts quoted, by key and time served; None for one that is too old to count."""
        self._pairs: dict[tuple[int, int], int] = {}
        """The pairs of these receipts, those that were counted before among them."""

    def reason_against_play(self, event: Event, step: Step | None, goes_on: bool) -> str:
        """The same as `reason_not_to_count` for an event of a play: the first that may count is the play's one view."""
        if step is None:
            return "no_play"
        if goes_on:
            return "" if step.adds else "again"
        return self.reason_not_to_count(replace(event, type=VIDEO_VIEW))

    def reason_not_to_count(self, event: Event) -> str:
        """Count an event, and return an empty text; or the reason why it does not count."""
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
        """A trusted sender's event. Likes and saves are remembered for the day, so that nothing takes back more."""
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
        """Take one of the user's day for a video, if there is one left."""
        if self._today is None:
            return True
        if self._of(self._today, video) >= MAX_A_DAY:
            return False
        self._added[video % COUNTERS] += 1
        return True

    def _of(self, today: DailyCounts, video: int) -> int:
        return today.of(self._day, video) + self._added.get(video % COUNTERS, 0)

    def ledger(self) -> Ledger:
        """The ledger with what was counted."""
        receipts = self._receipts
        for name, receipt in self._open.items():
            if receipt is not None and self._pairs[name] != receipt.pairs:
                receipts = receipts.with_receipt(replace(receipt, pairs=self._pairs[name]))
        today = self._today
        return Ledger(receipts, today.with_all(self._day, self._added) if today and self._added else today)


def decide_without_ledger(batches: Iterable[Batch]) -> list[tuple[bool, ...]]:
    """Decide about batches that nobody has decided about: messages of the release before this one.

    It counted whatever quotes a receipt or is trusted. Within what is given, this counts each (receipt, video, type)
    once, with the cap per user and video.
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
    """Flags as hexadecimal digits, the first flag in the lowest bit."""
    return f"{sum(1 << at for at, flag in enumerate(counted) if flag):x}"


def flags_of(mask: str, count: int) -> tuple[bool, ...]:
    """The inverse of `mask_of`. Raises `ValueError`."""
    bits = int(mask, 16)
    return tuple(bool(bits >> at & 1) for at in range(count))
