import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking import (
    FEATURES,
    CatalogStats,
    LinearModel,
    RankingOptions,
    VideoColumns,
    explain,
    global_model,
    page_of,
    popularity_order,
    rank,
)
from ranking.features import values_of
from ranking.user_features import UserFeatures
from shared.domain.age_bands import AgeBand
from shared.domain.user_signals import Signals, Timeline
from tests.ranking.catalogs import NOW, make_catalog, make_signals, make_videos

seeds = st.integers(0, 10_000)
weights = st.dictionaries(st.sampled_from(list(FEATURES)), st.floats(-1000, 1000), max_size=12)
some = settings(max_examples=30, deadline=None)


def ids(columns: VideoColumns, rows: np.ndarray) -> list[str]:
    return [columns.ids[row] for row in rows]


@some
@given(seeds, weights, st.integers(1, 50), st.integers(0, 4), st.floats(0, 1))
def test_no_weight_boost_or_history_returns_a_filtered_row(seed, named, limit, cap, share) -> None:
    columns, stats = make_catalog(make_videos(120, seed, titles=40), seed=seed)
    candidates = np.flatnonzero(np.random.default_rng(seed).random(len(columns)) < share)
    options = RankingOptions(NOW, limit=limit, streak_cap=cap, language="en", country="DE", seed=seed, explore=True)
    slate = rank(columns, stats, make_signals(seed), candidates, LinearModel.checked("m", named), options)
    assert set(slate.rows) <= set(candidates)
    assert len(set(slate.rows)) == len(slate) == min(limit, len(candidates))


@some
@given(seeds, weights)
def test_row_order_does_not_change_the_page(seed, named) -> None:
    videos = make_videos(150, seed, titles=60)
    shuffled = [videos[i] for i in np.random.default_rng(seed).permutation(len(videos))]
    model = LinearModel.checked("m", named)
    options = RankingOptions(NOW, limit=30, seed=seed, explore=True)
    pages = []
    for catalog in (videos, shuffled):
        columns, stats = make_catalog(catalog, seed=seed)
        slate = rank(columns, stats, make_signals(seed), columns.rows(), model, options)
        pages.append(ids(columns, slate.rows))
    assert pages[0] == pages[1]


def test_ranking_the_same_inputs_twice_gives_the_same_slate() -> None:
    columns, stats = make_catalog(make_videos(300))
    slates = [
        rank(
            columns,
            CatalogStats(columns, stats.table),
            make_signals(),
            columns.rows(),
            global_model(),
            RankingOptions(NOW),
        )
        for _ in range(2)
    ]
    assert slates[0].rows.tolist() == slates[1].rows.tolist()
    assert slates[0].scores.tolist() == slates[1].scores.tolist()


@some
@given(seeds, weights)
def test_contributions_add_up_to_the_score_bit_for_bit(seed, named) -> None:
    columns, stats = make_catalog(make_videos(80, seed), seed=seed)
    signals, options = make_signals(seed), RankingOptions(NOW, language="de")
    model = LinearModel.checked("m", named)
    slate = rank(columns, stats, signals, columns.rows(), model, options)
    for row, score in zip(slate.rows, slate.scores, strict=True):
        explanation = explain(columns, stats, signals, int(row), model, options)
        assert explanation.score == score
        assert sum(part.amount for part in explanation.contributions) == pytest.approx(score, abs=1e-9)


def longest_run(codes: list[int]) -> int:
    longest, run = 1, 1
    for before, after in itertools.pairwise(codes):
        run = run + 1 if before == after else 1
        longest = max(longest, run)
    return longest


@some
@given(seeds, st.integers(1, 3))
def test_no_category_streak_exceeds_the_cap_while_others_are_left(seed, cap) -> None:
    columns, stats = make_catalog(make_videos(400, seed, categories=5), seed=seed)
    slate = rank(
        columns, stats, make_signals(seed), columns.rows(), global_model(), RankingOptions(NOW, streak_cap=cap)
    )
    assert longest_run(columns.category[slate.rows].tolist()) <= cap


def test_a_streak_counts_across_pages() -> None:
    videos = [replace(video, category="one" if i < 50 else "two") for i, video in enumerate(make_videos(100))]
    columns, stats = make_catalog(videos)
    first = rank(columns, stats, None, columns.rows(), global_model(), RankingOptions(NOW, limit=7))
    rest = np.setdiff1d(columns.rows(), first.rows)
    options = RankingOptions(NOW, limit=7, served=tuple(first.rows.tolist()))
    second = rank(columns, stats, None, rest, global_model(), options)
    joined = np.concatenate([first.rows, second.rows])
    assert longest_run(columns.category[joined].tolist()) <= 2


@pytest.mark.parametrize("categories", [1, 3])
def test_paging_serves_every_video_once_despite_streak_and_title_rules(categories: int) -> None:
    columns, stats = make_catalog(make_videos(230, categories=categories, titles=20))
    left, walked = columns.rows(), []
    while len(left):
        slate = rank(columns, stats, make_signals(), left, global_model(), RankingOptions(NOW, limit=20))
        assert len(slate) == min(20, len(left))
        walked += slate.rows.tolist()
        left = np.setdiff1d(left, slate.rows)
    assert sorted(walked) == sorted(columns.rows().tolist())


