"""The Studio loads images and clips only from hosts that the tenant declared."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Route, expect

from tests.cms.editor import Editor, new_editor
from tests.e2e.accessibility import serious_faults
from tests.e2e.test_studio import DESKTOP, MEDIA_HOST, PHONE, Open, chromium, open_studio
from tests.served_app import ROOT, App, make_videos

__all__ = ["chromium", "open_studio"]

pytestmark = pytest.mark.asyncio(loop_scope="module")

CDN = f"https://{MEDIA_HOST}/"
SLOW_MS = 20_000  # for steps that reload the page
FOLDER = ROOT / "local" / "front" / "clips"
CLIP = next(FOLDER.glob("*.mp4"))
PICTURE = CLIP.with_suffix(".jpg")
LOADED = "each => each.complete && each.naturalWidth > 0"


class Cdn:
    """The declared host: its requests and responses."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def __call__(self, route: Route) -> None:
        name = route.request.url.removeprefix(CDN)
        self.asked.append(name)
        file: Path | None = {"clip.mp4": CLIP, "thumb.jpg": PICTURE, "poster.jpg": PICTURE}.get(name)
        if file is None:
            await route.fulfill(status=404)
        else:
            await route.fulfill(path=file)


async def with_pictures(app: App, *hosts: str) -> Editor:
    """Videos with a thumbnail, with only a poster, with a missing image, and with an image of another host."""
    editor = await new_editor(app, make_videos(4), media_hosts=hosts)
    for id, links in {
        "vid_fitness_1": {"thumbnailUrl": f"{CDN}thumb.jpg", "playbackUrl": f"{CDN}clip.mp4"},
        "vid_cooking_1": {"posterUrl": f"{CDN}poster.jpg", "thumbnailUrl": None, "playbackUrl": f"{CDN}lost.mp4"},
        "vid_travel_1": {"thumbnailUrl": f"{CDN}lost.jpg"},
        "vid_fitness_2": {
            "thumbnailUrl": "https://tracker.example/a.png",
            "playbackUrl": "https://tracker.example/a.mp4",
        },
    }.items():
        assert (await editor.change("PATCH", f"videos/{id}", links)).status == 200, id
    await editor.seen()
    return editor


async def test_images_of_declared_hosts_are_shown_and_clips_play(app: App, open_studio: Open) -> None:
    editor, cdn = await with_pictures(app, MEDIA_HOST), Cdn()
    page = await open_studio(editor, DESKTOP, cdn)
    assert "media=" in page.url
    phone = page.locator("#feed")
    await expect(phone.locator('[data-video="vid_fitness_1"] .thumb.loaded img')).to_have_attribute("loading", "lazy")
    assert not [name for name in cdn.asked if name.endswith("mp4")], "nothing plays by itself"

    await page.get_by_role("link", name="Videos").click()
    ids = {"fitness": "fitness_1", "cooking": "cooking_1", "travel": "travel_1", "foreign": "fitness_2"}
    rows = {name: page.locator(f'tr[data-video="vid_{id}"]') for name, id in ids.items()}
    for id in ("fitness", "cooking"):
        await expect(rows[id].locator(".thumb.loaded")).to_be_visible()
        assert await rows[id].locator("img").evaluate(LOADED)
    await expect(rows["travel"].locator(".thumb")).to_have_attribute("title", "This picture cannot be loaded.")
    await expect(rows["foreign"].locator("img")).to_have_count(0)
    await expect(page.locator("#no-pictures")).to_contain_text("tracker.example")

    await rows["fitness"].get_by_role("button", name="Play").press("Enter")
    clip = page.get_by_role("dialog").locator("video")
    assert await clip.evaluate("each => [each.autoplay, each.preload, each.paused]") == [False, "none", True]
    await clip.evaluate("each => { each.muted = true; return each.play(); }")
    await page.wait_for_function("() => document.querySelector('dialog video').currentTime > 0")
    await page.keyboard.press("Escape")

    await rows["cooking"].locator(".link").click()
    player = page.get_by_role("dialog").locator(".player")
    await expect(player.locator("video")).to_have_attribute("poster", f"{CDN}poster.jpg")
    await player.locator("video").evaluate("each => each.play().catch(() => null)")
    await expect(player.get_by_role("status")).to_contain_text("This clip cannot be played here.")
    await expect(player.get_by_role("link")).to_have_attribute("href", f"{CDN}lost.mp4")
    await page.keyboard.press("Escape")

    await page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    await rows["foreign"].get_by_role("button", name="Play").click()
    await expect(page.get_by_role("dialog")).to_contain_text("its host is not in the media hosts")
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert await serious_faults(page) == []


async def test_no_media_is_requested_until_hosts_are_declared(app: App, open_studio: Open) -> None:
    editor, cdn = await with_pictures(app), Cdn()
    page = await open_studio(editor, DESKTOP, cdn)
    await page.get_by_role("link", name="Videos").click()
    await expect(page.locator("#no-pictures")).to_contain_text("add your media hosts in Settings")
    await expect(page.locator("main img")).to_have_count(0)
    assert cdn.asked == []

    await page.locator("#no-pictures").get_by_role("link").click()
    await page.get_by_label("Media hosts").fill(f"https://{MEDIA_HOST}/")
    await page.get_by_role("button", name="Save", exact=True).click()
    await expect(page.locator("#notices")).to_contain_text("Saved")
    assert (await editor.get("configuration")).json["mediaHosts"] == [MEDIA_HOST]
    await page.get_by_role("link", name="Videos").click()
    assert cdn.asked == []
    await page.get_by_role("button", name="Reload the page to see the pictures").click()
    await expect(page.locator('tr[data-video="vid_fitness_1"] .thumb.loaded')).to_be_visible(timeout=SLOW_MS)

    # Another tenant in the same tab has its own hosts, here none.
    other = await with_pictures(app)
    cdn.asked.clear()
    await page.get_by_role("button", name="Sign out").click()
    await page.get_by_label("Tenant").fill(other.tenant_id)
    await page.get_by_label("Key").fill(other.key)
    await page.get_by_role("button", name="Sign in").click()
    await page.get_by_role("link", name="Videos").click()
    await expect(page.locator("#no-pictures")).to_be_visible(timeout=SLOW_MS)
    assert "media=" not in page.url
    assert cdn.asked == []
