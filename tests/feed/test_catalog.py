from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from feed.catalog import SLICE, STALE_SECONDS, Catalog, Catalogs
from ranking.stats import StatsTable
from shared.adapters.blobs.folder import FolderBlobs
from shared.adapters.documents.port import VIDEO_STATS, VIDEOS, Container, Document, Page, StoreUnavailable, Upsert
from shared.observability.metrics import Telemetry
from shared.settings import Settings
from tests.faulty_documents import Trouble
from tests.memory_documents import MemoryDocuments
from tests.served_app import make_video

NOW = 1_700_000_000.0
TENANT = "tenant_1"
SECRET = base64.b64encode(b"for tests only, 32 bytes or more").decode()


class SlowQueries(MemoryDocuments):
    """Delays a query's answer at a gate, after it was read; counts queries."""

    def __init__(self) -> None:
        super().__init__(lambda: NOW)
        self.gates: dict[str, asyncio.Event] = {}
        self.waiting = asyncio.Event()
        self.queries = 0
        self.trouble = Trouble()

    async def query(
        self,
        container: Container,
        partition: str,
        *,
        id_prefix: str = "",
        after: str | None = None,
        limit: int = 200,
    ) -> Page:
        self.queries += 1
        if self.trouble.reads_fail:
            raise StoreUnavailable("down, as the test asked")
        page = await super().query(container, partition, id_prefix=id_prefix, after=after, limit=limit)
        if container.name in self.gates:
            self.waiting.set()
            await self.gates[container.name].wait()
        return page


class World:
    def __init__(self, folder: Path) -> None:
        self.now, self.folder = NOW, folder
        self.documents = SlowQueries()
        self.catalogs = self.new_catalogs()

    def new_catalogs(self, budget_ms: float = 5_000.0) -> Catalogs:
        settings = Settings(content_refresh_seconds=30.0, catalog_budget_ms=budget_ms)
        return Catalogs(self.documents, FolderBlobs(self.folder), settings, Telemetry(), lambda: self.now)

    async def write(self, *videos: object, tenant: str = TENANT) -> None:
        await self.documents.write(VIDEOS, tenant, [Upsert(video.to_document()) for video in videos])  # type: ignore[attr-defined]

    async def write_views(self, count: int, shard: str = "stats:tenant_1") -> None:
        table = StatsTable()
        table.add([("v0", NOW - 60, "video_view", 30_000.0, 30.0)] * count)
        body = {"id": shard, "kind": "stats", "lastSequence": count, "packed": table.pack()}
        await self.documents.write(VIDEO_STATS, TENANT, [Upsert(body)])

    async def active(self) -> set[str]:
        columns = (await self.catalogs.get(TENANT)).columns
        return {columns.ids[row] for row in columns.rows().tolist() if columns.active[row]}

    async def views(self) -> int:
        catalog = await self.catalogs.get(TENANT)
        return catalog.stats.table.week("v0", NOW)["views"]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    yield world
    await world.catalogs.close()


async def test_concurrent_requests_load_a_catalog_once(world: World) -> None:
    await world.write(*(make_video(f"v{n}") for n in range(3 * SLICE)))
    catalogs = await asyncio.gather(*(world.catalogs.get(TENANT) for _ in range(20)))
    assert len({id(catalog) for catalog in catalogs}) == 1
    assert world.documents.queries == 2
    assert len(await world.active()) == 3 * SLICE


async def test_older_copy_of_a_load_does_not_undo_a_takedown_made_meanwhile(world: World) -> None:
    await world.catalogs.get("another")  # the change feed is being followed already
    await world.write(make_video("v0"), make_video("v1"), make_video("v2"))
    world.documents.gates[VIDEOS.name] = asyncio.Event()
    loading = asyncio.create_task(world.catalogs.get(TENANT))
    await world.documents.waiting.wait()
    await world.write(make_video("v1", active=False), make_video("v3"))
    await world.documents.write(VIDEOS, TENANT, [Upsert({"id": "v2", "kind": "video", "deleted": True})])
    assert await world.catalogs.refresh()
    world.documents.gates[VIDEOS.name].set()
    await loading
    assert await world.active() == {"v0", "v3"}


