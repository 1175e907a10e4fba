"""A process bounds the memory of its tenants' catalogs."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import bootstrap
from local.demo import demo_videos, save_videos
from local.serving import local_settings
from tests.parts import new_catalogs


async def test_least_recently_used_tenant_is_evicted_and_reloaded_on_request(tmp_path: Path) -> None:
    settings = replace(local_settings({"DATA_FOLDER": str(tmp_path)}), videos_in_memory=250.0)
    services = bootstrap.build(settings)
    catalogs = new_catalogs(services)
    now = services.clock()
    try:
        for tenant in ("a", "b", "c"):
            await save_videos(services, tenant, demo_videos(100, now, random.Random(1)))
        first, second = await catalogs.get("a"), await catalogs.get("b")
        assert await catalogs.get("a") is first

        await catalogs.get("c")

        assert await catalogs.get("a") is first
        assert services.telemetry.counters["catalogs_evicted", ()] == 1
        again = await catalogs.get("b")
        assert again is not second
        assert len(again.columns) == 100
    finally:
        await catalogs.close()
        await services.close()
