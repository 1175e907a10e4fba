"""Every Studio screen, light and dark, wide and on a phone, has no serious axe finding."""

from __future__ import annotations

from dataclasses import replace

import pytest
from playwright.async_api import Page, TimeoutError

from shared.adapters.tenant_directory import PLATFORM
from tests.cms.editor import Editor, new_editor
from tests.e2e.studio_screens import LOOKS, look, screens
from tests.e2e.test_studio import DESKTOP, PHONE, Open, chromium, open_studio
from tests.served_app import ROOT, App, make_videos
from tests.skip_reasons import leave_out

__all__ = ["chromium", "open_studio"]

pytestmark = pytest.mark.asyncio(loop_scope="module")

AXE = ROOT / "sdk" / "typescript" / "node_modules" / "axe-core" / "axe.min.js"
LOOKS_OF_FORMS = (("light", DESKTOP), ("dark", PHONE))
SERIOUS = """async () => {
  const { violations } = await axe.run({ resultTypes: ["violations"] });
  return violations.filter(({ impact }) => ["serious", "critical"].includes(impact))
    .map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((each) => each.html.slice(0, 160)).join(" | ")}`);
}"""
TOO_WIDE = "document.documentElement.scrollWidth > innerWidth"
CUT_OFF = """() => { const { left, right } = document.querySelector("[data-tab][aria-current]").getBoundingClientRect();
  return left < 0 || right > innerWidth; }"""


async def with_content(app: App) -> Editor:
    """A tenant that has something of everything."""
    editor = await new_editor(app, make_videos(12))
    await editor.post("playlists", {"id": "cup", "name": "Cup", "videoIds": ["vid_travel_1", "vid_gone"]})
    await editor.post(
        "rules", {"id": "cup", "name": "Cup", "action": "pin", "positions": [1], "match": {"tags": ["a"]}}
    )
    await editor.call("PUT", "rules/night/draft", {"name": "N", "action": "exclude", "match": {"tags": ["b"]}})
    await editor.post("videos/vid_travel_2/takedown", {"reason": "Licence ended"})
    return editor


async def faults(page: Page) -> list[str]:
    found: list[str] = []
    await page.evaluate(AXE.read_text(encoding="utf-8"))
    async for screen in screens(page):
        for scheme, size in LOOKS if "," not in screen else LOOKS_OF_FORMS:
            await look(page, scheme, size)
            where = f"{screen}, {scheme}, {size[0]}"
            found += [f"{where}: {each}" for each in await page.evaluate(SERIOUS)]
            if await page.evaluate(TOO_WIDE):
                found.append(f"{where}: wider than the window")
            try:  # the page scrolls it into view a frame after the resize
                await page.wait_for_function(f"() => !({CUT_OFF})()")  # no bare expression: the page allows no `eval`
            except TimeoutError:
                found.append(f"{where}: its tab is out of sight")
        await look(page, *LOOKS[0])
    return found


async def test_axe_finds_no_serious_problem_in_any_screen_of_the_studio(app: App, open_studio: Open) -> None:
    if not AXE.exists():
        leave_out("the Studio's accessibility: `npm --prefix sdk/typescript ci` gets axe-core")
    editor = await with_content(app)
    operator = replace(editor.with_key(app.ops_key), client=replace(editor.client, tenant_id=PLATFORM))
    found = await faults(await open_studio(editor, DESKTOP))
    found += await faults(await open_studio(operator, DESKTOP))
    assert found == []
