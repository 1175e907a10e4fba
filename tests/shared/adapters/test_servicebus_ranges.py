"""Groups consecutive messages that are settled together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.bus.servicebus_ranges import ONE_BY_ONE_SECONDS, Ranges, in_ranges

numbers = st.lists(st.one_of(st.none(), st.integers(0, 12)), max_size=40)


@given(numbers, st.integers(1, 5))
def test_ranges_hold_each_message_once_and_only_consecutive_ones(given_numbers: list[int | None], longest: int) -> None:
    ranges = in_ranges(given_numbers, lambda number: number, longest)
    assert [number for each in ranges for number in each] == given_numbers
    for each in ranges:
        assert 1 <= len(each) <= longest
        assert len(each) == 1 or each == list(range(each[0], each[0] + len(each)))  # type: ignore[arg-type,operator]


def test_ranges_respect_their_maximum_length() -> None:
    assert in_ranges([1, 2, 3, 5, 6, 4, 7, 8, 9], lambda number: number, 2) == [[1, 2], [3], [5, 6], [4], [7, 8], [9]]


def test_ranges_are_not_used_for_a_while_after_an_unconfirmed_one() -> None:
    now = 0.0
    ranges = Ranges(clock=lambda: now)
    assert ranges.may_be_used()
    ranges.was_not_confirmed()
    assert not ranges.may_be_used()
    now += ONE_BY_ONE_SECONDS
    assert ranges.may_be_used()
    assert not Ranges(allowed=False).may_be_used()
