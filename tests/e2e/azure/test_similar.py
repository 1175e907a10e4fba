"""Similar videos on both backends: by subject at first, then ordered for a viewer with a history."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from typing import Any

import aiohttp
import pytest

from local.demo import SDK_KEY
from tests.e2e.azure.servers import PATIENT, QUICK, Servers, running_app

pytestmark = pytest.mark.asyncio(loop_scope="session")
VIDEO = "vid_science_43"
PATIENCE_SECONDS = 60.0


async def is_what_happens(settings: dict[str, str]) -> None:
    user = hashlib.sha256(secrets.token_bytes(16)).hexdigest()
    headers = {"X-Tenant-Id": "tenant_1", "X-Api-Key": SDK_KEY, "X-User": user}
    async with running_app({**settings, **QUICK, **PATIENT}) as app, aiohttp.ClientSession(app.url) as http:
        app.secrets.add(user)

        async def similar(id: str) -> tuple[int, dict[str, Any]]:
            async with http.get(f"/v1/videos/{id}/similar?limit=5", headers=headers) as answer:
                return answer.status, await answer.json()

        status, first = await similar(VIDEO)
        assert (status, first["mode"], first["reason"]) == (200, "fallback", "cold_start")
        shown = [item["videoId"] for item in first["items"]]
        assert len(set(shown)) == 5
        assert VIDEO not in shown
        assert {item["because"] for item in first["items"]} == {"same_subject"}
        assert first["items"][0]["mainTag"] == "science"
        now = int(time.time() * 1000)
        events = [
            {
                "type": "video_view",
                "videoId": id,
                "timestamp": now,
                "watchTimeMs": 60_000,
                "feedRequestId": first["feedRequestId"],
                "rankPosition": rank,
            }
            for rank, id in enumerate(shown[:3])
        ]
        async with http.post("/v1/events/batch", json={"events": events}, headers=headers) as answer:
            assert (answer.status, (await answer.json())["accepted"]) == (202, 3)
        until = time.monotonic() + PATIENCE_SECONDS
        while (then := (await similar(VIDEO))[1])["mode"] != "personalized":
            assert time.monotonic() < until, then
            await asyncio.sleep(0.3)
        assert not set(shown[:3]) & {item["videoId"] for item in then["items"]}, "they were seen"
        assert (await similar("vid_of_another_tenant"))[0] == 404
        assert user not in app.output


async def test_similar_videos_scenario_works_embedded() -> None:
    await is_what_happens({})


async def test_similar_videos_scenario_works_on_the_azure_adapters(servers: Servers) -> None:
    await is_what_happens(servers.settings)
