"""What folding remembers of videos, and for how long."""

from __future__ import annotations

from events.video_facts import REMEMBER_ABSENT_SECONDS, REMEMBER_SECONDS, VideoFacts
from shared.adapters.documents.port import VIDEOS, Upsert
from tests.emulators.clock import MovableClock
from tests.faulty_documents import FaultyDocuments
from tests.memory_documents import MemoryDocuments
from tests.served_app import make_video


class Library:
    """A few videos of one tenant, and what is remembered of them."""

    def __init__(self) -> None:
        self.clock = MovableClock()
        self.documents = FaultyDocuments(MemoryDocuments())
        self.facts = VideoFacts(self.documents, self.clock.now)

    async def save(self, id: str, category: str) -> None:
        await self.documents.write(VIDEOS, "tenant", [Upsert(make_video(id, category).to_document())])

    async def categories(self, *ids: str) -> dict[str, str]:
        return {id: each.category for id, each in (await self.facts.get("tenant", ids)).items()}


async def test_facts_are_believed_for_an_hour_and_then_read_again() -> None:
    library = Library()
    await library.save("a", "fitness")
    assert await library.categories("a") == {"a": "fitness"}
    await library.save("a", "travel")
    library.clock.advance(REMEMBER_SECONDS * 0.89)
    assert await library.categories("a") == {"a": "fitness"}
    assert library.documents.reads == 1
    library.clock.advance(REMEMBER_SECONDS * 0.22)
    assert await library.categories("a") == {"a": "travel"}


async def test_a_video_that_was_not_there_is_looked_for_again_soon() -> None:
    library = Library()
    assert await library.categories("new") == {}
    await library.save("new", "fitness")
    assert await library.categories("new") == {}
    library.clock.advance(REMEMBER_ABSENT_SECONDS + 1)
    assert await library.categories("new") == {"new": "fitness"}


async def test_what_was_read_together_is_not_all_forgotten_together() -> None:
    library = Library()
    ids = [f"v{number}" for number in range(200)]
    for id in ids:
        await library.save(id, "fitness")
    await library.categories(*ids)
    library.clock.advance(REMEMBER_SECONDS)
    before = library.documents.reads
    await library.categories(*ids)
    assert 0 < library.documents.reads - before < len(ids)
