"""The whole app survives faults of the Azure services, single and combined (against our test servers)."""

from __future__ import annotations

import aiohttp
import pytest

from tests.e2e.azure.outages import OUTAGES, PERSONALIZED, Outage, differences, signals_hold, survive, until_feed
from tests.e2e.azure.servers import PATIENT, QUICK, RunningApp, Servers, running_app
from tests.e2e.azure.viewer import Viewer, new_viewer, until
from tests.served_app import new_user

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("outage", OUTAGES, ids=lambda outage: outage.name)
async def test_feed_works_and_accepted_events_count_once_during_an_outage(
    outage: Outage, servers: Servers, azure_app: RunningApp, http: aiohttp.ClientSession
) -> None:
    survived = await survive(outage, servers, azure_app, http)

    assert differences(survived) == []
    assert not [secret for secret in azure_app.secrets if secret in azure_app.output], "a key or a user was logged"


async def test_app_started_in_an_outage_recovers_step_by_step_without_restart(
    servers: Servers, http: aiohttp.ClientSession
) -> None:
    dependencies = ("cosmos", "servicebus", "appconfig")
    for name in dependencies:
        await servers.listen(name, False)
    try:
        async with running_app({**servers.settings, **QUICK, **PATIENT}, "--no-demo") as app:
            async with http.get(f"{app.url}/health") as alive, http.get(f"{app.url}/ready") as ready:
                assert (alive.status, ready.status) == (200, 503)
                states = (await ready.json())["dependencies"]
                assert [name for name, state in states.items() if state == "ready"] == ["blobs", "clock"]
            viewer = Viewer(app, http, servers.services, "tenant-later", "k" * 32, new_user(), "o" * 32)
            assert (await viewer.feed()).status == 503, "nobody is refused for good because the tenants are not known"

            await servers.listen("cosmos", True)
            viewer = await new_viewer(app, http, servers.services)
            await until_feed(viewer, ("fallback", "flags_unavailable"), "the tenants are known")
            assert await viewer.watch(5) == 503

            await servers.listen("servicebus", True)
            await viewer.send_the_rest()
            await until(lambda: signals_hold(viewer, 5), "the events are in the signals")

            await servers.listen("appconfig", True)
            await until_feed(viewer, PERSONALIZED, "the flags are known")
            assert app.alive
    finally:
        for name in dependencies:
            await servers.listen(name, True)