def test_near_duplicate_titles_wait_for_a_later_page() -> None:
    columns, stats = make_catalog(make_videos(200, titles=40))
    slate = rank(columns, stats, make_signals(), columns.rows(), global_model(), RankingOptions(NOW, limit=20))
    assert len(set(columns.title[slate.rows].tolist())) == 20


def test_editorial_boost_lifts_a_video_and_a_negative_one_lowers_it() -> None:
    videos = [replace(video, editorial_boost=0.0) for video in make_videos(100)]
    videos[3], videos[4] = replace(videos[3], editorial_boost=10.0), replace(videos[4], editorial_boost=-10.0)
    columns, stats = make_catalog(videos)
    model = global_model().overridden({"EditorialBoost": 100.0})
    slate = rank(columns, stats, None, columns.rows(), model, RankingOptions(NOW, limit=50))
    served = ids(columns, slate.rows)
    assert served[0] == "vid_3"
    assert "vid_4" not in served


def test_watched_subjects_rank_first_and_skipped_ones_late() -> None:
    videos = [replace(video, editorial_boost=0.0) for video in make_videos(200, categories=4)]
    columns, stats = make_catalog(videos, events=0)
    signals = Signals(half_life_days=14.0, newest_minute=int(NOW // 60), events=60)
    signals.categories = make_signals().categories
    signals.categories.values[:] = 0
    signals.categories.values[0] = (30, 29, 0, 3, 30, 900_000)  # watched whole
    signals.categories.values[1] = (30, 1, 29, 0, 2, 30_000)  # skipped
    slate = rank(columns, stats, signals, columns.rows(), global_model(), RankingOptions(NOW, limit=20, streak_cap=0))
    names = [columns.categories.texts[code] for code in columns.category[slate.rows]]
    assert names.count("category 0") > 10
    assert "category 1" not in names


def test_empty_catalog_or_no_candidates_give_an_empty_slate() -> None:
    columns = VideoColumns()
    stats = CatalogStats(columns)
    assert len(rank(columns, stats, make_signals(), columns.rows(), global_model(), RankingOptions(NOW))) == 0
    assert (
        len(
            page_of(columns, popularity_order(columns, stats, columns.rows(), RankingOptions(NOW)), RankingOptions(NOW))
        )
        == 0
    )


def test_fallback_is_the_same_for_everybody_and_skips_served_videos() -> None:
    columns, stats = make_catalog(make_videos(100))
    ordering = popularity_order(columns, stats, columns.rows(), RankingOptions(NOW))
    assert (np.diff(ordering.scores) <= 0).all()
    first = page_of(columns, ordering, RankingOptions(NOW))
    keep = np.ones(len(columns), np.bool_)
    keep[first.rows] = False
    second = page_of(columns, ordering, RankingOptions(NOW), keep)
    assert not set(first.rows) & set(second.rows)
    assert len(second) == 20


def test_a_matching_age_band_or_platform_gives_1_and_another_minus_1() -> None:
    plain = make_videos(4)
    videos = [
        replace(plain[0], age_bands=("13-17", "18-24"), platforms=("ios",)),
        replace(plain[1], age_bands=("65+",), platforms=("tv", "web")),
        *plain[2:],
    ]
    columns, stats = make_catalog(videos)
    rows = np.array([columns.row(video.id) for video in videos])
    for options, expected in (
        (RankingOptions(NOW, age_band=AgeBand(20, 30), platform="ios"), [1, -1, 0, 0]),
        (RankingOptions(NOW, age_band=AgeBand(25, 34), platform="made-up"), [-1, -1, 0, 0]),
        (RankingOptions(NOW), [0, 0, 0, 0]),
    ):
        user = UserFeatures(columns, stats.static(NOW), None, options)
        for name in ("age_band_match", "platform_match"):
            assert values_of(FEATURES[name], user, rows).tolist() == expected


def test_approval_taste_follows_the_approval_of_the_users_long_views() -> None:
    columns, stats = make_catalog(make_videos(60), events=3_000)
    static = stats.static(NOW)
    approval = static.values["approval"]
    rows = columns.rows()
    for watched, sign in ((np.argsort(-approval)[:10], 1), (np.argsort(approval)[:10], -1)):
        signals = make_signals()
        signals.watched = Timeline(columns.fingerprint[watched], np.full(10, int(NOW // 60), np.int32))
        taste = values_of(FEATURES["approval_taste"], UserFeatures(columns, static, signals, RankingOptions(NOW)), rows)
        assert sign * np.corrcoef(taste, approval[rows])[0, 1] > 0.99
    assert UserFeatures(columns, static, None, RankingOptions(NOW)).approval_taste() is None


def test_every_feature_is_finite_for_a_video_without_metadata_or_statistics() -> None:
    columns, stats = make_catalog(
        [replace(v, category="", creator="", tags=(), language=None) for v in make_videos(3)], 0
    )
    model = LinearModel.checked("all", dict.fromkeys(FEATURES, 1.0))
    for signals in (None, make_signals()):
        slate = rank(columns, stats, signals, columns.rows(), model, RankingOptions(NOW, language="en", country="DE"))
        assert np.isfinite(slate.scores).all()
