"""The test servers, once per test run: starting them takes longer than most tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.e2e.azure.servers import Servers, running_servers


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def servers() -> AsyncIterator[Servers]:
    async with running_servers() as servers:
        yield servers
