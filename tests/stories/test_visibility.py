"""Nobody gets a story that they may not see: random graphs, blocks, audiences, ratings, states and times."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.records import FRIENDS_MEAN, RATINGS, Tenant
from stories.circle import Circle
from stories.identity import Person
from stories.story import (
    HOUR_SECONDS,
    PRIVATE,
    STATES,
    STORY_ID,
    VISIBILITIES,
    Story,
    bucket_of,
    buckets_between,
    created_ms,
    new_story_id,
)
from stories.story_columns import SPARE_ROWS, StoryColumns
from stories.story_row import STORIES_OF_AN_AUTHOR, row_of
from stories.story_search import candidates, has_words
from stories.visibility import StoryViewer, may_see

NOW = 1_800_000_000.0
PEOPLE = [Person("t", f"{number:04d}".ljust(21, "0") + "A") for number in range(5)]
NUMBERS = st.integers(0, len(PEOPLE) - 1)
PAIRS = st.sets(st.tuples(NUMBERS, NUMBERS).filter(lambda pair: pair[0] != pair[1]))


@dataclass
class World:
    """Follows and blocks as pairs of numbers, and stories with their author's number."""

    follows: set[tuple[int, int]]
    blocks: set[tuple[int, int]]
    stories: list[tuple[int, Story]]
    friends_mean: str
    maturity: int = RATINGS["PG13"]
    columns: StoryColumns = field(default_factory=StoryColumns)

    def viewer(self, number: int) -> StoryViewer:
        """Return a viewer as stored: a block has removed the follows of both."""
        circle = Circle()
        for other, person in enumerate(PEOPLE):
            pairs = {(number, other), (other, number)}
            if (number, other) in self.blocks:
                circle = circle.adding(person.key, "blocked")
            if (other, number) in self.blocks:
                circle = circle.adding(person.key, "blocked_by")
            if (number, other) in self.follows and not pairs & self.blocks:
                circle = circle.adding(person.key, "follows")
                if (other, number) in self.follows:
                    circle = circle.adding(person.key, "followed_back")
        tenant = Tenant("t", friends_mean=self.friends_mean)
        return StoryViewer.of(PEOPLE[number], circle, tenant, self.maturity)

    def allowed(self, number: int, author: int, story: Story, now: float) -> bool:
        """The rule in other terms than the product's: by pairs, not by keys."""
        if now >= story.expires_at:
            return False
        if number == author:
            return story.state in ("live", "held")
        if story.state != "live" or {(number, author), (author, number)} & self.blocks:
            return False
        if RATINGS.get(story.rating, 99) > self.maturity or story.visibility == "private":
            return False
        if story.visibility == "public":
            return True
        if story.audience:
            return PEOPLE[number].id in story.audience
        back = self.friends_mean == "followers" or (author, number) in self.follows
        return (number, author) in self.follows and back


@st.composite
def worlds(draw: st.DrawFn) -> World:
    stories = []
    for at in range(draw(st.integers(0, 12))):
        author = draw(NUMBERS)
        visibility = draw(st.sampled_from(VISIBILITIES))
        audience = draw(st.sets(NUMBERS, max_size=3)) if visibility == "friends" else set()
        created = NOW - draw(st.floats(0, 30 * HOUR_SECONDS)) - at / 100
        stories.append(
            (
                author,
                Story(
                    id=new_story_id(PEOPLE[author], created),
                    author_id=PEOPLE[author].id,
                    created_at=created,
                    expires_at=created + draw(st.integers(1, 48)) * HOUR_SECONDS,
                    visibility=visibility,
                    audience=tuple(sorted(PEOPLE[each].id for each in audience)),
                    rating=draw(st.sampled_from([*RATINGS, "", "X"])),
                    state=draw(st.sampled_from(STATES)),
                    text=draw(st.sampled_from(["Zürich lake", "LAKE-house", "Lakeside", "By the sea", None])),
                ),
            )
        )
    return World(draw(PAIRS), draw(PAIRS), stories, draw(st.sampled_from(FRIENDS_MEAN)))


