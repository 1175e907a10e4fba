"""The Studio's performance page: totals, a chart usable by keyboard and pointer, a table, empty states."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.cms.editor import new_editor
from tests.cms.test_performance import COOKING, FITNESS, with_views
from tests.e2e.accessibility import serious_faults
from tests.e2e.test_studio import DESKTOP, PHONE, Open, chromium, open_studio
from tests.served_app import App, make_videos

__all__ = ["chromium", "open_studio"]

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_performance_is_readable_by_pointer_keyboard_and_table(app: App, open_studio: Open) -> None:
    page = await open_studio(await with_views(app), DESKTOP)
    await page.get_by_role("link", name="Performance").click()
    total, plot, told = page.locator("#performance-total"), page.get_by_role("slider"), page.locator(".chart-value")
    await expect(total).to_contain_text("Views4")
    await expect(total).to_contain_text("Completion25 %")
    await expect(page.locator("[data-row]")).to_have_count(2)
    await expect(page.locator(f'[data-row="{COOKING}"]')).to_contain_text("1 min")
    await expect(page.locator("#performance-untold")).to_contain_text("no figures by rule or by feed")
    await expect(page.locator(".chart-plot .bar")).to_have_count(7)
    await plot.focus()
    await page.keyboard.press("End")
    newest = await plot.get_attribute("aria-valuetext")
    await page.keyboard.press("Home")
    await expect(told).to_have_text(str(await plot.get_attribute("aria-valuetext")))
    await expect(plot).to_have_attribute("aria-valuenow", "0")
    box = await plot.bounding_box()
    assert box is not None
    await page.mouse.move(box["x"] + box["width"] - 20, box["y"] + 50)
    await expect(told).to_have_text(str(newest))
    await page.get_by_text("As a table").click()
    await expect(page.locator(".chart-table tbody tr")).to_have_count(7)

    await page.get_by_label("Measure").select_option("playbackErrors")
    await expect(page.locator("[data-row]").first).to_have_attribute("data-row", FITNESS)
    await page.locator(f'[data-row="{FITNESS}"]').get_by_role("button").click()
    await expect(total).to_contain_text("Views1")
    await page.get_by_role("button", name="Show all").click()
    await page.get_by_label("Rows").select_option("category")
    await page.get_by_label("How far back").select_option("90")
    await expect(page.locator(".chart-plot .bar")).to_have_count(90)
    playing = page.get_by_role("region", name="Playback problems")
    await expect(playing).to_contain_text("28 days")
    await expect(playing.locator(f'[data-failing="{FITNESS}"]')).to_contain_text("1 failed")
    await expect(page.locator('[data-row="cooking"]')).to_contain_text("3")
    assert await serious_faults(page) == []
    await page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    await page.wait_for_function("() => document.documentElement.scrollWidth <= innerWidth")
    assert await serious_faults(page) == []
    if pictures := os.environ.get("STUDIO_PICTURES"):
        await page.screenshot(path=Path(pictures) / "performance-phone-dark.png", full_page=True)
        await page.emulate_media(color_scheme="light")
        await page.set_viewport_size({"width": DESKTOP[0], "height": DESKTOP[1]})
        await page.screenshot(path=Path(pictures) / "performance-desktop-light.png", full_page=True)


async def test_performance_without_events_or_an_answer_is_explained(app: App, open_studio: Open) -> None:
    page = await open_studio(await new_editor(app, make_videos(3)), PHONE)
    await page.route("**/v1/cms/performance*", lambda route: route.fulfill(status=429, json={"detail": "Too busy."}))
    await page.get_by_role("link", name="Performance").click()
    await expect(page.get_by_role("alert")).to_contain_text("Too busy.")
    await page.unroute("**/v1/cms/performance*")
    await page.get_by_role("button", name="Try again").click()
    await expect(page.get_by_text("No views in these days.")).to_be_visible()
    await expect(page.get_by_text("No videos were shown in these days.")).to_be_visible()
    await expect(page.get_by_text("No play failed or stalled.")).to_be_visible()
