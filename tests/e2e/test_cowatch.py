"""Co-watched videos reach the ranking: archive → builder → file → catalog → feed."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np

import bootstrap
from bootstrap import App
from events.batch import Batch, encode
from events.schema import Event
from local.demo import save_videos
from local.serving import local_settings
from ranking import Tables
from shared.adapters.blobs.port import TABLES
from shared.adapters.documents.port import VIDEO_STATS, Upsert
from shared.adapters.tenant_directory import save_tenant
from shared.domain.cowatch_pointer import POINTER_ID, Pointer
from shared.domain.records import Tenant, Video
from tests.parts import new_catalogs


def video(number: int) -> Video:
    return Video(f"v{number}", f"Title {number}", "https://x", "one", duration_seconds=10.0, maturity_rating="G")


async def watched(services: App, user: str, *numbers: int) -> None:
    now = time.time()
    events = tuple(
        Event("video_view", f"v{number}", int(now * 1000) - number, hash((user, number)) & 0xFFFFFFFF, 10_000.0)
        for number in numbers
    )
    batch = Batch(f"{user}-{'-'.join(map(str, numbers))}", "tenant", user, now, events, trusted=True)
    assert await services.signals_consumer.handle(encode(batch)) == "folded"


async def test_videos_watched_together_in_the_archive_are_neighbors_in_the_catalog(tmp_path: Path) -> None:
    services = bootstrap.build(local_settings({"DATA_FOLDER": str(tmp_path)}))
    catalogs = new_catalogs(services)
    try:
        await save_tenant(services.documents, Tenant("tenant", "R"))
        await services.tenants_refresher.refresh()
        await save_videos(services, "tenant", [video(number) for number in range(6)])
        for user in range(5):
            await watched(services, f"user-{user}", 0, 1)
            await watched(services, f"other-{user}", 2, 3)
        assert await services.stats_consumer.run() == 10
        catalog = await catalogs.get("tenant")
        assert catalog.stats.cowatch is None

        assert await services.table_builder.build("tenant")
        await catalogs.refresh()

        assert catalog.stats.cowatch is not None
        row = catalog.columns.row("v0")
        assert row is not None
        similar = catalog.stats.cowatch.similar_to(catalog.columns.rows()[[row]])
        assert similar is not None
        assert similar[catalog.columns.row("v1")] > 0
        assert similar[catalog.columns.row("v2")] == 0
        assert catalog.stats.cowatch.table.dayparts is not None
        assert catalog.stats.cowatch.table.dayparts.sum() == 20, "each long view counts in one part of the day"

        assert catalog.stats.next_watch is not None
        user = np.array([row])
        likely = catalog.stats.next_watch.log_odds(user)
        assert likely is not None
        assert likely[catalog.columns.row("v1")] > likely[catalog.columns.row("v2")]

        another = new_catalogs(services)  # a process that starts later finds the table as well
        assert (await another.get("tenant")).stats.cowatch is not None
        await another.close()
    finally:
        await catalogs.close()
        await services.close()


async def test_night_continues_the_last_one_and_repeating_it_changes_nothing(tmp_path: Path) -> None:
    services = bootstrap.build(local_settings({"DATA_FOLDER": str(tmp_path)}))
    builder, started = services.table_builder, time.time()
    moment = [started]
    builder._clock = lambda: moment[0]

    async def built_file() -> tuple[Pointer, bytes]:
        assert await builder.build("tenant")
        document = await services.documents.read(VIDEO_STATS, "tenant", POINTER_ID)
        assert document is not None
        pointer = Pointer.from_document(document.body)
        assert pointer is not None
        content = await services.blobs.read(TABLES, pointer.blob)
        assert content is not None
        next_watch = Tables.from_bytes(content).next_watch
        assert next_watch is not None
        return pointer, replace(next_watch, built_at=0.0).to_bytes()

    try:
        await save_tenant(services.documents, Tenant("tenant", "R"))
        await services.tenants_refresher.refresh()
        await save_videos(services, "tenant", [video(number) for number in range(6)])
        for user in range(20):
            await watched(services, f"user-{user}", *((0, 1) if user % 2 else (2, 3)))
        await services.stats_consumer.run()

        first, _ = await built_file()
        moment[0] = started + 86_400
        second, made = await built_file()
        assert second.training_before == first.training
        moment[0] += 60
        again, made_again = await built_file()
        assert (again.training_before, again.night) == (first.training, second.night)
        assert made_again == made

        assert second.training is not None
        await services.blobs.write(TABLES, again.training or "", b"damaged")
        moment[0] += 86_400
        third, _ = await built_file()
        assert services.telemetry.counters["cowatch_tables", ("unreadable_training",)] == 1, "it started afresh"
        assert third.training != again.training
    finally:
        await services.close()


async def test_damaged_table_affects_nothing_else(tmp_path: Path) -> None:
    services = bootstrap.build(local_settings({"DATA_FOLDER": str(tmp_path)}))
    catalogs = new_catalogs(services)
    try:
        await save_videos(services, "tenant", [video(1)])
        await services.blobs.write(TABLES, "tenant/broken.bin", b"CWT1 and then nothing of sense, but long enough")
        await services.documents.write(
            VIDEO_STATS, "tenant", [Upsert(Pointer("tenant/broken.bin", 0.0, 1).to_document())]
        )

        catalog = await catalogs.get("tenant")

        assert catalog.stats.cowatch is None
        assert len(catalog.columns) == 1
        assert services.telemetry.counters["refresh_failures", ("cowatch",)] == 1
    finally:
        await catalogs.close()
        await services.close()
