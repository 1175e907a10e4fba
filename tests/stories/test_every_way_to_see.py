"""Over HTTP, in a random world, no way to a story shows one that the caller may not see: row, id, search, report."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.served_app import App
from tests.stories.social import Someone, someone_of
from tests.stories.test_stories import HOUR, found, post, row

pytestmark = pytest.mark.asyncio(loop_scope="module")


def may_see(viewer: int, author: int, world: dict[str, Any], story: dict[str, Any]) -> bool:
    """The rule once more, over the pairs that the test made."""
    if viewer == author:
        return True
    if {(viewer, author), (author, viewer)} & world["blocks"] or story["visibility"] == "private":
        return False
    if story["visibility"] == "public":
        return True
    return viewer in story["audience"] if story["audience"] else (viewer, author) in world["follows"]


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_no_way_shows_a_story_that_is_not_for_the_caller(app: App, seed: int) -> None:
    chance = random.Random(seed)
    first = await someone_of(app)
    people: list[Someone] = [first, *[await first.another() for _ in range(3)]]
    pairs = [(one, other) for one in range(4) for other in range(4) if one != other]
    blocks = {pair for pair in pairs if chance.random() < 0.15}
    follows = {pair for pair in pairs if chance.random() < 0.5} - blocks - {(other, one) for one, other in blocks}
    for one, other in follows:
        assert (await people[one].call("PUT", f"follow/{people[other].id}")).status == 200
    for one, other in blocks:
        assert (await people[one].call("PUT", f"blocks/{people[other].id}")).status == 204
    stories: list[dict[str, Any]] = []
    for number in range(12):
        author, visibility = chance.randrange(4), chance.choice(["public", "friends", "private"])
        audience = chance.sample(range(4), 2) if visibility == "friends" and chance.random() < 0.5 else []
        more: dict[str, Any] = {"audienceUserIds": [people[each].id for each in audience]} if audience else {}
        made = await post(people[author], visibility, text=f"Lake number {number}", **more)
        stories.append({"id": made["id"], "author": author, "visibility": visibility, "audience": audience})
    world = {"blocks": blocks, "follows": follows}
    for viewer, person in enumerate(people):
        wanted = {each["id"] for each in stories if may_see(viewer, each["author"], world, each)}
        assert set(await row(person, limit=2)) == wanted
        ranked = await row(person, limit=2, order="ranked")
        assert (len(ranked), set(ranked)) == (len(wanted), wanted)
        assert set(await found(person, "lake", limit=5)) == wanted
        read = {each["id"] for each in stories if (await person.get(f"stories/{each['id']}")).status == 200}
        assert read == wanted
        for each in stories:
            if each["id"] not in wanted:
                refused = await person.call("POST", f"stories/{each['id']}/report", {"reason": "spam"})
                assert refused.code == "story_not_found"
    app.clock.advance(24 * HOUR + 1)
    for person in people:
        assert (await row(person), await row(person, order="ranked"), await found(person, "lake")) == ([], [], [])
