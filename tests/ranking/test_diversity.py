from dataclasses import replace

import numpy as np
import pytest

from ranking import LinearModel, RankingOptions, global_model, rank
from ranking.diversity import diversify, metadata_similarity
from ranking.exploration import explore
from tests.ranking.catalogs import NOW, make_catalog, make_signals, make_videos


def test_similarity_is_symmetric_and_grows_with_creator_category_and_tags() -> None:
    alike = replace(make_videos(1)[0], category="a", creator="c", tags=("t",))
    others = [
        replace(alike, id="same"),
        replace(alike, id="creator", creator="x"),
        replace(alike, id="nothing", creator="y", category="b", tags=("u",)),
        replace(alike, id="bare", creator="", category="", tags=()),
    ]
    columns, _ = make_catalog([alike, *others], 0)
    like = metadata_similarity(columns, np.arange(5))
    assert (like == like.T).all()
    assert like[0].tolist() == pytest.approx([1.0, 1.0, 0.5, 0.0, 0.0])
    assert like[4, 4] == 0.0


def test_more_diversity_lowers_page_similarity_and_none_keeps_score_order() -> None:
    columns, stats = make_catalog(make_videos(300, categories=4))
    pages = {
        diversity: rank(
            columns,
            stats,
            make_signals(),
            columns.rows(),
            global_model(),
            RankingOptions(NOW, streak_cap=0, creator_cap=0, diversity=diversity),
        )
        for diversity in (0.0, 5.0)
    }
    assert (np.diff(pages[0.0].scores) <= 0).all()
    likeness = {key: metadata_similarity(columns, page.rows).mean() for key, page in pages.items()}
    assert likeness[5.0] < likeness[0.0]


def test_another_similarity_can_be_plugged_in() -> None:
    columns, _ = make_catalog(make_videos(10), 0)
    ordered, scores = columns.rows(), np.zeros(10)

    def parity(_, rows):
        return (rows[:, None] % 2 == rows % 2).astype(float)

    options = RankingOptions(NOW, limit=2, diversity=1.0, streak_cap=0)
    page = ordered[diversify(columns, ordered, scores, np.arange(10), options, similarity=parity)]
    assert page[0] % 2 != page[1] % 2


def test_a_creator_fills_no_more_places_than_the_cap_while_others_are_left() -> None:
    videos = [replace(v, creator="prolific" if i < 60 else f"creator {i}") for i, v in enumerate(make_videos(100))]
    boosted = [replace(v, editorial_boost=10.0 if v.creator == "prolific" else 0.0) for v in videos]
    columns, stats = make_catalog(boosted)
    slate = rank(columns, stats, None, columns.rows(), global_model(), RankingOptions(NOW, creator_cap=3))
    prolific = columns.creators.code("prolific")
    assert (columns.creator[slate.rows] == prolific).sum() == 3


def test_catalog_of_one_creator_and_category_still_fills_the_page() -> None:
    columns, stats = make_catalog([replace(v, creator="one", category="one") for v in make_videos(400)])
    slate = rank(columns, stats, None, columns.rows(), global_model(), RankingOptions(NOW))
    assert len(slate) == 20


def explored_page(seed: int, count: int = 60) -> tuple[object, object]:
    columns, stats = make_catalog(make_videos(count), events=0)
    model = LinearModel.checked("m", {"editorial_boost": 1.0})
    return columns, rank(columns, stats, None, columns.rows(), model, RankingOptions(NOW, seed=seed, explore=True))


def test_only_the_exploration_slot_has_a_propensity_below_one() -> None:
    _, slate = explored_page(7, count=400)
    assert slate.explored == 5
    assert 0 < slate.propensities[5] < 1
    assert np.delete(slate.propensities, 5).tolist() == [1.0] * 19


def test_equal_seeds_explore_the_same_video_and_many_seeds_reach_many() -> None:
    assert explored_page(7)[1].rows.tolist() == explored_page(7)[1].rows.tolist()
    reached = set()
    for seed in range(60):
        columns, slate = explored_page(seed)
        if slate.explored is not None:
            reached.add(columns.ids[slate.rows[slate.explored]])
    assert len(reached) > 20


def test_inverse_propensity_weights_average_to_one_per_video() -> None:
    columns, stats = make_catalog(make_videos(40), events=200)
    static, rows, draws = stats.static(NOW), columns.rows(), 3_000
    weights = np.zeros(len(columns))
    for seed in range(draws):
        found = explore(columns, static, rows, RankingOptions(NOW, seed=seed))
        assert found is not None
        weights[rows[found.position]] += 1 / found.propensity
    assert weights.sum() / draws == pytest.approx(len(columns), rel=0.25)


def explored_by(columns, static, seeds: int) -> np.ndarray:
    """Return how often each row gets the slot."""
    rows = columns.rows()
    found = [explore(columns, static, rows, RankingOptions(NOW, seed=seed)) for seed in range(seeds)]
    return np.bincount(rows[[choice.position for choice in found if choice]], minlength=len(columns))


def test_videos_without_statistics_are_explored_equally_often() -> None:
    columns, stats = make_catalog(make_videos(50), events=0)
    times = explored_by(columns, stats.static(NOW), 5_000)
    assert ((times - 100) ** 2 / 100).sum() < 49 + 5 * np.sqrt(2 * 49)  # χ² of 49 degrees: mean and five deviations


def test_exploration_follows_the_posterior() -> None:
    columns, stats = make_catalog(make_videos(20), events=0)
    known = [(f"vid_{i}", NOW, "impression", 0.0, 0.0) for i in range(20) for _ in range(6 * i)]
    liked = [(f"vid_{i}", NOW, "video_view", 30_000.0, 60.0) for i in range(20) for _ in range(3 * (i % 5))]
    stats.table.add(known + liked)
    static = stats.static(NOW)
    mean, deviation = static.rates
    draw = np.random.default_rng(1)
    best = draw.normal(mean, deviation, (40_000, len(columns))).argmax(axis=1)
    wanted = 0.9 * np.bincount(best, minlength=len(columns)) / 40_000 + 0.1 / len(columns)
    assert np.abs(explored_by(columns, static, 6_000) / 6_000 - wanted).max() < 0.02


def test_a_video_with_many_impressions_is_not_explored() -> None:
    columns, stats = make_catalog(make_videos(30), events=0)
    stats.table.add([(f"vid_{i}", NOW, "impression", 0.0, 0.0) for i in range(29) for _ in range(1_100)])
    found = explore(columns, stats.static(NOW), columns.rows(), RankingOptions(NOW, seed=3))
    assert found is not None
    assert columns.ids[columns.rows()[found.position]] == "vid_29"
    assert explore(columns, stats.static(NOW), columns.rows()[:29], RankingOptions(NOW, seed=3)) is None
