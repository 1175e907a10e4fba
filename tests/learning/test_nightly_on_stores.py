"""Whole nights over the queue, from timer to served model, on embedded stores and on Azure adapters."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from evaluation.synthetic import DAY, START, tastes_log
from shared.adapters.bus.port import LEARNING
from shared.domain.records import Tenant
from tests.contracts.backends import BLOBS, BUS, DOCUMENTS
from tests.learning.generated_nights import AT_NIGHT, TENANT, day_named, generated

KINDS = {"embedded": ("sqlite", "sqlite", "folder"), "azure adapters": ("cosmos", "servicebus", "azure")}


@pytest.mark.parametrize("kind", KINDS)
async def test_tenant_is_served_the_result_of_three_nights_over_the_queue(tmp_path: Path, kind: str) -> None:
    documents, bus, blobs = KINDS[kind]
    async with AsyncExitStack() as stack:
        parts = {
            "documents": (await stack.enter_async_context(DOCUMENTS[documents](tmp_path))).port,
            "bus": (await stack.enter_async_context(BUS[bus](tmp_path))).port,
            "blobs": (await stack.enter_async_context(BLOBS[blobs](tmp_path))).port,
        }
        world = generated(tmp_path / "app", tastes_log(users=40, videos=40, days=3, a_day=6), **parts)
        await world.begin()
        for day in range(3):
            await world.sample_day(day)
            world._clock[0] = START + (day + 1) * DAY + AT_NIGHT
            assert await world.app.learning_queue.send_all() == 1
            assert await world.app.learning_queue.work() == 1
            assert await world.app.bus.depth(LEARNING) == (0, 0)
        served = await world.served()
        assert served is not None
        assert served.popularity == f"auto-{day_named(2)}"
        assert served.report["lift"] is not None
        await world.app.tenants_refresher.refresh()
        assert world.app.feed.models.of(Tenant(TENANT, "R")).popularity.weights
        catalog = await world.app.feed.catalogs.get(TENANT)
        assert catalog.stats.cowatch is not None
