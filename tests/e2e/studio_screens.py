"""Opens every screen of the Studio by its tabs and by the buttons of its forms."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

from playwright.async_api import Page, expect

from tests.e2e.test_studio import DESKTOP, PHONE

LOOKS = tuple((scheme, size) for scheme in ("light", "dark") for size in (DESKTOP, PHONE))
"""Color scheme and size of each look."""
OPENS_A_FORM = re.compile(r"^(New |Import|Edit$|Upload|Add )")


async def settled(page: Page) -> None:
    """Wait until nothing of the page is loading."""
    await expect(page.locator("main .skeleton, main [aria-busy=true]")).to_have_count(0)


async def screens(page: Page) -> AsyncIterator[str]:
    """Open each tab, and in each the forms that a button opens; yield the name of the current screen."""
    links = page.locator("header [data-tab]")
    for index in range(await links.count()):
        name = await links.nth(index).inner_text()
        await links.nth(index).click()
        await expect(page.get_by_role("region", name=name, exact=True)).to_be_visible()
        await settled(page)
        yield name
        texts = dict.fromkeys(await page.locator("main button:enabled:visible").all_inner_texts())
        for opens in [text for text in texts if OPENS_A_FORM.match(text)]:
            button = page.locator("main button:enabled:visible").filter(has_text=re.compile(f"^{re.escape(opens)}$"))
            await button.first.click()
            if await page.locator("dialog[open]").count() == 0:
                continue
            await page.evaluate("document.querySelectorAll('dialog[open] details').forEach(each => each.open = true)")
            yield f"{name}, {opens}"
            await page.keyboard.press("Escape")
            await expect(page.locator("dialog[open]")).to_have_count(0)


async def look(page: Page, scheme: str, size: tuple[int, int]) -> None:
    """Show the page in a color scheme, at a size."""
    await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce")
    await page.set_viewport_size({"width": size[0], "height": size[1]})


def file_name(screen: str, scheme: str, size: tuple[int, int]) -> str:
    """Return a file name such as `videos-new-video-dark-390.png`."""
    return f"{re.sub(r'[^a-z0-9]+', '-', screen.lower()).strip('-')}-{scheme}-{size[0]}.png"
