from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.usual_peak import GROWTH_A_DAY, TIMES_USUAL, UsualPeak

DAY = 86_400.0
START = 20_000 * DAY


def test_four_times_the_floor_count_in_a_minute_and_no_more() -> None:
    peak = UsualPeak(100.0)
    assert [peak.admit(START + second, 150) for second in (0, 20, 40, 60)] == [150, 150, 100, 150]


@given(st.integers(1, 20))
def test_usual_peak_at_most_doubles_in_a_week(days: int) -> None:
    peak = UsualPeak(100.0)
    for day in range(days + 1):
        for minute in range(5):
            peak.admit(START + day * DAY + minute * 60, 1_000_000)
    assert peak.most <= TIMES_USUAL * 100.0 * GROWTH_A_DAY**days * 1.0001


def test_growing_tenant_is_counted_in_full_after_some_days() -> None:
    peak = UsualPeak(100.0)
    for day in range(22):
        admitted = peak.admit(START + day * DAY, 800)
    assert admitted == 800


def test_one_busy_day_is_forgotten_in_weeks() -> None:
    peak = UsualPeak(1.0, usual=1_000.0)
    peak.admit(START, 1)
    peak.admit(START + 56 * DAY, 1)
    assert peak.usual == pytest.approx(250.0)


def test_late_events_count_in_their_own_minute_or_the_oldest_kept() -> None:
    peak = UsualPeak(100.0)
    assert peak.admit(START, 400) == 400
    assert peak.admit(START + 300, 400) == 400
    assert peak.admit(START, 1) == 0
    assert peak.admit(START + 7_200, 400) == 400
    assert peak.admit(START, 300) == 300
    assert peak.admit(START + 60, 300) == 100
    assert len(peak.minutes) <= 30


@given(st.lists(st.tuples(st.integers(0, 200_000), st.integers(0, 500)), max_size=60), st.integers(0, 60))
def test_stored_peak_continues_as_if_never_stored(told: list[tuple[int, int]], at: int) -> None:
    whole, parts = UsualPeak(100.0), UsualPeak(100.0)
    for number, (second, events) in enumerate(told):
        if number == at:
            parts = UsualPeak.from_json(parts.to_json(), 100.0, 0.0)
        assert whole.admit(START + second, events) == parts.admit(START + second, events)


@pytest.mark.parametrize("stored", [None, 7, [], {}, {"usual": 1}, {"usual": 1, "day": 1, "highest": 1, "minutes": []}])
def test_missing_peak_is_derived_from_the_busiest_day(stored: object) -> None:
    assert UsualPeak.from_json(stored, 100.0, 1_440_000.0).most == pytest.approx(TIMES_USUAL * 3_000)
    assert UsualPeak.from_json(stored, 100.0, 0.0).most == TIMES_USUAL * 100
