"""`python -m tests.e2e.front_door_pictures` records the start page for the README: docs/images/front-door.gif."""

from __future__ import annotations

import asyncio
import io
import tempfile

from PIL import Image
from playwright.async_api import Page, async_playwright

from local.serving import local_settings, running
from tests.e2e.test_studio import CHROMIUM, FLAGS
from tests.served_app import ROOT

PICTURE = ROOT / "docs" / "images" / "front-door.gif"
WIDTH, HEIGHT = 1100, 700
SHOWN = (770, 490)
FRAME_MS = 250
WATCHED = "cooking"


async def main() -> None:
    """Watch and like cooking videos, skip the rest; then opt out."""
    with tempfile.TemporaryDirectory() as folder:
        settings = local_settings({"DATA_FOLDER": folder, "FLAGS_FILE": f"{folder}/flags.json"})
        async with running(settings, port=0, grace_seconds=0.1) as machine, async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            page = await browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
            await page.goto(f"{machine.url}/")
            await page.locator("[data-video]").first.wait_for()
            frames: list[Image.Image] = []
            for number in range(8):
                about = str(await page.evaluate(_CATEGORY))
                if about == WATCHED:
                    await page.evaluate(_CLICK, "Like")
                await _record(page, frames, 8 if about == WATCHED else 3)
                if number == 4:
                    await page.reload()
                    await page.locator("[data-video]").first.wait_for()
                    await page.wait_for_timeout(1_500)
                else:
                    await page.keyboard.press("ArrowDown")
                    await page.wait_for_timeout(900)
            await page.get_by_label("Personalization allowed", exact=True).uncheck()
            await page.wait_for_timeout(1_500)
            await _record(page, frames, 6)
            await browser.close()
    frames[0].save(PICTURE, save_all=True, append_images=frames[1:], duration=FRAME_MS, loop=0, optimize=True)
    print(f"{PICTURE}: {PICTURE.stat().st_size / 1e6:.1f} MB, {len(frames)} frames")


async def _record(page: Page, frames: list[Image.Image], count: int) -> None:
    for _ in range(count):
        shot = Image.open(io.BytesIO(await page.screenshot()))
        frames.append(shot.convert("RGB").resize(SHOWN).quantize(96, dither=Image.Dither.NONE))
        await page.wait_for_timeout(FRAME_MS / 2)


_CATEGORY = """() => [...document.querySelectorAll('video')].find((each) => !each.paused)
    ?.closest('article').querySelector('p').textContent.split(' ')[0]"""
_CLICK = """(label) => [...document.querySelectorAll('video')].find((each) => !each.paused).closest('article')
    .querySelectorAll('button').forEach((each) => each.textContent === label && each.click())"""


if __name__ == "__main__":
    asyncio.run(main())
