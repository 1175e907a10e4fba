"""Serves one app per module and a page of another origin, and starts a Chromium profile per test."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web
from playwright import async_api as playwright

from tests.e2e.test_studio import CHROMIUM, FLAGS
from tests.sdk.browser import Browser
from tests.sdk.built import SDK
from tests.served_app import App, served
from tests.skip_reasons import leave_out

BACK_FORWARD_CACHE = "--disable-back-forward-cache"
"""Playwright's default option that disables the back/forward cache, which people's browsers have."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def origin(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """Serve a page with the built SDK; return its origin."""
    folder = tmp_path_factory.mktemp("pages")
    shutil.copy(Path(__file__).parent / "page.html", folder)
    shutil.copytree(SDK / "dist", folder / "dist")
    static = web.Application()
    static.router.add_static("/", folder)
    runner = web.AppRunner(static)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(origin: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[App]:
    async with served(tmp_path_factory.mktemp("app"), cors_origins=origin) as app:
        yield app


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[playwright.Browser]:
    if not CHROMIUM.exists():
        leave_out("the SDK's browser tests need Chromium: apt-get install chromium, or name one in CHROMIUM")
    async with playwright.async_playwright() as started:
        chosen = {"executable_path": CHROMIUM, "args": FLAGS, "ignore_default_args": [BACK_FORWARD_CACHE]}
        browser = await started.chromium.launch(**chosen)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def browser(app: App, origin: str, chromium: playwright.Browser) -> AsyncIterator[Browser]:
    """A new profile for each test, which fails on any error of its pages."""
    context = await chromium.new_context()
    context.set_default_timeout(30_000)
    browser = Browser(app, origin, context)
    yield browser
    await context.close()
    assert browser.faults == []
