"""A person's data is exported in words and erased completely, even if the erasure is killed."""

from __future__ import annotations

import pytest

from media.tickets import Ticket
from shared.adapters.documents.port import PEOPLE, STORIES, STORY_ACTIVITY, Upsert, query_all
from stories.identity import Person
from stories.personal_data import PersonalData
from stories.story import bucket_of
from tests.memory_documents import MemoryDocuments
from tests.served_app import App
from tests.stories.breaking_store import BreakingStore, Killed
from tests.stories.social import Someone, someone_of
from tests.stories.test_stories import post, row

pytestmark = pytest.mark.asyncio(loop_scope="module")


class World:
    """A person with data everywhere, and a friend who stays."""

    def __init__(self, me: Someone, friend: Someone, mine: str, theirs: str) -> None:
        self.me, self.friend, self.mine, self.theirs = me, friend, mine, theirs

    @property
    def tenant_id(self) -> str:
        return self.me.client.tenant_id

    @property
    def person(self) -> Person:
        return Person(self.tenant_id, self.me.id)


async def used(app: App) -> World:
    me = await someone_of(app)
    friend, blocked, blocker = [await me.another() for _ in range(3)]
    for one, other in ((me, friend), (friend, me), (me, blocked)):
        assert (await one.call("PUT", f"follow/{other.id}")).status == 200
    await me.call("PUT", f"blocks/{blocked.id}")
    await blocker.call("PUT", f"blocks/{me.id}")
    mine, theirs = (await post(me, text="Mine."))["id"], (await post(friend))["id"]
    for viewer, story in ((me, theirs), (friend, mine)):
        await viewer.call("PUT", f"stories/{story}/view")
        await viewer.call("PUT", f"stories/{story}/reaction", {"emoji": "🔥"})
    assert (await me.call("POST", f"stories/{theirs}/report", {"reason": "spam", "text": "Which lake?"})).status == 202
    partition = Person(me.client.tenant_id, me.id).partition
    await app.documents.write(
        PEOPLE, partition, [Upsert(Ticket("5f" * 20, "image/png", 640, app.clock.now()).document())]
    )
    await app.services.social.count()
    return World(me, friend, mine, theirs)


async def test_export_describes_everything_in_words(app: App) -> None:
    world = await used(app)
    answer = await world.me.call("POST", "privacy/export")
    assert answer.status == 200, answer.body
    person = answer.json["person"]
    assert person["id"] == world.me.id
    assert [(each["id"], each["state"]) for each in person["follows"]] == [(world.friend.id, "accepted")]
    assert [each["id"] for each in person["followers"]] == [world.friend.id]
    assert len(person["blocks"]) == 1
    assert [(each["id"], each["text"]) for each in person["stories"]] == [(world.mine, "Mine.")]
    assert [(each["storyId"], each["emoji"]) for each in person["seen"]] == [(world.theirs, "🔥")]
    assert [(each["storyId"], each["reason"], each["text"]) for each in person["reports"]] == [
        (world.theirs, "spam", "Which lake?")
    ]
    assert [(each["contentType"], each["bytes"], each["state"]) for each in person["uploads"]] == [
        ("image/png", 640, "open")
    ]
    nobody = await world.me.another()
    assert (await nobody.call("POST", "privacy/export")).code == "no_signals"


async def test_only_blocks_by_others_remain_of_an_erased_person(app: App) -> None:
    world = await used(app)
    erased = await world.me.call("POST", "privacy/erase")
    assert erased.status == 200, erased.body
    deleted = erased.json["deleted"]
    assert (deleted["stories"], deleted["follows"], deleted["blocks"], deleted["storyViews"]) == (1, 2, 1, 2)
    assert await row(world.friend) == [world.theirs]
    assert (await world.friend.get("me/followers")).json["items"] == []
    assert (await world.friend.get("me/following", kind="person")).json["items"] == []
    assert (await world.friend.get(f"stories/{world.theirs}/viewers")).json["items"] == []
    assert [each.id for each in await query_all(app.documents, PEOPLE, world.person.partition)] == ["following"]
    activity = await query_all(app.documents, STORY_ACTIVITY, f"{world.tenant_id}/{world.mine}")
    assert activity == []
    stored = await app.documents.read(STORIES, bucket_of(world.tenant_id, world.mine), world.mine)
    assert stored is not None
    assert (stored.body["state"], stored.body["text"]) == ("deleted", None)
    assert (await world.me.call("POST", "privacy/erase")).json["deleted"].keys() == {
        "signals", "lists", "markers", "deadLetters",
    }  # fmt: skip
    assert (await world.me.call("PUT", f"follow/{world.friend.id}")).status == 200, "who comes back is new"


async def test_erasure_killed_between_any_writes_is_finished_by_repeating(app: App) -> None:
    world = await used(app)
    copy = MemoryDocuments(app.clock.now)
    for container in (PEOPLE, STORIES, STORY_ACTIVITY):
        token = None
        while True:
            changes = await app.documents.changes(container, token)
            for each in changes.documents:
                if each.partition.startswith(world.tenant_id):
                    await copy.write(container, each.partition, [Upsert(each.body)])
            token = changes.token
            if not changes.more:
                break
    whole, kept = app.services.social.personal_data, dict(copy._items)
    number = 0
    while True:
        copy._items = dict(kept)
        store = BreakingStore(copy, left=number)
        data = PersonalData(
            store,  # type: ignore[arg-type]
            whole.identity,
            type(whole.graph)(store, app.clock.now),  # type: ignore[arg-type]
            type(whole.seen)(store),  # type: ignore[arg-type]
            type(whole.catalogs)(
                store,  # type: ignore[arg-type]
                app.services.settings,
                app.services.telemetry,
                app.clock.now,
                app.clock.elapsed,
            ),
            whole.media,
        )
        try:
            await data.erase(world.tenant_id, world.me.client.user_key, app.clock.now())
            break
        except Killed:
            store.left = None
            await data.erase(world.tenant_id, world.me.client.user_key, app.clock.now())
        left = [key for key, (_, _, body) in copy._items.items() if world.me.id.encode() in body or key[1] == str(
            world.person.partition)]  # fmt: skip
        tolerated = {"following", f"block:{world.me.id}", "inbox", world.mine}
        assert {key[2] for key in left} <= tolerated, "but who blocks them, what authors were told, and a tombstone"
        number += 1
    assert number >= 7
