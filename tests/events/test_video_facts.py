"""The fold caches facts of videos, within bounds of size and age."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from events import video_facts
from events.video_facts import LOOK_SECONDS, REMEMBER_ABSENT_SECONDS, REMEMBER_SECONDS, VideoFacts
from shared.adapters.documents.port import VIDEOS, Changes, Document, StoreUnavailable, Upsert
from tests.emulators.clock import MovableClock
from tests.faulty_documents import FaultyDocuments
from tests.memory_documents import MemoryDocuments
from tests.served_app import make_video


class Library:
    """A few videos of one tenant, and the cache of their facts."""

    def __init__(self) -> None:
        self.clock = MovableClock()
        self.documents = FaultyDocuments(MemoryDocuments())
        self.facts = VideoFacts(self.documents, self.clock.now)

    async def save(self, id: str, category: str) -> None:
        await self.documents.write(VIDEOS, "tenant", [Upsert(make_video(id, category).to_document())])

    async def categories(self, *ids: str) -> dict[str, str]:
        return {id: each.category for id, each in (await self.facts.get("tenant", ids)).items()}


async def test_facts_are_read_once_a_day() -> None:
    library = Library()
    await library.save("a", "fitness")
    for _ in range(10):
        assert await library.categories("a") == {"a": "fitness"}
        library.clock.advance(REMEMBER_SECONDS * 0.089)
    assert library.documents.reads == 1
    library.clock.advance(REMEMBER_SECONDS * 0.3)
    assert await library.categories("a") == {"a": "fitness"}
    assert library.documents.reads == 2


async def test_change_applies_a_minute_later_and_costs_no_read() -> None:
    library = Library()
    await library.save("a", "fitness")
    assert await library.categories("a") == {"a": "fitness"}
    await library.save("a", "travel")
    assert await library.categories("a") == {"a": "fitness"}
    library.clock.advance(LOOK_SECONDS)
    assert await library.categories("a") == {"a": "travel"}
    assert library.documents.reads == 1


async def test_deleted_video_is_unknown_a_minute_later() -> None:
    library = Library()
    await library.save("a", "fitness")
    await library.categories("a")
    await library.documents.write(VIDEOS, "tenant", [Upsert({"id": "a", "kind": "tombstone", "deleted": True})])
    library.clock.advance(LOOK_SECONDS)
    assert await library.categories("a") == {}


async def test_import_is_applied_over_several_change_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_facts, "PAGES_A_LOOK", 1)
    library = Library()
    ids = [f"v{number}" for number in range(1_200)]
    for id in ids:
        await library.save(id, "fitness")
    await library.categories(*ids)
    for id in ids:
        await library.save(id, "travel")
    library.clock.advance(LOOK_SECONDS)
    for _ in range(3):
        found = await library.categories(*ids)
    assert set(found.values()) == {"travel"}
    assert library.documents.reads == len(ids)


async def test_facts_stay_valid_while_the_change_feed_is_down_and_then_catch_up() -> None:
    library = Library()
    await library.save("a", "fitness")
    await library.categories("a")
    await library.save("a", "travel")
    changes, library.documents.changes = library.documents.changes, _down  # type: ignore[method-assign]
    library.clock.advance(LOOK_SECONDS)
    assert await library.categories("a") == {"a": "fitness"}
    library.documents.changes = changes  # type: ignore[method-assign]
    library.clock.advance(LOOK_SECONDS)
    assert await library.categories("a") == {"a": "travel"}


async def _down(*_: object, **__: object) -> Changes:
    raise StoreUnavailable("down, as the test asked")


async def test_response_older_than_a_change_is_not_cached_for_a_day() -> None:
    library = Library()
    await library.save("a", "fitness")
    await library.categories("b")
    stale = await library.documents.read(VIDEOS, "tenant", "a")
    await library.save("a", "travel")
    library.clock.advance(LOOK_SECONDS)
    await library.categories("b")  # the read that returns the change of an unknown video
    read, library.documents.read = library.documents.read, _answering(stale)  # type: ignore[method-assign]
    assert await library.categories("a") == {"a": "fitness"}
    library.documents.read = read  # type: ignore[method-assign]
    library.clock.advance(LOOK_SECONDS + 1)
    assert await library.categories("a") == {"a": "travel"}


def _answering(document: Document | None) -> Callable[..., Awaitable[Document | None]]:
    async def read(*_: object, **__: object) -> Document | None:
        return document

    return read


async def test_missing_video_is_looked_up_again_soon() -> None:
    library = Library()
    assert await library.categories("new") == {}
    await library.save("new", "fitness")
    assert await library.categories("new") == {}
    library.clock.advance(REMEMBER_ABSENT_SECONDS + 1)
    assert await library.categories("new") == {"new": "fitness"}


async def test_facts_read_together_expire_at_different_times() -> None:
    library = Library()
    ids = [f"v{number}" for number in range(200)]
    for id in ids:
        await library.save(id, "fitness")
    await library.categories(*ids)
    library.clock.advance(REMEMBER_SECONDS)
    before = library.documents.reads
    await library.categories(*ids)
    assert 0 < library.documents.reads - before < len(ids)
