"""No endpoint (row, id, search, report, media) shows a story that the caller may not see, over random graphs."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio

from tests.media.files import PNG
from tests.media.served_media import served_with_media
from tests.served_app import Answer, App
from tests.stories.social import Someone, someone_of, uploaded
from tests.stories.test_stories import HOUR, found, post, row

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def app(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[App]:
    async with served_with_media(tmp_path_factory.mktemp("media")) as app:
        yield app


@dataclass(frozen=True)
class Watched(Someone):
    """A person, with every response they ever received."""

    told: list[bytes] = field(default_factory=list)

    async def call(
        self, method: str, path: str, body: Any = None, more: Mapping[str, str] | None = None, **query: Any
    ) -> Answer:
        answer = await super().call(method, path, body, more, **query)
        self.told.append(answer.body)
        return answer


def may_see(viewer: int, author: int, world: dict[str, Any], story: dict[str, Any]) -> bool:
    """The rule, rewritten over the pairs that the test made."""
    if viewer == author:
        return True
    if {(viewer, author), (author, viewer)} & world["blocks"] or story["visibility"] == "private":
        return False
    if story["visibility"] == "public":
        return True
    return viewer in story["audience"] if story["audience"] else (viewer, author) in world["follows"]


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_no_endpoint_shows_a_story_hidden_from_the_caller(app: App, seed: int) -> None:
    chance = random.Random(seed)
    first = await someone_of(app)
    people = [Watched(each.client, each.id) for each in (first, *[await first.another() for _ in range(3)])]
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
        if number % 2:
            more["mediaKey"] = (await uploaded(people[author], PNG, "image/png"))["mediaKey"]
        made = await post(people[author], visibility, text=f"Lake number {number}", **more)
        media = {"mediaKey": made["mediaKey"], "url": made["mediaUrl"]}
        stories.append({"id": made["id"], "author": author, "visibility": visibility, "audience": audience, **media})
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
        await no_link_to_what_is_hidden(person, [each for each in stories if each["mediaKey"]], wanted)
    assert app.services.media is not None
    mine = f"{first.client.tenant_id}/"
    assert any([blob.name.startswith(mine) async for blob in app.services.media.list("media")])
    app.clock.advance(24 * HOUR + 1)
    for person in people:
        assert (await row(person), await row(person, order="ranked"), await found(person, "lake")) == ([], [], [])
    await app.host.run_timer("run_jobs")  # called every ten seconds, it ends stories each minute
    assert not any([blob.name.startswith(mine) async for blob in app.services.media.list("media")])


async def no_link_to_what_is_hidden(person: Watched, stories: list[dict[str, Any]], wanted: set[str]) -> None:
    """Fail if a response names a file of a hidden story, or a link can be altered to reach one."""
    told = b"".join(person.told).decode()
    shown = [each for each in stories if each["id"] in wanted]
    for each in shown:
        assert each["mediaKey"] in told
    for each in stories:
        if each["id"] in wanted:
            continue
        assert each["mediaKey"] not in told
        stolen = {"visibility": "private", "mediaKey": each["mediaKey"]}
        assert (await Someone.call(person, "POST", "stories", stolen)).code == "media_not_ready"
        for link in (
            each["url"].partition("?")[0],
            *[one["url"].replace(one["mediaKey"], each["mediaKey"]) for one in shown],
        ):
            async with person.app.http.get(link) as answer:
                assert answer.status in (401, 403, 404), link
    for each in shown[:1]:
        async with person.app.http.get(each["url"]) as answer:
            assert (answer.status, await answer.read()) == (200, PNG), "a link that is given works"
