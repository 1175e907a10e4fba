import numpy as np
import pytest

from learning import ranking_metrics as metrics
from learning.ranking_metrics import difference_interval, lift_interval


def test_ndcg_is_one_for_the_best_order_and_falls_with_the_place() -> None:
    assert metrics.ndcg(np.array([True, True, False]), 2) == 1.0
    assert metrics.ndcg(np.array([False, True]), 1) == pytest.approx(1 / np.log2(3))
    assert metrics.ndcg(np.array([False] * 20 + [True]), 1) == 0.0


def test_average_precision_of_hits_at_places_one_and_three_is_exact() -> None:
    assert metrics.average_precision(np.array([True, False, True]), 2) == pytest.approx((1 + 2 / 3) / 2)


def test_auc_counts_ties_half() -> None:
    assert metrics.auc(np.array([1.0, 2.0, 3.0]), np.array([False, False, True])) == 1.0
    assert metrics.auc(np.array([1.0, 1.0]), np.array([False, True])) == 0.5
    assert metrics.auc(np.array([3.0, 1.0, 2.0]), np.array([False, True, False])) == 0.0


def test_gini_is_zero_for_equal_shares_and_near_one_for_a_single_holder() -> None:
    assert metrics.gini(np.ones(10)) == pytest.approx(0.0)
    assert metrics.gini(np.r_[np.zeros(99), 1.0]) == pytest.approx(0.99)
    assert metrics.gini(np.zeros(3)) == 0.0


def test_interval_covers_the_truth_and_widens_with_fewer_users() -> None:
    draw = np.random.default_rng(0)
    theirs = draw.random(4_000)
    ours = theirs * 1.1 + draw.normal(0, 0.3, 4_000)
    many = lift_interval(ours, theirs, np.arange(4_000))
    few = lift_interval(ours, theirs, np.arange(4_000) // 400)
    assert many.low < 0.1 < many.high
    assert many.low > 0
    assert few.high - few.low > 0
    gap = difference_interval(ours, theirs, np.arange(4_000))
    assert gap.low < 0.05 < gap.high


def test_no_difference_gives_an_interval_of_zero() -> None:
    same = np.random.default_rng(0).random(50)
    assert lift_interval(same, same, np.arange(50)) == metrics.Interval(0.0, 0.0, 0.0)


def test_ndcg_by_places_equals_ndcg_by_hits_and_stops_at_its_cutoff() -> None:
    hits = np.zeros(20, bool)
    hits[[0, 7]] = True
    assert metrics.ndcg_of_places(np.array([0.0, 7.0]), 20) == pytest.approx(metrics.ndcg(hits, 2))
    assert metrics.ndcg_of_places(np.array([20.0, 500.0]), 20) == 0.0
    assert metrics.ndcg_of_places(np.array([20.0, 500.0]), 100) > 0.0
