"""Decides whether a viewer can see a story: the single rule for all endpoints. Pure.

    anybody's   live, not ended, no block between the two, rated within the viewer's limit, and
                public · friends: the author is one of the viewer's friends, or, if the author named an audience,
                the viewer is in it · private: nobody
    one's own   live or held, not ended

`visible_rows` (stories/story_columns.py) applies the same rule to all stories at once; a test compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass

from shared.domain.records import Tenant
from stories.circle import Circle, Keys, has
from stories.identity import Person
from stories.story import FRIENDS, HELD, LIVE, PUBLIC, Story


@dataclass(frozen=True, slots=True, eq=False)
class StoryViewer:
    """A viewer. `friends`: sorted keys of authors; `maturity`: the strongest rating rank they can see."""

    id: str
    key: int
    friends: Keys
    circle: Circle
    maturity: int

    @classmethod
    def of(cls, person: Person, circle: Circle, tenant: Tenant, maturity: int) -> StoryViewer:
        return cls(person.id, person.key, circle.friends(tenant.friends_mean), circle, maturity)


def may_see(story: Story, viewer: StoryViewer, now: float) -> bool:
    """Return whether this viewer can see this story. `now` in seconds since the epoch."""
    if story.expires_at <= now:
        return False
    if story.author_id == viewer.id:
        return story.state in (LIVE, HELD)
    if story.state != LIVE or story.rating_rank > viewer.maturity or viewer.circle.hides(story.author_key):
        return False
    if story.visibility == PUBLIC:
        return True
    if story.visibility != FRIENDS:
        return False
    return viewer.id in story.audience if story.audience else has(viewer.friends, story.author_key)
