"""The README's own commands on both ways to run: embedded, and on the four Azure adapters over the test servers."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest

from tests.e2e.azure.servers import running_app, running_servers
from tests.e2e.azure.story import tell


@contextlib.asynccontextmanager
async def settings_of(way: str) -> AsyncIterator[dict[str, str]]:
    if way == "embedded":
        yield {}
        return
    async with running_servers() as servers:
        yield servers.settings


@pytest.mark.parametrize("way", ["embedded", "azure"])
async def test_the_readme_tells_what_happens(way: str) -> None:
    async with settings_of(way) as settings, running_app(settings) as app:
        async for told in tell(app.url, app.environment):
            assert told.as_written, f"{told.step}: {told.outcome}"
