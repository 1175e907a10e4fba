"""Starts the test servers and an app on them once per test run, because starting takes longer than most tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest_asyncio

from tests.e2e.azure.servers import PATIENT, QUICK, RunningApp, Servers, running_app, running_servers


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def servers() -> AsyncIterator[Servers]:
    async with running_servers() as servers:
        yield servers


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def azure_app(servers: Servers) -> AsyncIterator[RunningApp]:
    async with running_app({**servers.settings, **QUICK, **PATIENT}, "--no-demo") as app:
        yield app


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(60)) as http:
        yield http
