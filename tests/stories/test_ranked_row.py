"""The ranked row shows exactly the stories of the newest row, in another order, despite changes between pages."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking.model import global_model
from ranking.personal import PersonalRanking
from stories import ranked_row as module
from stories.ranked_row import RANKED_AUTHORS, RankedBy, Walk, ranked_row, story_scores
from stories.story import HOUR_SECONDS, PRIVATE, Story, new_story_id
from stories.story_columns import SPARE_ROWS, StoryColumns
from stories.story_row import STORIES_OF_AN_AUTHOR, Shelf, Shown, row_of
from stories.story_videos import SLICE, StoryVideos, VideosOfStories
from stories.visibility import StoryViewer
from tests.stories.test_visibility import NOW, NUMBERS, PEOPLE, World, walk, worlds

MODEL = global_model().overridden({"recency": 0.7, "follows_creator": 1.5})
TIMES = st.floats(0, 50 * HOUR_SECONDS)


def ranked_by(columns: StoryColumns, seed: int | None = 0) -> RankedBy:
    columns.changed = set(range(len(columns.stories)))
    videos = StoryVideos()
    videos.take(columns, len(columns.stories))
    return RankedBy(videos, PersonalRanking(MODEL), seed=seed)


def ids_of(page: list[Shelf]) -> list[str]:
    return [story.id for shelf in page for story in shelf.stories]


@settings(max_examples=150)
@given(
    world=worlds(),
    number=NUMBERS,
    later=TIMES,
    limit=st.integers(1, 4),
    looked=st.sets(st.integers(0, 11)),
    newest_from=st.integers(0, 6),
    most=st.sampled_from([1, 2, RANKED_AUTHORS]),
    seed=st.none() | st.integers(0, 5),
)
def test_paging_shows_each_story_of_the_newest_row_once_and_no_other(
    world: World, number: int, later: float, limit: int, looked: set[int], newest_from: int, most: int, seed: int | None
) -> None:
    for _, story in world.stories:
        world.columns.apply(replace(story, state="live", visibility=PRIVATE))  # as it was before an editor or a change
    by = ranked_by(world.columns, seed)
    for _, story in world.stories:
        world.columns.apply(story)
    by.videos.take(world.columns, SLICE)
    viewer, now = world.viewer(number), NOW + later
    seen = {world.stories[each][1].id for each in looked if each < len(world.stories)}
    found: list[str] = []
    stands: Walk | None = Walk()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "RANKED_AUTHORS", most)
        for turn in range(30):
            assert stands is not None
            stands = Walk.from_place(stands.to_place())
            if stands.is_ranked and turn < newest_from:
                page, stands = ranked_row(world.columns, viewer, seen, now, stands, limit, by)
            else:
                page, after = row_of(world.columns, viewer, seen, now, stands.after, limit, stands.served)
                stands = None if after is None else Walk(stands.served, after)
            found += ids_of(page)
            seen |= set(ids_of(page)[:1])  # the viewer views some, which changes their order
            if stands is None:
                break
    wanted = {each.id for author, each in world.stories if world.allowed(number, author, each, now)}
    assert stands is None
    assert (len(found), set(found)) == (len(wanted), wanted) == (len(found), set(walk(world, viewer, now, limit)))


@settings(max_examples=100)
@given(world=worlds(), number=NUMBERS, looked=st.sets(st.integers(0, 11)), limit=st.integers(1, 4))
def test_unseen_precedes_seen_and_authors_rank_by_their_best_unseen_story(
    world: World, number: int, looked: set[int], limit: int
) -> None:
    for _, story in world.stories:
        world.columns.apply(story)
    viewer, by = world.viewer(number), ranked_by(world.columns, None)
    seen = {world.stories[each][1].id for each in looked if each < len(world.stories)}
    page, _ = ranked_row(world.columns, viewer, seen, NOW, Walk(), limit, by)
    everybody, behind = ranked_row(world.columns, viewer, seen, NOW, Walk(), len(PEOPLE), by)
    assert behind is None
    assert [each.author_id for each in page] == [each.author_id for each in everybody][:limit]
    shown = Shown(world.columns, viewer, NOW)
    scores = dict(zip(shown.rows.tolist(), story_scores(shown, viewer, NOW, by).tolist(), strict=True))

    def rank(shelf: Shelf) -> tuple[bool, float]:
        counts = [each for each in shelf.stories if not shelf.unseen or each.id not in seen]
        return shelf.unseen == 0, -max(scores[world.columns.row(each.id)] for each in counts)  # type: ignore[index]

    assert list(map(rank, everybody)) == sorted(map(rank, everybody))


def crowd(authors: int, of_each: int = 1) -> tuple[StoryColumns, StoryViewer]:
    """Public stories of many authors, and a viewer who follows nobody."""
    columns, world = StoryColumns(), World(set(), set(), [], "followers")
    for number in range(authors * of_each):
        author = replace(PEOPLE[0], id=f"{10_000 + number % authors}".ljust(21, "0") + "A")
        made = NOW - HOUR_SECONDS - number
        columns.apply(
            Story(new_story_id(author, made), author.id, made, NOW + HOUR_SECONDS, "public", "Hi", rating="G")
        )
    return columns, world.viewer(4)


def test_paging_beyond_the_ranked_authors_continues_newest_first() -> None:
    columns, viewer = crowd(RANKED_AUTHORS + 150)
    by = ranked_by(columns)
    stands, found, ranked = Walk(), list[str](), 0
    while stands.is_ranked:
        page, behind = ranked_row(columns, viewer, (), NOW, stands, 50, by)
        assert behind is not None
        found, ranked, stands = found + ids_of(page), ranked + len(page), behind
    assert ranked == RANKED_AUTHORS
    rest, place = row_of(columns, viewer, (), NOW, stands.after, 200, stands.served)
    assert place is None
    made = [each.latest_at for each in rest]
    assert made == sorted(made, reverse=True)
    assert len({*found, *ids_of(rest)}) == RANKED_AUTHORS + 150


def test_author_shows_their_newest_stories_and_ranks_by_one_of_them() -> None:
    columns, viewer = crowd(2, STORIES_OF_AN_AUTHOR + 5)
    by = ranked_by(columns)
    newest, _ = row_of(columns, viewer, (), NOW, None, 5)
    seen = {each.id for each in newest[0].stories}
    page, _ = ranked_row(columns, viewer, seen, NOW, Walk(), 5, by)
    assert [each.unseen for each in page] == [STORIES_OF_AN_AUTHOR, 0], "older unseen ones are not shown"
    assert sorted(ids_of(page)) == sorted(ids_of(newest))


def test_one_place_of_a_page_is_reserved_for_an_author_without_views() -> None:
    columns, viewer = crowd(60)
    columns.views[:60] = 10
    by = ranked_by(columns, None)
    plain, _ = ranked_row(columns, viewer, (), NOW, Walk(), 59, by)
    last = [each.author_id for each in ranked_row(columns, viewer, (), NOW, Walk(), 60, by)[0]][-1]
    row = next(at for at, each in enumerate(columns.stories) if each is not None and each.author_id == last)
    columns.views[row] = 0
    page, _ = ranked_row(columns, viewer, (), NOW, Walk(), 20, replace(by, seed=3))
    assert [each.author_id for each in page].index(last) == 5
    assert [each.author_id for each in page if each.author_id != last] == [each.author_id for each in plain][:19]
    seen = {columns.stories[row].id}  # type: ignore[union-attr]
    page, _ = ranked_row(columns, viewer, seen, NOW, Walk(), 20, replace(by, seed=3))
    assert last not in {each.author_id for each in page}, "this viewer has"


@pytest.mark.asyncio
async def test_ranking_columns_stay_aligned_with_stories_after_every_change() -> None:
    columns, _ = crowd(2 * SPARE_ROWS + 2 * SLICE)
    held = VideosOfStories()

    async def same() -> None:
        videos = await held.of(columns, NOW)
        ids = [each.id for each in columns.stories if each is not None]
        assert videos.columns.ids == ids
        states = [each.state == "live" for each in columns.stories if each is not None]
        assert videos.columns.active.tolist() == states
        assert np.array_equal(videos.columns.published_at, columns.created[: len(ids)])

    await same()
    first = columns.stories[0]
    assert first is not None
    columns.apply(replace(first, state="deleted"))
    columns.apply(replace(first, id=new_story_id(PEOPLE[1], NOW), author_id=PEOPLE[1].id))
    await same()
    for story in columns.stories[: SPARE_ROWS + 2 * SLICE]:
        if story is not None:
            columns.apply(replace(story, expires_at=NOW - 1))
    assert columns.drop_ended(NOW) < 2 * SPARE_ROWS, "renumbered"
    await same()
