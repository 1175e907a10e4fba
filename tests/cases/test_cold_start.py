"""A cold instance is warmed up before it is ready, and its start-up work does not count as overload."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import aiohttp
import orjson
import pytest

from local.demo import SDK_KEY, TENANTS
from local.serving import local_settings, running
from local.story import story_events
from shared.domain.records import Tenant
from shared.observability.metrics import Telemetry
from shared.settings import Settings
from shared.web.admission import TICK_SECONDS, Kind, Limits
from shared.web.problems import Problem
from tests.served_app import make_videos, new_user, served

SHED = {"shed_delay_ms": 100.0, "refuse_delay_ms": 400.0}


@pytest.fixture(autouse=True)
def _no_secret_is_ever_logged() -> None:
    """Override the log check, which needs one app per module: each test here starts its own."""


async def block_the_loop(times: int = 4) -> None:
    """Block each time for longer than the delay from which requests get the ready page."""
    for _ in range(times):
        time.sleep(0.3)  # noqa: ASYNC251 - blocking is what this is about
        for _ in range(3):
            await asyncio.sleep(0)


async def test_delay_without_requests_is_not_overload() -> None:
    limits = Limits(Settings(), Telemetry())
    limits.delay.start()
    try:
        await asyncio.sleep(TICK_SECONDS)
        await block_the_loop()
        assert limits.delay.seconds == 0
        with limits.admit(Kind.FEED, Tenant("tenant"), "user") as admission:
            assert not admission.ready_only
            await block_the_loop()
            assert limits.delay.seconds > 0.1
        await asyncio.sleep(3 * TICK_SECONDS)
    finally:
        await limits.delay.stop()


async def test_refused_requests_count_as_a_cause_of_delay() -> None:
    limits = Limits(replace(Settings(), max_in_flight=0.0), Telemetry())
    limits.delay.start()
    try:
        await asyncio.sleep(TICK_SECONDS)
        for _ in range(4):
            with pytest.raises(Problem, match="overloaded"):
                limits.admit(Kind.FEED, Tenant("tenant"), "user")
            await block_the_loop(1)
        assert limits.delay.seconds > 0.1
    finally:
        await limits.delay.stop()


async def test_background_work_costs_no_user_a_personal_page(tmp_path: Path) -> None:
    async with served(tmp_path, signals_budget_ms=60_000.0, **SHED) as app:
        client = await app.tenant(make_videos(30))
        assert (await client.post(story_events(app.clock.now()))).status == 202
        await app.folded()
        await block_the_loop()
        assert (await client.feed()).json["mode"] == "personalized"


async def test_first_page_after_a_restart_is_personalized(tmp_path: Path) -> None:
    """The instance is new, but the user has a stored history."""
    settings = replace(local_settings({"DATA_FOLDER": str(tmp_path)}), signals_budget_ms=60_000.0)
    user = {"X-Tenant-Id": TENANTS[0][0].id, "X-Api-Key": SDK_KEY, "X-User": new_user()}
    async with running(settings, port=0) as app, aiohttp.ClientSession(app.url, headers=user) as http:
        async with http.get("/v1/feed") as answer:
            assert (await answer.json())["reason"] == "cold_start"
        async with http.post("/v1/events/batch", json={"events": story_events(app.app.clock())}) as answer:
            assert answer.status == 202
        async with asyncio.timeout(60):
            await app.host.idle()
    async with running(settings, port=0) as app, aiohttp.ClientSession(app.url, headers=user) as http:
        async with http.get("/v1/feed") as answer:
            page = await answer.json()
        assert (page["mode"], page["reason"]) == ("personalized", None)


async def test_content_is_loaded_before_the_port_opens(tmp_path: Path) -> None:
    async with running(local_settings({"DATA_FOLDER": str(tmp_path)}), port=0) as app:
        assert set(app.app.catalogs._catalogs) == {tenant.id for tenant, _, _ in TENANTS}


async def test_warm_up_counts_no_request_and_reads_nothing(tmp_path: Path) -> None:
    async with served(tmp_path, content_refresh_seconds=30.0) as app:
        before, reads = dict(app.services.telemetry.counters), app.documents.reads
        app.services.feed.warm_up(app.clock.now())
        assert dict(app.services.telemetry.counters) == before
        assert app.documents.reads == reads


async def test_warm_up_fills_a_personal_and_a_popular_page(tmp_path: Path) -> None:
    async with served(tmp_path, content_refresh_seconds=30.0) as app:
        personal, popular = map(orjson.loads, app.services.feed.warm_up(app.clock.now()))
    assert (personal["mode"], popular["reason"]) == ("personalized", "cold_start")
    assert [len(page["items"]) for page in (personal, popular)] == [20, 20]