async def test_statistics_written_during_the_load_are_not_missed(world: World) -> None:
    await world.catalogs.get("another")
    await world.write(make_video("v0"))
    await world.write_views(1)
    world.documents.gates[VIDEO_STATS.name] = asyncio.Event()
    loading = asyncio.create_task(world.catalogs.get(TENANT))
    await world.documents.waiting.wait()
    await world.write_views(5)
    assert await world.catalogs.refresh()
    world.documents.gates[VIDEO_STATS.name].set()
    await loading
    assert await world.catalogs.refresh()
    assert await world.views() == 5


async def test_shard_statistics_add_up_and_a_shard_replaces_itself(world: World) -> None:
    await world.write(make_video("v0"))
    await world.write_views(2)
    await world.write_views(3, "stats:tenant_1.1")
    assert await world.views() == 5
    await world.write_views(10, "stats:tenant_1.1")
    assert await world.catalogs.refresh()
    assert await world.views() == 12


async def test_unreadable_statistics_leave_the_known_ones(world: World) -> None:
    await world.write(make_video("v0"))
    await world.write_views(2)
    assert await world.views() == 2
    odd = {"id": "stats:tenant_1", "kind": "stats", "packed": "odd"}
    await world.documents.write(VIDEO_STATS, TENANT, [Upsert(odd)])
    assert await world.catalogs.refresh()
    assert await world.views() == 2


async def test_failed_load_is_retried_by_the_next_request(world: World) -> None:
    await world.write(make_video("v0"))
    world.documents.trouble.reads_fail = True
    with pytest.raises(StoreUnavailable):
        await world.catalogs.get(TENANT)
    world.documents.trouble.reads_fail = False
    assert await world.active() == {"v0"}


async def test_slow_load_times_out_for_its_request_and_finishes_for_the_next(world: World) -> None:
    await world.write(make_video("v0"))
    world.documents.gates[VIDEOS.name] = asyncio.Event()
    await world.catalogs.close()
    world.catalogs = world.new_catalogs(budget_ms=10.0)
    with pytest.raises(StoreUnavailable):
        await world.catalogs.get(TENANT)
    loading = list(world.catalogs._loads.values())
    world.documents.gates[VIDEOS.name].set()
    await asyncio.gather(*loading)
    assert await world.active() == {"v0"}
    assert world.documents.queries == 2


async def test_suspended_process_catches_up_before_it_serves(world: World) -> None:
    await world.write(make_video("v0"))
    assert await world.active() == {"v0"}
    await world.write(make_video("v0", active=False))
    assert await world.active() == {"v0"}
    world.now += STALE_SECONDS + 1
    assert await world.active() == set()


async def test_rows_of_a_deleted_video_are_reused_without_mixing_the_two(world: World) -> None:
    await world.write(make_video("v0"), make_video("v1"))
    await world.active()
    await world.documents.write(VIDEOS, TENANT, [Upsert({"id": "v0", "kind": "video", "deleted": True})])
    await world.write(make_video("v9", title="The ninth"))
    assert await world.catalogs.refresh()
    catalog = await world.catalogs.get(TENANT)
    row = catalog.columns.row("v9")
    assert row is not None
    assert b'"title":"The ninth"' in catalog.items[row]
    assert await world.active() == {"v1", "v9"}


def test_video_no_column_can_hold_does_not_affect_the_others_of_its_slice() -> None:
    documents = [Document(TENANT, f"v{n}", make_video(f"v{n}").to_document(), "") for n in range(4)]
    documents[1].body["publishedAt"] = 10**400
    documents[2].body["title"] = "\ud800"
    catalog = Catalog(TENANT)
    catalog.apply_queried(documents)
    assert [f"v{n}" in catalog.columns for n in range(4)] == [True, False, False, True]
    assert all(
        catalog.items[catalog.columns.row(id)].startswith(b'{"videoId":"%b"' % id.encode()) for id in ("v0", "v3")
    )
