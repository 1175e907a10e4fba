"""Each story expires once, with its media, when the timer is killed between any two writes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from shared.adapters.blobs.port import BlobsUnavailable
from shared.adapters.documents.port import STORIES, Create, query_all
from shared.domain.records import Tenant
from shared.observability.metrics import Telemetry
from shared.settings import Settings
from stories.expiry import Expiry
from stories.identity import Person
from stories.media_check import NoMedia
from stories.moderation import Moderation
from stories.story import DELETED, EXPIRED, HELD, HOUR_SECONDS, LIVE, Media, Story, bucket_of, new_story_id
from stories.story_catalog import StoryCatalogs
from tests.stories.breaking_store import BreakingStore, killed_between_any_writes

NOW = 1_800_000_000.0
TENANT = Tenant("t", story_hours=1)
AUTHORS = [Person("t", f"{number:04d}".ljust(21, "0") + "A") for number in range(4)]


class Clips(NoMedia):
    """Media by key, until deleted."""

    def __init__(self) -> None:
        self.held = {"clip"}
        self.down = False

    async def remove(self, tenant_id: str, media_key: str) -> None:
        if self.down:
            raise BlobsUnavailable("down")
        self.held.discard(media_key)


def story(author: Person, state: str, age_hours: float, media: Media | None = None) -> Story:
    created = NOW - age_hours * HOUR_SECONDS
    id = new_story_id(author, created)
    return Story(id, author.id, created, created + HOUR_SECONDS, "public", "Hello", media, rating="G", state=state)


def stories() -> list[Story]:
    clip = Media("clip", "video", "video/mp4")
    return [
        story(AUTHORS[0], LIVE, 1.01, clip),
        story(AUTHORS[1], HELD, 1.01),
        story(AUTHORS[2], DELETED, 1.01),
        story(AUTHORS[3], LIVE, 0.5),
    ]


def expiry(store: BreakingStore, media: Clips, telemetry: Telemetry) -> Expiry:
    documents: Any = store
    catalogs = StoryCatalogs(documents, Settings(), telemetry, lambda: NOW, lambda: 0.0)
    moderation = Moderation(documents, catalogs, media, telemetry)
    tenants: Any = SimpleNamespace(ids=lambda: ["t"], get=lambda id: TENANT)
    flags: Any = SimpleNamespace(on=lambda *_, **__: True)
    return Expiry(documents, catalogs, media, tenants, flags, telemetry, lambda: NOW, lambda: 0.0, moderation)


async def states(store: BreakingStore, made: list[Story]) -> list[str]:
    found = [await store.read(STORIES, bucket_of("t", each.id), each.id) for each in made]
    return [str(each.body["state"]) for each in found if each is not None]


async def test_timer_killed_between_any_two_writes_expires_each_story_once() -> None:
    made, media = stories(), Clips()

    async def prepared(store: BreakingStore) -> None:
        media.held = {"clip"}
        for each in made:
            await store.write(STORIES, bucket_of("t", each.id), [Create(each.to_document(NOW))])

    async def then(store: BreakingStore, number: int) -> None:
        before = await states(store, made)
        if before[0] == EXPIRED:
            assert media.held == set(), "the media went first"
        ended = await expiry(store, media, Telemetry()).run()
        assert ended == 2 - before.count(EXPIRED), "what is left, and nothing again"
        assert await states(store, made) == [EXPIRED, EXPIRED, DELETED, LIVE]
        assert media.held == set()
        assert await expiry(store, media, Telemetry()).run() == 0

    killed = await killed_between_any_writes(prepared, lambda store: expiry(store, media, Telemetry()).run(), then)
    assert killed == 3


async def test_story_with_unreachable_media_expires_in_a_later_run() -> None:
    made, media, store = stories(), Clips(), BreakingStore()
    for each in made:
        await store.write(STORIES, bucket_of("t", each.id), [Create(each.to_document(NOW))])
    media.down = True
    await expiry(store, media, Telemetry()).run()
    assert (await states(store, made))[0] == LIVE
    media.down = False
    await expiry(store, media, Telemetry()).run()
    assert await states(store, made) == [EXPIRED, EXPIRED, DELETED, LIVE]
    assert len(await query_all(store, STORIES, "t")) == 0  # type: ignore[arg-type]
