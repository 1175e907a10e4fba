"""The operators' live page in a real browser: current p95, and errors when nothing answers."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace

import pytest
from playwright.async_api import Locator, Page, Request, Route, expect

from shared.adapters.tenant_directory import PLATFORM
from tests.cms.editor import Editor, new_editor
from tests.e2e.test_studio import DESKTOP, PHONE, Open, chromium, open_studio
from tests.served_app import App, eventually, make_videos

__all__ = ["chromium", "open_studio"]

pytestmark = pytest.mark.asyncio(loop_scope="module")

NUMBER_WITH_UNIT = re.compile(r"^(≥ )?[\d.,]+ (ms|s)$")
NEXT_READ_MS = 15_000
"""How long a test waits for the page's next refresh, which happens every 5 s."""
LIVE = "**/v1/cms/live?*"
HIDE = """hidden => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


async def operator(app: App) -> Editor:
    editor = await new_editor(app, make_videos(12))
    return replace(editor.with_key(app.ops_key), client=replace(editor.client, tenant_id=PLATFORM))


def forget_the_past(app: App) -> None:
    """Start the window of every later call now."""
    app.services.recent.take()
    app.clock.advance(3_600)


async def served(app: App, feeds: int) -> None:
    client = (await new_editor(app, make_videos(12))).client
    for _ in range(feeds):
        assert (await client.feed()).status == 200


def figure(page: Page, name: str) -> Locator:
    """Return the number on the page under this name."""
    return page.locator(f"[data-figure={name}] dd")


async def test_operator_signs_in_and_reads_p95_without_scrolling(app: App, open_studio: Open) -> None:
    forget_the_past(app)
    await served(app, 20)
    page = await open_studio(await operator(app), DESKTOP)
    p95 = figure(page, "p95")
    await expect(p95).to_have_text(NUMBER_WITH_UNIT)
    box = await p95.bounding_box()
    assert box is not None
    assert box["y"] + box["height"] < DESKTOP[1] / 2, "nobody scrolls for it"
    await expect(figure(page, "feeds")).to_have_text("20")
    content = page.locator("[data-live]")
    for title in ("Feeds by mode and reason", "Stages of a feed", "Queues", "Dependencies", "Flags"):
        await expect(content.get_by_role("heading", name=title)).to_be_visible()
    await expect(content).to_contain_text("cold_start")
    await expect(page.locator("[data-dependency=documents]")).to_have_text("documents: ready")
    await expect(page.locator("[data-flag=personalized-feed] .chip")).to_have_text("on")
    await expect(page.locator("#live-scope")).to_contain_text("The whole service on this machine")
    await expect(page.locator("#attention")).to_have_text("No problems")


async def test_page_refreshes_by_itself_but_not_while_hidden(app: App, open_studio: Open) -> None:
    forget_the_past(app)
    page = await open_studio(await operator(app), DESKTOP)
    feeds = figure(page, "feeds")
    await expect(feeds).to_have_text("0")
    await expect(page.locator(".headline")).to_contain_text("No feed was served in this time.")
    await expect(figure(page, "p95")).to_have_text("–")
    await served(app, 3)
    await expect(feeds).to_have_text("3", timeout=NEXT_READ_MS)
    asked: list[str] = []
    page.on("request", lambda sent: asked.append(sent.url) if _is_live(sent) else None)
    await page.evaluate(HIDE, True)
    await asyncio.sleep(6)
    assert asked == []
    await served(app, 2)
    await page.evaluate(HIDE, False)
    await expect(feeds).to_have_text("5", timeout=2_000)


def _is_live(sent: Request) -> bool:
    return "/v1/cms/live" in sent.url


async def test_closed_page_makes_no_more_requests(app: App, open_studio: Open) -> None:
    page = await open_studio(await operator(app), DESKTOP)
    await page.get_by_role("link", name="Tenants").click()
    await expect(page.locator("[data-tenant]").first).to_be_visible()
    asked: list[str] = []
    page.on("request", lambda sent: asked.append(sent.url) if _is_live(sent) else None)
    await asyncio.sleep(6)
    assert asked == []


async def test_app_outage_is_shown_above_the_last_figures(app: App, open_studio: Open) -> None:
    forget_the_past(app)
    await served(app, 4)
    page = await open_studio(await operator(app), PHONE)
    await expect(figure(page, "feeds")).to_have_text("4")

    async def refuse(route: Route) -> None:
        await route.fulfill(status=429, json={"code": "busy", "detail": "Too many requests."})

    await page.route(LIVE, refuse)
    await page.get_by_label("How far back").select_option("last 15 minutes")
    alert = page.get_by_role("alert")
    await expect(alert).to_contain_text("Too many requests. The figures below are old.")
    await expect(figure(page, "feeds")).to_have_text("4")
    await page.unroute(LIVE)
    await expect(alert).to_be_hidden(timeout=NEXT_READ_MS)


async def test_loading_and_a_failed_first_call_are_shown(app: App, open_studio: Open) -> None:
    page = await open_studio(await operator(app), DESKTOP)
    go_on = asyncio.Event()

    async def refuse_late(route: Route) -> None:
        await go_on.wait()
        await route.fulfill(status=429, json={"code": "busy", "detail": "Too many requests."})

    await page.get_by_role("link", name="Tenants").click()
    await page.route(LIVE, refuse_late)
    await page.get_by_role("link", name="Live").click()
    await expect(page.get_by_role("status").filter(has_text="Loading")).to_be_visible()
    go_on.set()
    await expect(page.get_by_role("alert")).to_contain_text("The page tries again every 5 seconds.")
    await page.unroute(LIVE)
    await expect(figure(page, "p95")).to_be_visible(timeout=NEXT_READ_MS)


async def test_dead_letters_and_a_pulled_switch_are_shown_first(app: App, open_studio: Open) -> None:
    app.write_flags({"id": "personalized-feed", "enabled": False})

    async def pulled() -> bool:
        return app.services.flags.state().get("personalized-feed") is False

    await eventually(pulled)
    page = await open_studio(await operator(app), DESKTOP)
    await expect(page.locator("#attention")).to_contain_text("Personalization is switched off")
    await expect(page.locator("[data-flag=personalized-feed] .chip")).to_have_text("off")


async def test_no_part_of_the_page_is_wider_than_a_phone(app: App, open_studio: Open) -> None:
    await served(app, 10)
    page = await open_studio(await operator(app), PHONE)
    await expect(page.locator("[data-flag]").first).to_be_visible()
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    p95 = await figure(page, "p95").bounding_box()
    assert p95 is not None
    assert p95["y"] + p95["height"] < PHONE[1], "nobody scrolls for it"
