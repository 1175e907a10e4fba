from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events.batch import Batch
from events.counting import MAX_A_DAY, MAX_PAGE, Ledger, decide, decide_without_ledger, flags_of, mask_of
from events.schema import Event
from shared.domain.counted_receipts import MAX_RECEIPTS, CountedReceipts
from shared.domain.daily_counts import DailyCounts
from shared.domain.event_types import EVENT_TYPES, LIKE, PROGRESS, SHARE, TAKES_BACK, UNLIKE, VIDEO_VIEW
from shared.domain.feed_receipt import NOT_ON_PAGE, FeedReceipt
from shared.domain.fingerprint import fingerprint

NOW = 1_795_000_000.0
PAGE = ("v0", "v1", "v2")
TYPES = tuple(kind for kind in EVENT_TYPES if kind != PROGRESS)
"""Event types that count by themselves: a heartbeat counts as part of its play."""


def receipt(key: int = 7, ago_seconds: float = 60.0) -> FeedReceipt:
    return FeedReceipt(int(NOW - ago_seconds), True, True, key=key)


def event(kind: str, video: str, number: int = 0, *, version: int = 2, request: int | None = 0) -> Event:
    place = None if version == 1 or request is None else PAGE.index(video) if video in PAGE else NOT_ON_PAGE
    identity = fingerprint(f"{kind} {video} {number}")
    return Event(kind, video, int(NOW * 1000) - number, identity, request=request, place=place)


def batch(*events: Event, quoting: FeedReceipt | None = None, trusted: bool = False) -> Batch:
    return Batch("b" * 32, "tenant", "user", NOW, events, (quoting or receipt(),), trusted)


def run(batches: list[Batch], ledger: Ledger | None = None) -> tuple[Counter[tuple[str, str]], Ledger]:
    """Return the counted events of consecutive batches, by video and type."""
    ledger, total = ledger or Ledger(), Counter[tuple[str, str]]()
    for each in batches:
        decision = decide(each, each.events, ledger, NOW)
        ledger = decision.ledger
        total += Counter(
            (e.video_id, e.type) for e, counts in zip(each.events, decision.counted, strict=True) if counts
        )
    return total, ledger


told = st.lists(
    st.tuples(st.sampled_from(TYPES), st.sampled_from([*PAGE, "elsewhere", "victim"]), st.integers(0, 3)), max_size=60
)


@settings(max_examples=200, deadline=None)
@given(told, st.integers(1, 20), st.sampled_from([1, 2]), st.randoms(use_true_random=False))
def test_any_events_with_one_receipt_count_at_most_its_page(told, size, version, random) -> None:
    events = [event(*each, version=version) for each in told]
    again = [*events, *events]
    random.shuffle(again)
    total, _ = run([batch(*again[at : at + size]) for at in range(0, len(again), size)])
    assert all(times == 1 for times in total.values())
    if version == 2:
        assert {video for video, _ in total} <= set(PAGE)
    assert all(total[video, back] <= total[video, given] for video, _ in total for back, given in TAKES_BACK.items())
    honest = {(each.video_id, each.type) for each in events if version == 1 or each.video_id in PAGE}
    assert {name for name in honest if name[1] not in TAKES_BACK} <= set(total), "an honest user loses nothing"


@pytest.mark.parametrize("version", [1, 2])
def test_a_hundred_views_with_one_receipt_count_once(version: int) -> None:
    views = [event(VIDEO_VIEW, "v1", n, version=version) for n in range(100)]
    total, _ = run([batch(*views), batch(*views)])
    assert total == {("v1", VIDEO_VIEW): 1}


def test_video_missing_from_the_page_does_not_count() -> None:
    decision = decide(batch(event(VIDEO_VIEW, "elsewhere")), [event(VIDEO_VIEW, "elsewhere")], Ledger(), NOW)
    assert decision.counted == (False,)
    assert decision.refused == {"not_on_page": 1}
    assert decision.ledger == Ledger()


def test_receipt_without_its_page_counts_for_at_most_fifty_videos() -> None:
    views = [event(VIDEO_VIEW, f"video {n}", version=1) for n in range(MAX_PAGE + 30)]
    total, ledger = run([batch(*views), batch(*views)])
    assert len(total) == MAX_PAGE
    assert run([batch(*(event(LIKE, f"video {n}", version=1) for n in range(80)))], ledger)[0].total() == MAX_PAGE


