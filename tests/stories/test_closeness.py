"""Closeness and story totals for the ranked row: each interaction counts once, decays and is bounded."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranking.stats import APPROVALS, DEMAND_1H, DEMAND_7D, VIEWS
from shared.adapters.documents.port import STORIES
from stories.closeness import HALF_LIFE_SECONDS, MAX_AUTHORS, NOBODY_CLOSE, Closeness
from stories.ranked_row import Walk, ranked_row
from stories.seen import SeenStories
from stories.story import bucket_of
from stories.story_totals import TOTALS, StoryTotals
from stories.story_videos import StoryVideos, statistics_of
from tests.memory_documents import MemoryDocuments
from tests.stories.breaking_store import BreakingStore, killed_between_any_writes
from tests.stories.test_exactly_once import AUTHOR, FORM, NOW, VIEWERS, Process
from tests.stories.test_ranked_row import MODEL, crowd, ranked_by

STORY = FORM.story("01KB8ZKQ3V5WJ4Y8N2T6R1C9XD-2", AUTHOR, None, NOW, 24)
DAY = 86_400.0


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 2), st.floats(0, 60 * DAY)), max_size=20))
def test_closeness_is_the_sum_of_interactions_decayed_by_age(facts: list[tuple[int, int, float]]) -> None:
    facts = sorted(facts, key=lambda fact: fact[2])
    close = NOBODY_CLOSE
    for author, amount, at in facts:
        close = close.adding(author, amount, NOW + at)
    now = NOW + 60 * DAY
    close = Closeness.from_text(close.to_text())
    found = dict(zip(close.keys.tolist(), close.values(now).tolist(), strict=True))
    for author in range(5):
        faded = sum(n * 2 ** (-(now - NOW - at) / HALF_LIFE_SECONDS) for who, n, at in facts if who == author)
        assert found.get(author, 0.0) == pytest.approx(np.log1p(faded), rel=1e-3)


def test_closest_authors_are_kept_for_at_most_ninety_days() -> None:
    close = NOBODY_CLOSE.adding(7, 100, NOW)
    for author in range(100, 100 + 2 * MAX_AUTHORS):
        close = close.adding(author, 1, NOW + author)
    assert len(close.keys) == MAX_AUTHORS
    assert {7, 99 + 2 * MAX_AUTHORS} <= set(close.keys.tolist())
    assert close.adding(8, 1, NOW + 91 * DAY).keys.tolist() == [8]
    assert [Closeness.from_text(each).keys.tolist() for each in (None, "?", "AAAA", 5)] == [[]] * 4


async def test_killed_view_and_reaction_raise_closeness_once_each() -> None:
    viewer = VIEWERS[0]

    async def nothing(store: BreakingStore) -> None:
        return None

    async def both(store: BreakingStore) -> None:
        activity = Process(store).activity
        await activity.view(viewer, STORY, NOW)
        await activity.react(viewer, STORY, 5, NOW)

    async def then(store: BreakingStore, number: int) -> None:
        for emoji in (5, 1, None, 5):
            await Process(store).activity.react(viewer, STORY, emoji, NOW)
        await both(store)
        close = (await SeenStories(store).read(viewer)).closeness  # type: ignore[arg-type]
        assert close.keys.tolist() == [AUTHOR.key]
        assert close.amounts(NOW).tolist() == [2.0]

    assert await killed_between_any_writes(nothing, both, then) == 4


async def test_views_without_consent_raise_no_closeness() -> None:
    store = MemoryDocuments()
    activity = Process(store).activity
    await activity.view(VIEWERS[0], STORY, NOW, personal=False)
    await activity.react(VIEWERS[0], STORY, 1, NOW, personal=False)
    seen = await SeenStories(store).read(VIEWERS[0])  # type: ignore[arg-type]
    assert (seen.stories, len(seen.closeness.keys)) == ([STORY.id], 0)


async def test_totals_reach_every_instance_in_steps_despite_kills() -> None:
    async def viewed(store: BreakingStore) -> None:
        process = Process(store)
        for viewer in VIEWERS[:9]:
            await process.activity.view(viewer, STORY, NOW)

    async def count(store: BreakingStore) -> None:
        await Process(store).counter.run()
        await Process(store).counter.run()

    async def then(store: BreakingStore, number: int) -> None:
        await count(store)
        stored = await store.read(STORIES, bucket_of("t", STORY.id), TOTALS + STORY.id)
        assert stored is not None
        assert StoryTotals.from_document(stored.body) == StoryTotals(STORY.id, 9, 0, 9)

    assert await killed_between_any_writes(viewed, count, then) >= 3
    store = BreakingStore()
    await viewed(store)
    await count(store)
    await Process(store).activity.view(VIEWERS[20], STORY, NOW)
    await count(store)
    stored = await store.read(STORIES, bucket_of("t", STORY.id), TOTALS + STORY.id)
    assert stored is not None
    assert stored.body["views"] == 9, "ten are no news after nine"


@given(st.integers(1, 10_000), st.integers(0, 500), st.floats(60, 48 * 3_600))
def test_view_totals_are_spread_evenly_over_the_age_of_a_story(views: int, reactions: int, age: float) -> None:
    columns, _ = crowd(1)
    story = columns.stories[0]
    assert story is not None
    columns.apply(replace(story, created_at=NOW - age))
    columns.take_totals(StoryTotals(story.id, views, reactions))
    videos = StoryVideos()
    columns.changed = {0}
    videos.take(columns, 1)
    (found,) = statistics_of(videos.columns, columns, NOW).decayed
    minutes = (np.arange(2_000) + 0.5) / 2_000 * age
    for column, hours in ((DEMAND_1H, 1), (DEMAND_7D, 168)):
        assert found[column] == pytest.approx(views * np.exp2(-minutes / hours / 3_600).mean(), rel=1e-3)
    assert found[VIEWS] == found[DEMAND_7D]
    assert found[APPROVALS] == pytest.approx(found[VIEWS] * reactions / views)


def test_close_and_followed_authors_rank_first_where_the_weights_favor_them() -> None:
    columns, viewer = crowd(30)
    by = ranked_by(columns, None)
    wanted = [each.author_id for each in ranked_row(columns, viewer, (), NOW, Walk(), 30, by)[0]]
    last = next(each for each in columns.stories if each is not None and each.author_id == wanted[-1])
    close = Closeness.from_text(NOBODY_CLOSE.adding(last.author_key, 5, NOW).adding(12, 9, NOW).to_text())
    closer = replace(by, closeness=close)
    page, _ = ranked_row(columns, viewer, (), NOW, Walk(), 30, closer)
    assert [each.author_id for each in page] == wanted, "no weight, no change"
    model = MODEL.overridden({"closeness": 3.0})
    page, _ = ranked_row(
        columns, viewer, (), NOW, Walk(), 30, replace(closer, personal=replace(by.personal, model=model))
    )
    assert page[0].author_id == wanted[-1]
    follows = replace(viewer, circle=viewer.circle.adding(last.author_key, "follows"))
    page, _ = ranked_row(columns, follows, (), NOW, Walk(), 30, by)
    assert page[0].author_id == wanted[-1]
    columns.take_totals(StoryTotals(last.id, 500, 50))
    by.videos.count(columns, NOW)
    page, _ = ranked_row(columns, viewer, (), NOW, Walk(), 30, by)
    assert page[0].author_id == wanted[-1], "and whom many look at"
