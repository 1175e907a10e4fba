from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.counted_receipts import MAX_BYTES, MAX_RECEIPTS, SPAN_SECONDS, CountedReceipts
from shared.domain.event_types import TYPE_CODES

NOW = 1_790_000_000
pairs = st.lists(st.tuples(st.integers(0, 49), st.sampled_from(sorted(TYPE_CODES.values()))), min_size=1, max_size=30)
additions = st.tuples(st.integers(0, 2**32 - 1), st.integers(NOW - SPAN_SECONDS, NOW), pairs)


def counted(added: list[tuple[int, int, list[tuple[int, int]]]]) -> CountedReceipts:
    receipts = CountedReceipts()
    for addition in added:
        receipts = receipts.with_counted(*addition)
    return receipts


@settings(max_examples=200, deadline=None)
@given(st.lists(additions, max_size=60))
def test_counted_events_stay_counted(added: list[tuple[int, int, list[tuple[int, int]]]]) -> None:
    receipts = counted(added)
    assert len(receipts.receipts) <= MAX_RECEIPTS
    for key, served_at, chosen in added:
        assert all(receipts.is_counted(key, served_at, *pair) for pair in chosen)


@settings(max_examples=100, deadline=None)
@given(st.lists(additions, max_size=60))
def test_packing_keeps_everything(added: list[tuple[int, int, list[tuple[int, int]]]]) -> None:
    receipts = counted(added)
    assert CountedReceipts.unpack(receipts.pack()) == receipts
    assert len(receipts.pack()) <= MAX_BYTES


@settings(max_examples=50, deadline=None)
@given(st.lists(additions, max_size=4))
def test_order_of_adding_does_not_matter(added: list[tuple[int, int, list[tuple[int, int]]]]) -> None:
    assert len({counted(list(order)) for order in permutations(added)}) <= 1


def test_only_added_events_are_counted() -> None:
    receipts = counted([(7, NOW, [(3, 1)])])
    assert not receipts.is_counted(7, NOW, 3, 2)
    assert not receipts.is_counted(7, NOW, 4, 1)
    assert not receipts.is_counted(8, NOW, 3, 1)
    assert not receipts.is_counted(7, NOW - 1, 3, 1)


def test_receipt_evicted_by_newer_ones_no_longer_counts() -> None:
    receipts = counted([(index, NOW + index, [(0, 1)]) for index in range(MAX_RECEIPTS + 1)])
    assert receipts.oldest == NOW
    assert receipts.is_counted(0, NOW, 1, 1)
    assert receipts.with_counted(0, NOW, [(1, 1)]) == receipts
    assert not receipts.is_counted(1, NOW + 1, 1, 1)


def test_expired_receipt_is_evicted() -> None:
    receipts = counted([(1, NOW, [(0, 1)]), (2, NOW + SPAN_SECONDS + 1, [(0, 1)])])
    assert [each.key for each in receipts.receipts] == [2]
    assert receipts.is_counted(1, NOW, 0, 1)


def test_lost_record_can_be_closed_up_to_a_time() -> None:
    receipts = counted([(1, NOW, [(0, 1)]), (2, NOW + 5, [(0, 1)])]).closed_until(NOW)
    assert receipts.is_counted(1, NOW, 9, 1)
    assert not receipts.is_counted(2, NOW + 5, 9, 1)


def test_record_of_a_clock_ahead_does_not_block_the_present() -> None:
    ahead = counted([(1, NOW, [(0, 1)]), (2, NOW + 50, [(0, 1)])]).closed_until(NOW + 10).until(NOW)
    assert ahead == CountedReceipts(oldest=NOW)
    assert not ahead.is_counted(3, NOW + 1, 0, 1)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80))
def test_random_bytes_are_refused_or_read(raw: bytes) -> None:
    try:
        CountedReceipts.unpack(raw)
    except ValueError:
        return


@pytest.mark.parametrize("cut", [0, 5, 12, -1])
def test_cut_off_bytes_are_refused(cut: int) -> None:
    raw = counted([(1, NOW, [(0, 1), (19, 8)])]).pack()
    with pytest.raises(ValueError, match="counted receipts"):
        CountedReceipts.unpack(raw[:cut])
