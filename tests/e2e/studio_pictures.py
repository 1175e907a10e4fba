"""Takes screenshots of the Studio with the demo's data.

`python -m tests.e2e.studio_pictures` takes those of the documentation; `python -m tests.e2e.studio_pictures FOLDER`
every screen and form, light and dark, wide and on a phone.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from playwright.async_api import BrowserContext, Page, Route, async_playwright, expect

from local.demo import CMS_KEY, OPS_KEY
from local.serving import local_settings, running
from shared.adapters.tenant_directory import PLATFORM
from tests.e2e.studio_screens import LOOKS, file_name, look, screens
from tests.e2e.test_studio import CHROMIUM, DESKTOP, FLAGS, MEDIA_HOST, PHONE

ROOT = Path(__file__).resolve().parent.parent.parent
CLIPS = ROOT / "local" / "front" / "clips"
HEADERS = {"X-Tenant-Id": "tenant_1", "X-Api-Key": CMS_KEY}
CONTENT: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("POST", "playlists", {"id": "weekend", "name": "Weekend picks", "videoIds": ["vid_travel_3", "vid_music_2"]}),
    ("POST", "rules", {"id": "weekend", "name": "Weekend picks on top", "action": "pin", "positions": [2, 5],
                       "match": {"playlists": ["weekend"]}, "priority": 10}),
    ("POST", "rules", {"id": "home", "name": "Push home workouts", "action": "boost", "multiplier": 2,
                       "match": {"categories": ["fitness"], "tags": ["home"]}, "audience": {"countries": ["DE"]}}),
    ("POST", "rules", {"id": "fresh", "name": "Nothing older than six weeks for children", "action": "exclude",
                       "match": {"ageHours": {"min": 1008}}, "audience": {"ageBands": ["0-12"]}, "enabled": False}),
    ("PUT", "rules/night/draft", {"name": "Less nightlife", "action": "suppress", "multiplier": 0.5,
                                  "match": {"categories": ["nightlife"]}}),
    ("POST", "videos/vid_comedy_11/takedown", {"reason": "Licence ended"}),
)  # fmt: skip


Take = Callable[[BrowserContext, str], Awaitable[None]]


async def of_every_screen(folder: Path) -> None:
    """Take screenshots of every screen of a content team or an operator."""

    async def take(context: BrowserContext, url: str) -> None:
        for tenant, key in (("tenant_1", CMS_KEY), (PLATFORM, OPS_KEY)):
            page = await context.new_page()
            await _sign_in(page, url, tenant, key)
            async for screen in screens(page):
                for scheme, size in LOOKS:
                    await look(page, scheme, size)
                    await page.wait_for_timeout(150)  # for scrolling and fading
                    await page.screenshot(path=folder / file_name(screen, scheme, size), full_page="," not in screen)
                await look(page, *LOOKS[0])
            await page.close()

    await _in_the_demo(folder, DESKTOP, take)


async def of_the_documentation(folder: Path) -> None:
    """Take the screenshots of the documentation."""
    for name, size in (("desktop", DESKTOP), ("phone", PHONE)):

        async def take(context: BrowserContext, url: str, name: str = name) -> None:
            await _pictures(context.pages[0], url, folder, name)

        await _in_the_demo(folder, size, take)


async def _in_the_demo(folder: Path, size: tuple[int, int], take: Take) -> None:
    """Start the demo, add some content, and take screenshots."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as stores:
        async with running(local_settings({"DATA_FOLDER": stores}), port=0) as app, async_playwright() as playwright:
            async with aiohttp.ClientSession(app.url, headers=HEADERS) as http:
                for method, path, body in CONTENT:
                    async with http.request(method, f"/v1/cms/{path}", json=body) as answer:
                        answer.raise_for_status()
                async with http.get("/v1/cms/configuration") as read:
                    etag = {"If-Match": read.headers["ETag"]}
                media = {"mediaHosts": [MEDIA_HOST]}
                async with http.patch("/v1/cms/configuration", json=media, headers=etag) as declared:
                    declared.raise_for_status()
            context = await playwright.chromium.launch_persistent_context(
                Path(stores) / "profile",
                executable_path=CHROMIUM,
                args=FLAGS,
                viewport={"width": size[0], "height": size[1]},
            )
            await context.route(f"https://{MEDIA_HOST}/**", _poster)
            await take(context, str(app.url))
            await context.close()


async def _poster(route: Route) -> None:
    """Draw an image of the category, because the demo's media host does not exist:
    `https://cdn.example/travel/3.jpg`."""
    _, category, file = urlsplit(route.request.url).path.split("/")
    number = int(file.partition(".")[0]) % 3
    await route.fulfill(path=CLIPS / f"{category}-{number}.jpg")


async def _sign_in(page: Page, url: str, tenant: str, key: str) -> None:
    await page.goto(f"{url}/studio")
    await page.get_by_label("Tenant").fill(tenant)
    await page.get_by_label("Key").fill(key)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.locator("[data-video], [data-live]").first).to_be_visible()


async def _pictures(page: Page, url: str, folder: Path, name: str) -> None:
    await _sign_in(page, url, "tenant_1", CMS_KEY)
    await page.locator("[data-viewer=liked]").fill("travel, cooking")
    await expect(page.locator("#mode")).to_contain_text("Personal feed")
    await page.locator("[data-feature=demand_7d]").fill("1.5")
    await expect(page.locator("#feed .mark.up").first).to_be_visible()
    await page.evaluate("scrollTo(0, 0)")
    await page.screenshot(path=folder / f"studio-{name}.png")
    for tab in ("Rules", "Videos", "History"):
        await page.get_by_role("link", name=tab).click()
        content = page.get_by_role("region", name=tab).locator(".card:visible, tr[data-video]")
        await expect(content.first).to_be_visible()
        await page.wait_for_timeout(300)
        await page.screenshot(path=folder / f"studio-{name}-{tab.lower()}.png")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(of_every_screen(Path(sys.argv[1])))
    else:
        asyncio.run(of_the_documentation(ROOT / "docs" / "images"))
