"""The tour's commands work on both backends: embedded, and the four Azure adapters on test servers."""

from __future__ import annotations

import pytest

from tests.e2e.azure.servers import PATIENT, Servers, running_app
from tests.e2e.azure.story import tell

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def is_what_happens(settings: dict[str, str]) -> None:
    async with running_app({**settings, **PATIENT}) as app:
        async for told in tell(app.url, app.environment):
            assert told.as_written, f"{told.step}: {told.outcome}"


async def test_guided_tour_works_embedded() -> None:
    await is_what_happens({})


async def test_guided_tour_works_on_the_azure_adapters(servers: Servers) -> None:
    await is_what_happens(servers.settings)
