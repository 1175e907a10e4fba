"""Ids of videos that do not exist cost only a small, short-lived cache."""

from __future__ import annotations

import pytest

from events.video_facts import MAX_ABSENT_OF_TENANT, MAX_TENANTS_ABSENT, REMEMBER_ABSENT_SECONDS, VideoFacts
from shared.adapters.documents.port import VIDEOS, Upsert
from tests.emulators.clock import MovableClock
from tests.faulty_documents import FaultyDocuments
from tests.memory_documents import MemoryDocuments
from tests.served_app import App, make_video, make_videos

pytestmark = pytest.mark.asyncio(loop_scope="module")

UNKNOWN = [f"unknown_{number}" for number in range(100)]


class Library:
    """Videos in a store that counts its reads."""

    def __init__(self) -> None:
        self.clock = MovableClock()
        self.documents = FaultyDocuments(MemoryDocuments())
        self.facts = VideoFacts(self.documents, self.clock.now)

    async def reads(self, *ids: str, tenant: str = "tenant") -> int:
        """Return how many store reads it takes to look the ids up."""
        before = self.documents.reads
        await self.facts.get(tenant, ids)
        return self.documents.reads - before


async def test_hundred_unknown_ids_are_read_once_and_not_in_each_batch(app: App) -> None:
    client = await app.tenant(make_videos(3))
    now = int(app.clock.now() * 1000)

    async def reads_of_a_batch(at: int) -> int:
        before = app.documents.reads
        events = [{"type": "impression", "videoId": id, "timestamp": at} for id in UNKNOWN]
        assert (await client.post(events)).status == 202
        await app.folded()
        return app.documents.reads - before

    first = await reads_of_a_batch(now)
    later = [await reads_of_a_batch(now + step) for step in range(1, 4)]
    print(f"reads: {first} for the first batch, then {later}")
    assert first <= len(UNKNOWN) + 10
    assert max(later) <= 10


async def test_created_video_counts_within_a_minute_of_an_early_event(app: App) -> None:
    client = await app.tenant(make_videos(3))

    async def watch() -> dict[str, float]:
        view = {"type": "video_view", "videoId": "new", "watchTimeMs": 20_000}
        assert (await client.post([{**view, "timestamp": int(app.clock.now() * 1000)}])).status == 202
        await app.folded()
        await client.feed()
        stats = (await client.signals()).json["categoryStats"]
        return {name: each["views"] for name, each in stats.items()}

    assert await watch() == {}
    await app.save_videos(client.tenant_id, [make_video("new", "fitness")])
    app.clock.advance(59)
    assert (await watch()).keys() == {"fitness"}


async def test_invented_ids_evict_neither_real_videos_nor_another_tenants() -> None:
    library = Library()
    for tenant in ("tenant", "other"):
        await library.documents.write(VIDEOS, tenant, [Upsert(make_video("real").to_document())])
        await library.reads("real", "early", tenant=tenant)
    invented = [f"x{number}" for number in range(MAX_ABSENT_OF_TENANT + 500)]
    assert await library.reads(*invented) == len(invented)
    assert await library.reads("real") == 0
    assert await library.reads("real", "early", tenant="other") == 0
    assert await library.reads("early") == 1
    held = library.facts._absent
    assert len(held["tenant"]) <= MAX_ABSENT_OF_TENANT
    for number in range(MAX_TENANTS_ABSENT + 5):
        await library.reads("x", tenant=f"t{number}")
    assert len(held) <= MAX_TENANTS_ABSENT


async def test_unknown_video_is_looked_up_again_after_its_time() -> None:
    library = Library()
    assert await library.reads("new") == 1
    await library.documents.write(VIDEOS, "tenant", [Upsert(make_video("new").to_document())])
    library.clock.advance(REMEMBER_ABSENT_SECONDS - 1)
    assert await library.reads("new") == 0
    library.clock.advance(2)
    assert await library.reads("new") == 1
    assert await library.facts.get("tenant", ["new"])
