"""Estimates how many more days an experiment needs."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cms.experiments.days_left import MOST_DAYS, days_left

DAY = 86_400.0
SMALL_ENOUGH = 2 * 1.959964 * math.log(1.05) / (1.959964 + 0.841621)
"""Interval width, in logarithms, that detects 5 % in four of five cases."""


def reported(*intervals: list[float] | None, days: float = 7) -> dict[str, Any]:
    arms = [{"measures": {"watchSeconds": {"interval": interval}}} for interval in (None, *intervals)]
    return {"at": 1_000 * DAY + days * DAY, "arms": arms}


def around_zero(width: float) -> list[float]:
    """An interval of this width around zero, in logarithms."""
    return [math.expm1(-width / 2), math.expm1(width / 2)]


def test_interval_twice_too_wide_needs_four_times_the_days() -> None:
    assert days_left(1_000 * DAY, reported(around_zero(2 * SMALL_ENOUGH), days=7)) == pytest.approx(21, abs=1)


def test_narrow_or_clear_interval_needs_no_more_days() -> None:
    assert days_left(1_000 * DAY, reported(around_zero(0.99 * SMALL_ENOUGH))) == 0
    assert days_left(1_000 * DAY, reported([0.1, 3.0])) == 0


def test_the_arm_that_needs_longest_decides() -> None:
    clear, wide = [0.1, 0.2], around_zero(3 * SMALL_ENOUGH)
    assert days_left(1_000 * DAY, reported(clear, wide)) == days_left(1_000 * DAY, reported(wide, clear))
    assert (days_left(1_000 * DAY, reported(clear, wide)) or 0) > 0


def test_days_left_are_unknown_without_a_start_a_report_or_an_interval() -> None:
    assert days_left(None, reported([-0.1, 0.1])) is None
    assert days_left(1_000 * DAY, None) is None
    assert days_left(1_000 * DAY, reported(None)) is None
    assert days_left(1_000 * DAY, reported([-0.1, 0.1], days=0)) is None


@given(st.floats(-1, 0), st.floats(0, 1e6), st.floats(1e-6, 400))
def test_days_left_are_between_zero_and_the_maximum(low: float, high: float, days: float) -> None:
    left = days_left(1_000 * DAY, reported([low, high], days=days))
    assert left is not None
    assert 0 <= left <= MOST_DAYS
