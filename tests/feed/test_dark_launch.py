"""Measures of overlap and correlation between two feeds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feed.dark_launch import overlap, rank_correlation

lists = st.lists(st.integers(0, 60), unique=True, max_size=25).map(lambda keys: np.array(keys, np.uint32))


def keys(*values: int) -> np.ndarray:
    return np.array(values, np.uint32)


def test_equal_feeds_overlap_wholly_and_correlate_perfectly() -> None:
    assert overlap(keys(1, 2, 3), keys(1, 2, 3)) == 1.0
    assert rank_correlation(keys(1, 2, 3), keys(1, 2, 3)) == pytest.approx(1.0)


def test_reversed_feed_overlaps_wholly_and_correlates_negatively() -> None:
    assert overlap(keys(1, 2, 3), keys(3, 2, 1)) == 1.0
    assert rank_correlation(keys(1, 2, 3), keys(3, 2, 1)) == pytest.approx(-1.0)


def test_feeds_without_a_common_video_do_not_overlap_and_correlate_negatively() -> None:
    assert overlap(keys(1, 2, 3), keys(4, 5, 6)) == 0.0
    assert rank_correlation(keys(1, 2, 3), keys(4, 5, 6)) < 0


def test_only_the_first_twenty_places_count() -> None:
    many = np.arange(100, dtype=np.uint32)
    assert overlap(many[:20], many) == 1.0
    assert overlap(many[:20], many[20:]) == 0.0


def test_one_video_in_two_places_changes_the_correlation_little() -> None:
    swapped = keys(2, 1, *range(3, 21))
    assert 0.98 < rank_correlation(keys(*range(1, 21)), swapped) < 1.0


@given(lists, lists)
def test_both_measures_are_symmetric_and_bounded(one: np.ndarray, other: np.ndarray) -> None:
    assert overlap(one, other) == overlap(other, one)
    assert 0.0 <= overlap(one, other) <= 1.0
    assert rank_correlation(one, other) == pytest.approx(rank_correlation(other, one))
    assert -1.0 - 1e-9 <= rank_correlation(one, other) <= 1.0 + 1e-9
