"""Similar videos: learned neighbors first, then a shared subject, never the video itself."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking import CatalogStats, CoWatchTable, RankingOptions, VideoColumns, build, popularity_model, similar
from ranking.columns import key64
from ranking.neighbors import SimilarSlate, neighbors
from shared.domain.records import Video
from tests.ranking.test_next_watch import NAMES, TABLE

NOW = 1_700_000_000.0
OPTIONS = RankingOptions(NOW, streak_cap=0, creator_cap=0, diversity=0.0)


def video(name: str, category: str = "", creator: str = "", tags: tuple[str, ...] = ()) -> Video:
    return Video(id=name, title=name, playback_url="", category=category, creator=creator, tags=tags)


def watched_together(*groups: str) -> CoWatchTable:
    """Return the table of users, each of whom watched the videos of one group, a letter each."""
    pairs = [(user, name) for user, group in enumerate(groups) for name in group]
    users = np.array([user for user, _ in pairs], np.int64)
    keys = np.array([key64(name) for _, name in pairs], np.uint64)
    return build(users, keys, np.arange(len(pairs), dtype=np.float64))


def listed(stats: CatalogStats, name: str, options: RankingOptions = OPTIONS, **more: Any) -> SimilarSlate:
    row = stats.columns.row(name)
    assert row is not None
    return similar(stats.columns, stats, row, stats.columns.rows(), popularity_model(), None, options, **more)


def ids(stats: CatalogStats, found: SimilarSlate) -> str:
    return "".join(stats.columns.ids[row] for row in found.slate.rows.tolist())


def test_videos_watched_together_rank_before_those_of_the_same_subject() -> None:
    stats = CatalogStats(VideoColumns([video("a", "x"), video("b", "x"), video("c", "y"), video("d", "z")]))
    stats.use_cowatch(watched_together("ac", "ac"))
    found = listed(stats, "a")
    assert ids(stats, found) == "cb"
    assert found.together.tolist() == [True, False]


def test_subject_alone_decides_without_learned_neighbors() -> None:
    stats = CatalogStats(VideoColumns([video("a", "x"), video("b", "x"), video("c", "y")]))
    stats.use_cowatch(watched_together("ac", "ac"))
    found = listed(stats, "a", learned=False)
    assert ids(stats, found) == "b"
    assert not found.together.any()


def test_shared_creator_is_closer_than_a_category_and_that_than_a_tag() -> None:
    columns = VideoColumns(
        [
            video("a", "x", "me", ("s", "t")),
            video("b", "x"),
            video("c", "y", "me"),
            video("d", tags=("t",)),
            video("e", tags=("s", "t")),
            video("f", "y", "other", ("u",)),
        ]
    )
    stats = CatalogStats(columns)
    assert ids(stats, listed(stats, "a")) == "cbed"
    rows, near, strength = neighbors(columns, stats, 0, columns.rows())
    assert rows.tolist() == [1, 2, 3, 4]
    assert np.round(near, 2).tolist() == [0.3, 0.5, 0.1, 0.2]
    assert not strength.any()


def test_videos_without_category_creator_or_tags_share_nothing() -> None:
    stats = CatalogStats(VideoColumns([video("a"), video("b"), video("c")]))
    assert ids(stats, listed(stats, "a")) == ""


def test_new_video_missing_from_the_tables_has_neighbors_by_subject() -> None:
    stats = CatalogStats(VideoColumns([video("z", "x"), video("a", "x"), video("b", "y")]))
    stats.use_cowatch(watched_together("ab"))
    stats.use_next_watch(TABLE)
    found = listed(stats, "z")
    assert ids(stats, found) == "a"
    assert not found.together.any()


def test_next_watch_neighbors_are_likelier_than_an_even_share() -> None:
    stats = CatalogStats(VideoColumns([video(name) for name in NAMES]))
    stats.use_next_watch(TABLE)
    assert stats.next_watch is not None
    odds = stats.next_watch.log_odds(np.array([0]))
    assert odds is not None
    rows, near, strength = neighbors(stats.columns, stats, 0, stats.columns.rows())
    assert rows.tolist() == [row for row in np.flatnonzero(odds > 0).tolist() if row]
    assert np.allclose(strength, odds[rows])
    assert np.allclose(near, strength), "they share no subject"


def test_rules_reorder_videos_only_within_learned_or_subject_neighbors() -> None:
    stats = CatalogStats(VideoColumns([video("a", "x"), video("b", "x"), video("c", "y"), video("d", "x")]))
    stats.use_cowatch(watched_together("ac", "ac"))
    boost = np.array([0.0, 1_000.0, 0.0, 2_000.0])
    found = similar(stats.columns, stats, 0, stats.columns.rows(), popularity_model(), None, OPTIONS, adjustment=boost)
    assert ids(stats, found) == "cdb"


catalogs = st.lists(
    st.tuples(st.sampled_from(["x", "y", ""]), st.sampled_from(["me", "you", ""]), st.sets(st.sampled_from("stu"))),
    min_size=1,
    max_size=10,
).map(lambda rows: [video(NAMES[i], a, b, tuple(sorted(tags))) for i, (a, b, tags) in enumerate(rows)])


@settings(deadline=None)
@given(catalogs, st.lists(st.sampled_from(["abc", "bd", "aij", "cdefgh"]), max_size=4), st.data())
def test_list_has_each_related_candidate_once_and_learned_ones_first(
    videos: list[Video], groups: list[str], data: st.DataObject
) -> None:
    stats = CatalogStats(VideoColumns(videos))
    stats.use_cowatch(watched_together(*groups) if groups else None)
    stats.use_next_watch(data.draw(st.sampled_from([None, TABLE])))
    row = data.draw(st.integers(0, len(videos) - 1))
    candidates = np.array(sorted(data.draw(st.sets(st.integers(0, len(videos) - 1)))), np.int64)
    options = RankingOptions(NOW, limit=data.draw(st.integers(1, 12)), streak_cap=0, creator_cap=2, diversity=0.5)
    found = similar(stats.columns, stats, row, candidates, popularity_model(), None, options)
    rows, together = found.slate.rows.tolist(), found.together.tolist()
    around, _, strength = neighbors(stats.columns, stats, row, candidates)
    learned, one = set(around[strength > 0].tolist()), videos[row]
    related = {
        each
        for each in candidates.tolist()
        if each != row
        and (
            (one.category and one.category == videos[each].category)
            or (one.creator and one.creator == videos[each].creator)
            or set(one.tags) & set(videos[each].tags)
        )
    }
    assert len(rows) == len(set(rows)) <= options.limit
    assert set(rows) <= learned | related
    assert [each in learned for each in rows] == together
    if len(learned | related) <= options.limit:
        assert set(rows) == learned | related
    if stats.columns.creator.max() < 0:
        assert together == sorted(together, reverse=True)
