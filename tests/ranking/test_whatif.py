from dataclasses import replace

import numpy as np

from ranking import LinearModel, RankingOptions, global_model, rank
from ranking.whatif import Configuration, Explored, LoggedRequest, what_if
from tests.ranking.catalogs import NOW, make_catalog, make_signals, make_videos

COLUMNS, STATS = make_catalog(make_videos(150))
SHIPPED = Configuration(global_model())


def requests(count: int, explored: bool = False, maturity: int = 1) -> list[LoggedRequest]:
    draw = np.random.default_rng(0)
    made = []
    for seed in range(count):
        found = None
        if explored:
            row = int(draw.integers(len(COLUMNS)))
            # Every video of a high editorial boost is watched long, and no other.
            found = Explored(row, 1 / len(COLUMNS), bool(COLUMNS.boost[row] > 5))
        made.append(LoggedRequest(RankingOptions(NOW), make_signals(seed), COLUMNS.rows(), maturity, found))
    return made


def test_the_same_configuration_changes_nothing() -> None:
    answer = what_if(COLUMNS, STATS, requests(10), SHIPPED, SHIPPED)
    assert (answer.moved, answer.replaced, answer.unchanged_pages) == (0.0, 0.0, 1.0)
    assert answer.categories == answer.creators == []


def test_another_model_replaces_videos_and_share_shifts_add_up_to_0() -> None:
    other = Configuration(LinearModel.checked("short", {"duration": -5.0}))
    answer = what_if(COLUMNS, STATS, requests(10), SHIPPED, other)
    assert answer.replaced > 0
    assert answer.unchanged_pages == 0.0
    assert abs(sum(change for _, change in answer.categories)) < 1e-9


def test_only_candidates_above_the_maturity_limit_count_as_violations() -> None:
    other = Configuration(LinearModel.checked("short", {"duration": -5.0}))
    assert what_if(COLUMNS, STATS, requests(5), SHIPPED, other).maturity_violations == 0
    assert what_if(COLUMNS, STATS, requests(5, maturity=0), SHIPPED, other).maturity_violations == 100


def test_long_views_are_not_estimated_without_enough_exploration() -> None:
    answer = what_if(COLUMNS, STATS, requests(5), SHIPPED, SHIPPED)
    assert answer.long_views is None
    assert answer.effective_samples == 0.0
    assert what_if(COLUMNS, STATS, requests(30, explored=True), SHIPPED, SHIPPED).long_views is None


def test_enough_exploration_finds_the_better_configuration() -> None:
    worse = Configuration(LinearModel.checked("worse", {"editorial_boost": -10.0}))
    better = Configuration(LinearModel.checked("better", {"editorial_boost": 10.0}))
    answer = what_if(COLUMNS, STATS, requests(2_000, explored=True), worse, better)
    assert answer.long_views is not None
    assert answer.long_views.change > 0.5
    assert answer.long_views.low > 0


def test_a_candidate_configuration_is_judged_without_its_exploration_slot() -> None:
    exploring = [replace(r, options=replace(r.options, explore=True, seed=4)) for r in requests(3)]
    assert what_if(COLUMNS, STATS, exploring, SHIPPED, SHIPPED).unchanged_pages == 1.0
    page = rank(COLUMNS, STATS, None, COLUMNS.rows(), SHIPPED.model, SHIPPED.applied(exploring[0].options))
    assert page.explored is None
