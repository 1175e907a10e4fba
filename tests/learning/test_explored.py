from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from evaluation.synthetic import tastes_log
from learning.explored import (
    MOST_TIMES_MEDIAN,
    ExploredOutcomes,
    effective_size,
    explored_weights,
    weighted_auc,
)
from learning.fit import fit
from learning.learner import PERSONAL, POPULAR, Learner
from learning.log import Log
from learning.ranking_metrics import auc
from learning.replay import Replay
from learning.samples import Collector, Samples, joined


def with_slots(log: Log, every: int = 4, chance: float = 0.01) -> Log:
    """Return the same log with some exposures drawn by exploration."""
    propensity = np.where(np.arange(len(log.exposures)) % every == 0, chance, 0.0)
    return replace(log, exposures=replace(log.exposures, propensity=propensity))


def collected(log: Log) -> Samples:
    replay, collector = Replay(log, tables=False), Collector(("demand_1h", "quality"))
    for visit in replay.walk():
        collector.see(replay, visit)
    return collector.samples()


@given(st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=50))
def test_propensity_weights_are_capped_and_add_up_to_at_most_their_number(chances: list[float]) -> None:
    weights = explored_weights(np.array(chances))
    assert abs(weights.mean() - 1.0) < 1e-9
    assert weights.max() <= MOST_TIMES_MEDIAN * np.median(weights) * (1 + 1e-9)
    assert 0 < effective_size(weights) <= len(chances) * (1 + 1e-9)


def test_equal_propensities_weigh_alike_and_a_rarer_draw_weighs_more() -> None:
    assert explored_weights(np.full(4, 0.02)).tolist() == [1.0] * 4
    rare, usual = explored_weights(np.array([0.005, 0.01, 0.01]))[:2]
    assert rare == 2 * usual


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40))
def test_equal_weights_give_the_usual_auc(pairs: list[tuple[int, bool]]) -> None:
    scores, positive = (np.array(column) for column in zip(*pairs, strict=True))
    usual = auc(scores, positive) if 0 < positive.sum() < len(positive) else 0.5
    assert abs(float(weighted_auc(scores, positive, np.full(len(scores), 3.0))[0]) - usual) < 1e-9


def test_propensity_weighting_corrects_a_biased_draw() -> None:
    draw = np.random.default_rng(0)
    good = np.arange(40_000) % 2 == 0
    chance = np.where(good, 0.09, 0.01)
    shown = draw.random(len(good)) < chance
    long = draw.random(len(good)) < np.where(good, 0.6, 0.2)
    weights = explored_weights(chance[shown])
    plain = long[shown].mean()
    weighted = float((weights * long[shown]).sum() / weights.sum())
    assert abs(weighted - 0.4) < 0.03 < plain - 0.4


def test_explored_video_is_its_own_choice_weighted_by_propensity() -> None:
    log = tastes_log(users=40, videos=80, days=3)
    with_chances = with_slots(log)
    plain, explored = collected(log), collected(with_chances)
    assert not plain.propensity.any()
    assert plain.explored() == {"longViews": 0, "effective": 0.0}
    count = int((explored.propensity > 0).sum())
    assert count == int((log.exposures.long & (with_chances.exposures.propensity > 0)).sum()) > 20
    assert explored.explored() == {"longViews": count, "effective": float(count)}
    mixed = replace(explored, propensity=np.where(np.arange(len(explored.sizes)) % 3 == 0, 0.5, 1.0))
    weights = mixed.weighing_shown(7.0).weights
    assert weights[0] == 2 * weights[1]
    assert joined([plain, explored]).explored() == explored.explored()


def test_a_log_without_exploration_slots_is_fitted_as_before() -> None:
    plain = collected(tastes_log(users=40, videos=80, days=3))
    before = replace(plain, weights=np.where(plain.shown, 5.0, 1.0))
    assert fit(plain.weighing_shown(5.0)) == fit(before)


def test_nightly_report_measures_the_model_on_explored_videos() -> None:
    log = with_slots(tastes_log(users=80, videos=100, days=4, a_day=6), every=2)
    replay, learner = Replay(log), Learner("t")
    for visit in replay.walk():
        learner.see(replay, visit)
    learner.end_day()
    found = learner.nights[-1].report()["explored"]
    assert found["shown"] > 200
    assert found["effective"] == found["shown"]
    assert found["auc"][PERSONAL] > found["auc"][POPULAR]
    assert found["difference"][1] > 0


def test_few_explored_outcomes_get_no_figure() -> None:
    few = ExploredOutcomes({"a": [0.5] * 9, "b": [0.1] * 9}, [True, False, False] * 3, [0.01] * 9, [1] * 9)
    assert few.report("a", "b") == {
        "shown": 9,
        "longViews": 3,
        "effective": 9.0,
        "auc": None,
        "difference": None,
    }