def test_unlike_takes_back_only_a_counted_like() -> None:
    assert run([batch(*(event(UNLIKE, "v0", n) for n in range(100)))])[0] == {}
    liked, ledger = run([batch(event(LIKE, "v0"))])
    assert liked == {("v0", LIKE): 1}
    assert run([batch(*(event(UNLIKE, "v0", n) for n in range(5)))], ledger)[0] == {("v0", UNLIKE): 1}
    assert run([batch(event(UNLIKE, "v0"), event(LIKE, "v0"))])[0] == {("v0", LIKE): 1, ("v0", UNLIKE): 1}


def test_one_user_moves_a_video_by_the_daily_cap_whatever_the_receipts() -> None:
    batches = [batch(event(VIDEO_VIEW, "v0", n), quoting=receipt(n, 5_000 - n)) for n in range(200)]
    total, ledger = run(batches)
    assert total == {("v0", VIDEO_VIEW): MAX_A_DAY}
    tomorrow = replace(batch(event(VIDEO_VIEW, "v0"), quoting=receipt(999, 0)), accepted_at=NOW + 86_400)
    assert decide(tomorrow, tomorrow.events, ledger, NOW + 86_400).counted == (True,)


def test_a_clock_ahead_opens_no_new_day() -> None:
    total, ledger = run([batch(event(VIDEO_VIEW, "v0", n), quoting=receipt(n)) for n in range(MAX_A_DAY)])
    assert total.total() == MAX_A_DAY
    ahead = replace(batch(event(VIDEO_VIEW, "v0", 99), quoting=receipt(99)), accepted_at=NOW + 9 * 86_400)
    assert decide(ahead, ahead.events, ledger, NOW).refused == {"cap": 1}


def test_receipt_older_than_the_oldest_kept_no_longer_counts() -> None:
    first = batch(event(VIDEO_VIEW, "v0"), quoting=receipt(1, 9_000))
    later = [batch(event(LIKE, PAGE[n % 3]), quoting=receipt(10 + n, 8_000 - n)) for n in range(MAX_RECEIPTS)]
    total, ledger = run([first, *later])
    assert total["v0", VIDEO_VIEW] == 1
    again = decide(first, first.events, ledger, NOW)
    assert again.refused == {"old_receipt": 1}


def test_only_a_trusted_sender_counts_without_a_receipt_within_the_daily_cap() -> None:
    views = [event(VIDEO_VIEW, "elsewhere", n, request=None) for n in range(100)]
    assert run([batch(*views)])[0] == {}
    assert run([batch(*views, trusted=True)])[0] == {("elsewhere", VIDEO_VIEW): MAX_A_DAY}


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([LIKE, UNLIKE, SHARE]), st.booleans()), max_size=60))
def test_no_sender_takes_back_more_likes_than_it_gave(told) -> None:
    events = [event(kind, "v0", n, request=0 if quoting else None) for n, (kind, quoting) in enumerate(told)]
    balance, ledger = 0, Ledger()
    for each in events:
        total, ledger = run([batch(each, trusted=True)], ledger)
        balance += total["v0", LIKE] - total["v0", UNLIKE]
        assert balance >= 0


def test_anonymous_sender_has_no_daily_cap_and_takes_nothing_back() -> None:
    views = [event(kind, "v0", n, request=None) for n in range(40) for kind in (VIDEO_VIEW, UNLIKE)]
    total, ledger = run([batch(*views, trusted=True)], Ledger(today=None))
    assert total == {("v0", VIDEO_VIEW): 40}
    assert ledger == Ledger(CountedReceipts(), None)


def test_undecided_messages_have_the_same_caps_among_themselves() -> None:
    views = [event(VIDEO_VIEW, "v0", n) for n in range(30)]
    decided = decide_without_ledger([batch(*views), batch(*views, quoting=receipt(8)), batch(*views)])
    assert [sum(counted) for counted in decided] == [1, 1, 0]


def test_decision_does_not_change_the_ledger_passed_in() -> None:
    before = Ledger(CountedReceipts(), DailyCounts())
    decide(batch(event(VIDEO_VIEW, "v0")), [event(VIDEO_VIEW, "v0")], before, NOW)
    assert before == Ledger()


@given(st.lists(st.booleans(), max_size=100))
def test_flags_round_trip_through_a_mask(flags: list[bool]) -> None:
    assert flags_of(mask_of(flags), len(flags)) == tuple(flags)
