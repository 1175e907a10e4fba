"""Calls to Cosmos DB are counted in metrics."""

from __future__ import annotations

import aiohttp
import pytest

from tests.e2e.azure.outages import PERSONALIZED, until_feed
from tests.e2e.azure.servers import RunningApp, Servers
from tests.e2e.azure.viewer import new_viewer, until

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_store_calls_are_counted_by_outcome_with_their_request_units(
    servers: Servers, azure_app: RunningApp, http: aiohttp.ClientSession
) -> None:
    viewer = await new_viewer(azure_app, http, servers.services)
    await until_feed(viewer, ("fallback", "cold_start"), "the app knows the tenant")
    throttled = 'store_calls{operation="read",status="throttled"'
    before = await viewer.metric(throttled)
    await viewer.watch(5)
    await until_feed(viewer, PERSONALIZED, "the feed is personalized")
    await servers.break_("cosmos", match="read user-activity", status=429, retry_after_ms=1)
    await viewer.feed()

    async def is_counted() -> bool:
        return await viewer.metric(throttled) > before

    await until(is_counted, "the throttled call is counted")
    for operation in ("read", "write", "query", "changes"):
        assert await viewer.metric(f'store_calls{{operation="{operation}",status="ok"') > 0
        assert await viewer.metric(f'store_request_units{{operation="{operation}"') > 0
