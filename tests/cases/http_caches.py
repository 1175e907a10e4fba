"""HTTP caches of apps: each stores and reuses responses as its library or browser does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import hishel
import httpx
import requests
from cachecontrol import CacheControl
from hishel.httpx import AsyncCacheTransport
from playwright.async_api import async_playwright

from tests.e2e.test_studio import CHROMIUM, FLAGS
from tests.served_app import Answer
from tests.skip_reasons import leave_out

Get = Callable[[str, Mapping[str, str]], Awaitable[Answer]]
"""Fetches a URL with headers, through a cache."""

_FETCH = """async ([url, headers]) => {
  const response = await fetch(url, {headers});
  return [response.status, [...response.headers], await response.text()];
}"""


@asynccontextmanager
async def cachecontrol_cache() -> AsyncIterator[Get]:
    """The requests library with CacheControl."""
    with CacheControl(requests.Session()) as session:

        def get(url: str, headers: Mapping[str, str]) -> Answer:
            response = session.get(url, headers=dict(headers), timeout=30)
            return Answer(response.status_code, response.headers, response.content)

        async def get_in_thread(url: str, headers: Mapping[str, str]) -> Answer:
            return await asyncio.to_thread(get, url, headers)

        yield get_in_thread


@asynccontextmanager
async def hishel_cache() -> AsyncIterator[Get]:
    """httpx with hishel, as a private cache by RFC 9111."""
    with TemporaryDirectory() as folder:
        storage = hishel.AsyncSqliteStorage(database_path=Path(folder) / "cache.db")
        transport = AsyncCacheTransport(httpx.AsyncHTTPTransport(), storage, hishel.CacheOptions(shared=False))
        async with httpx.AsyncClient(transport=transport, timeout=30) as client:

            async def get(url: str, headers: Mapping[str, str]) -> Answer:
                response = await client.get(url, headers=headers)
                return Answer(response.status_code, response.headers, response.content)

            yield get
        await storage.close()


@asynccontextmanager
async def chromium_cache(page_url: str) -> AsyncIterator[Get]:
    """A page in Chromium with the browser's own disk cache."""
    if not CHROMIUM.exists():
        leave_out("the browser's cache needs Chromium: apt-get install chromium, or name one in CHROMIUM")
    with TemporaryDirectory() as profile:
        async with async_playwright() as playwright:
            context = await playwright.chromium.launch_persistent_context(
                Path(profile), executable_path=CHROMIUM, args=FLAGS
            )
            page = context.pages[0]
            await page.goto(page_url)

            async def get(url: str, headers: Mapping[str, str]) -> Answer:
                status, answered, body = await page.evaluate(_FETCH, [url, dict(headers)])
                return Answer(status, httpx.Headers(answered), body.encode())

            yield get
            await context.close()


LIBRARIES: Mapping[str, Any] = {"CacheControl": cachecontrol_cache, "hishel": hishel_cache}
