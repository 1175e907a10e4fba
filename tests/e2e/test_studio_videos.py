"""The Studio's video list searches, sorts, counts, exports, and changes many videos at once."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from playwright.async_api import Page, Route, expect

from tests.cms.editor import VIDEO, new_editor
from tests.e2e.accessibility import serious_faults
from tests.e2e.test_studio import DESKTOP, PHONE, Open, chromium, open_studio
from tests.served_app import App, make_videos

__all__ = ["chromium", "open_studio"]

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def ids(page: Page) -> list[str]:
    """Return the videos of the list, in order."""
    found: list[str] = await page.locator("tr[data-video]").evaluate_all("all => all.map(each => each.dataset.video)")
    return found


async def test_list_searches_sorts_counts_and_exports(app: App, open_studio: Open) -> None:
    editor = await new_editor(app, make_videos(45))
    evil = {"title": "=HYPERLINK(1), “Crème”", "creatorId": "@anna", "maturityRating": "R", "mainTag": "news"}
    await editor.post("videos", {"id": "vid_creme", **VIDEO, **evil, "publishedAt": "2024-05-01T00:00:00Z"})
    page = await open_studio(editor, DESKTOP)
    await page.get_by_role("link", name="Videos").click()
    count, rows = page.locator("#video-count"), page.locator("tr[data-video]")
    await expect(count).to_have_text("46 videos, 30 shown")
    await page.get_by_role("button", name="More", exact=True).click()
    await expect(count).to_have_text("46 videos")
    await expect(rows).to_have_count(46)
    assert len(set(await ids(page))) == 46

    await page.get_by_label("Search").fill("creme")
    await expect(count).to_have_text("1 video")
    assert await ids(page) == ["vid_creme"]
    await page.get_by_label("Search").fill("travel_11")
    await expect(rows).to_have_attribute("data-video", "vid_travel_11")
    await page.get_by_role("button", name="Clear filters").click()
    await expect(count).to_have_text("46 videos, 30 shown")

    await page.get_by_label("Select every video shown").check()
    await page.get_by_role("button", name="Select all 46 that match").click()
    await expect(page.get_by_role("region", name="Selected videos")).to_contain_text("46 selected")
    await page.get_by_role("button", name="Clear selection").click()

    await page.get_by_label("Only rating").select_option("R")
    await expect(count).to_have_text("1 video")
    await page.get_by_label("Only rating").select_option("")
    await page.get_by_text("More filters").click()
    await page.get_by_label("Only creator").fill("@an")
    await page.get_by_role("option", name="@anna").click()
    await expect(page.get_by_label("Only creator")).to_have_value("@anna")
    await page.get_by_label("Only published from").fill("2024-05-01")
    await page.get_by_label("Only published to").fill("2024-05-01")
    await expect(count).to_have_text("1 video")
    await page.get_by_label("Only category").fill("nothing")
    await expect(page.get_by_text("No videos match. Change or clear the filters.")).to_be_visible()
    await page.get_by_role("button", name="Clear filters").click()

    head = page.locator("th[data-sort=title]")
    for direction, first in (("ascending", "vid_creme"), ("descending", "vid_travel_9")):
        await head.get_by_role("button").press("Enter")
        await expect(head).to_have_attribute("aria-sort", direction)
        await expect(rows.first).to_have_attribute("data-video", first)
    await expect(page.get_by_label("Order")).to_have_value("title desc")
    await page.get_by_label("Order").select_option("publishedAt asc")
    await expect(page.locator("th[data-sort=publishedAt]")).to_have_attribute("aria-sort", "ascending")

    async with page.expect_download() as coming:
        await page.get_by_role("button", name="Export CSV").click()
    file = Path(await (await coming.value).path()).read_text(encoding="utf-8-sig")
    table = {line["id"]: line for line in csv.DictReader(io.StringIO(file))}
    assert len(table) == 46
    assert table["vid_creme"]["title"] == "'=HYPERLINK(1), “Crème”"
    assert table["vid_creme"]["creatorId"] == "'@anna"
    assert table["vid_fitness_1"]["durationSeconds"] in ("30", "30.0")
    assert await serious_faults(page) == []


async def test_many_videos_are_changed_at_once_and_failures_are_named(app: App, open_studio: Open) -> None:
    editor = await new_editor(app, make_videos(9))
    await editor.post("playlists", {"id": "top", "name": "Top", "videoIds": ["vid_fitness_1"]})
    page = await open_studio(editor, DESKTOP)
    await page.get_by_role("link", name="Videos").click()
    bulk, box = page.get_by_role("region", name="Selected videos"), page.get_by_role("dialog")

    async def pick(*wanted: str) -> None:
        for id in wanted:
            await page.locator(f'tr[data-video="{id}"]').get_by_role("checkbox").check()

    async def state(id: str) -> str:
        return str((await editor.get(f"videos/{id}")).json["state"])

    await expect(bulk).to_be_hidden()
    await page.get_by_label("Select every video shown").check()
    await expect(bulk).to_contain_text("9 selected")
    await bulk.get_by_role("button", name="Clear selection").click()

    three = ("vid_fitness_1", "vid_cooking_1", "vid_travel_1")
    await pick(*three)
    await bulk.get_by_role("button", name="Tags").click()
    await box.get_by_label("Add tags").fill("gym, home")
    await box.get_by_label("Remove tags").fill("travel")
    await box.get_by_role("button", name="Change tags").click()
    await expect(page.locator("#notices")).to_contain_text("Change tags: done for 3 videos.")
    await expect(bulk).to_be_hidden()
    assert (await editor.get("videos/vid_travel_1")).json["tags"] == ["gym", "home"]

    await pick(*three)
    await bulk.get_by_role("button", name="Rating").click()
    await box.get_by_label("New rating").select_option("G")
    await box.get_by_role("button", name="Change rating").click()
    await expect(page.locator("#notices")).to_contain_text("Change rating: done for 3 videos.")
    assert (await editor.get("videos/vid_cooking_1")).json["maturityRating"] == "G"

    await pick(*three)
    await bulk.get_by_role("button", name="Add to playlist").click()
    await box.get_by_role("button", name="Add", exact=True).click()
    await expect(page.locator("#notices")).to_contain_text("2 added to “Top”.")
    assert set((await editor.get("playlists/top")).json["videoIds"]) == set(three)

    # One is refused: the others are taken down; it stays selected and is retried.
    async def refuse(route: Route) -> None:
        await route.fulfill(status=429, json={"code": "overloaded", "detail": "Too busy just now."})

    await page.route("**/vid_cooking_1/takedown", refuse)
    await pick(*three)
    await bulk.get_by_role("button", name="Take down").click()
    assert await serious_faults(page) == []
    await box.get_by_label("Reason (shown in History)").fill("Licence ended")
    await box.get_by_role("button", name="Take down").click()
    await expect(box.get_by_role("alert")).to_have_text("2 done, 1 failed.")
    await expect(box.locator("#bulk-failures li")).to_contain_text("vid_cooking_1 Too busy just now.")
    assert [await state(id) for id in three] == ["taken_down", "live", "taken_down"]
    assert "vid_travel_1" not in (await editor.client.feed()).ids
    assert (await editor.get("audit", name="vid_travel_1")).json["entries"][0]["why"] == "Licence ended"
    await expect(bulk).to_contain_text("1 selected")
    await page.unroute("**/vid_cooking_1/takedown")
    await box.get_by_role("button", name="Try again").click()
    await expect(box).to_have_count(0)
    assert await state("vid_cooking_1") == "taken_down"

    await page.get_by_label("State", exact=True).select_option("taken_down")
    await expect(page.locator("#video-count")).to_have_text("3 videos")
    await page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await page.get_by_label("Select every video shown").check()
    await bulk.get_by_role("button", name="Restore").click()
    await box.get_by_role("button", name="Restore").click()
    await expect(page.locator("#notices")).to_contain_text("Restore: done for 3 videos.")
    await expect(page.locator("#video-count")).to_have_text("0 videos")
    assert await serious_faults(page) == []
