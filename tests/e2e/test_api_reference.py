"""The API reference in a real browser shows every operation and can send calls."""

from __future__ import annotations

from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import async_playwright, expect

import function_app
from tests.e2e.test_studio import CHROMIUM, FLAGS
from tests.served_app import App, make_videos, served
from tests.skip_reasons import leave_out

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(tmp_path_factory: pytest.TempPathFactory):
    async with served(tmp_path_factory.mktemp("app")) as app:
        yield app


async def test_api_reference_page_calls_the_api_and_loads_nothing_from_other_hosts(app: App, tmp_path: Path) -> None:
    if not CHROMIUM.exists():
        leave_out("the API reference needs Chromium: apt-get install chromium, or name one in CHROMIUM")
    client = await app.tenant(make_videos(5))
    faults: list[str] = []
    async with async_playwright() as playwright:
        context = await playwright.chromium.launch_persistent_context(tmp_path, executable_path=CHROMIUM, args=FLAGS)
        context.set_default_timeout(30_000)
        page = context.pages[0]
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
        page.on("request", lambda sent: None if sent.url.startswith((app.url, "data:")) else faults.append(sent.url))
        await page.goto(f"{app.url}/docs")
        await expect(page.locator(".opblock")).to_have_count(len(function_app.api.endpoints))

        await page.get_by_role("button", name="Authorize").first.click()
        for name, value in (("tenant", client.tenant_id), ("apiKey", client.key)):
            scheme = page.locator(".auth-container", has=page.locator("code", has_text=name))
            await scheme.locator("input").fill(value)
            await scheme.get_by_role("button", name="Apply").click()
        await page.locator(".btn-done").first.click()

        await page.locator("#operations-feed-getFeed .opblock-summary-control").click()
        feed = page.locator("#operations-feed-getFeed")
        await feed.get_by_role("button", name="Try it out").click()
        await feed.locator("tr[data-param-name=X-User] input").fill(client.user)
        for name in ("limit", "country", "language", "ageBand", "platform"):
            await feed.locator(f"tr[data-param-name={name}] input").fill("3" if name == "limit" else "")
        await feed.get_by_role("button", name="Execute").click()
        await expect(feed.locator(".live-responses-table tbody .response-col_status").first).to_contain_text("200")
        await expect(feed.locator(".live-responses-table")).to_contain_text("feedRequestId")

        await page.goto(f"{app.url}/docs?for=sdk")
        for_an_app = sum(map(len, function_app.api.sdk_document["paths"].values()))
        await expect(page.locator(".opblock")).to_have_count(for_an_app)
        await context.close()
    assert faults == []