def walk(world: World, viewer: StoryViewer, now: float, limit: int) -> list[str]:
    found: list[str] = []
    after = None
    for _ in range(20):
        page, after = row_of(world.columns, viewer, (), now, after, limit)
        found += [story.id for shelf in page for story in shelf.stories]
        if after is None:
            return found
    raise AssertionError("the row has no end")


@settings(max_examples=150)
@given(world=worlds(), number=NUMBERS, later=st.floats(0, 50 * HOUR_SECONDS), limit=st.integers(1, 4))
def test_hidden_story_is_shown_neither_by_id_nor_in_any_page(
    world: World, number: int, later: float, limit: int
) -> None:
    for _, story in world.stories:
        world.columns.apply(replace(story, state="live", visibility=PRIVATE))  # as it was before an editor or a change
        world.columns.apply(story)
    viewer = world.viewer(number)
    for now in (NOW, NOW + later):
        wanted = {each.id for author, each in world.stories if world.allowed(number, author, each, now)}
        assert {each.id for _, each in world.stories if may_see(each, viewer, now)} == wanted
        walked = walk(world, viewer, now, limit)
        assert (len(walked), set(walked)) == (len(wanted), wanted), "each once, and no other"
        by_word = [
            each.id for each in candidates(world.columns, viewer, now, None) if has_words(world.columns, each, ["lake"])
        ]
        with_word = {each.id for _, each in world.stories if "lake" in (each.text or "").lower()}
        assert (len(by_word), set(by_word)) == (len(wanted & with_word), wanted & with_word), "a search finds no more"


@given(world=worlds())
def test_a_stored_story_reads_back_the_same(world: World) -> None:
    for _, story in world.stories:
        assert Story.from_document(story.to_document(NOW)) == story


@pytest.mark.parametrize(
    "damage",
    [{"visibility": "everybody"}, {"visibility": None}, {"audience": "all"}, {"audience": [7]}, {"state": "shown"},
     {"maturityRating": None}, {"maturityRating": "?"}, {"expiresAt": None}, {"authorId": "x"}, {"id": "x"}],
)  # fmt: skip
def test_a_damaged_story_is_shown_to_nobody_else(damage: dict[str, object]) -> None:
    author, other = PEOPLE[0], PEOPLE[1]
    story = Story(new_story_id(author, NOW), author.id, NOW, NOW + HOUR_SECONDS, "public", "Hello", rating="G")
    read = Story.from_document({**story.to_document(NOW), **damage})
    viewer = StoryViewer.of(other, Circle().adding(author.key, "follows"), Tenant("t"), RATINGS["NC17"])
    assert may_see(story, viewer, NOW)
    assert read is None or not may_see(read, viewer, NOW)


@given(at=st.floats(1_600_000_000, 3_000_000_000), number=NUMBERS)
def test_story_id_contains_time_and_partition(at: float, number: int) -> None:
    id = new_story_id(PEOPLE[number], at)
    assert STORY_ID.matches(id)
    assert created_ms(id) == int(at * 1000)
    assert bucket_of("t", id) in buckets_between("t", at - 1, at + 1)


def test_expired_stories_are_dropped_and_the_rest_stays() -> None:
    columns, kept = StoryColumns(), []
    for number in range(2 * SPARE_ROWS + 10):
        author = PEOPLE[number % 5]
        story = Story(new_story_id(author, NOW), author.id, NOW + number, NOW + 60, "public", rating="G")
        if number % 10 == 0:
            story = replace(story, expires_at=NOW + HOUR_SECONDS)
            kept.append(story.id)
        columns.apply(story)
    viewer = StoryViewer.of(PEOPLE[0], Circle(), Tenant("t"), 0)
    before = {columns.stories[row].id for row in columns.visible_rows(viewer, NOW + 61)}  # type: ignore[union-attr]
    assert columns.drop_ended(NOW + 61) == len(columns) == len(kept)
    after = {columns.stories[row].id for row in columns.visible_rows(viewer, NOW + 61)}  # type: ignore[union-attr]
    assert before == after == set(kept)
    assert len(row_of(columns, viewer, (), NOW + 61, None, 5)[0][0].stories) == STORIES_OF_AN_AUTHOR
