"""The Studio's page of reported stories: read, kept and removed by keyboard, in light and dark."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.cms.editor import new_editor
from tests.e2e.accessibility import serious_faults
from tests.e2e.test_studio import DESKTOP, PHONE, Open, chromium, open_studio
from tests.served_app import App, make_videos
from tests.stories.social import Someone, stories_on
from tests.stories.test_stories import post, sees
from tests.user_tokens import save_public_key, signer

__all__ = ["chromium", "open_studio"]

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_reported_stories_are_read_kept_and_removed_by_keyboard(app: App, open_studio: Open) -> None:
    editor = await new_editor(app, make_videos(3), story_hold_reports=1)
    await stories_on(app)
    await save_public_key(app.documents, editor.tenant_id, signer("ES256"))
    assert await app.services.tenants_refresher.refresh()
    author = Someone(editor.client)
    viewer = await author.another()
    held, removed = [await post(author, text=f"{text} lake.") for text in ("A quiet", "A loud")]
    for story in (held, removed):
        report = {"reason": "hate", "text": "Look at <b>this</b>."}
        assert (await viewer.call("POST", f"stories/{story['id']}/report", report)).status == 202
    page = await open_studio(editor, DESKTOP)
    await page.get_by_role("link", name="Stories", exact=True).click()
    quiet, loud = (page.locator(f'[data-story="{story["id"]}"]') for story in (held, removed))
    await expect(quiet).to_contain_text("Reported for 1 × hate")
    await expect(quiet).to_contain_text("Hidden")
    await expect(quiet).to_contain_text("Look at <b>this</b>.")
    for width, height in (PHONE, DESKTOP):
        await page.set_viewport_size({"width": width, "height": height})
        await page.wait_for_function("() => document.documentElement.scrollWidth <= innerWidth")
        assert await serious_faults(page) == [], "in light and dark"
    await quiet.get_by_role("button", name="Show it again").press("Enter")
    await expect(quiet).to_have_count(0)
    await expect(loud.get_by_role("button", name="Show it again")).to_be_focused()
    await loud.get_by_role("button", name="Remove").press("Enter")
    await page.get_by_role("dialog").get_by_role("button", name="Remove").press("Enter")
    await expect(page.get_by_text("No reported stories. Stories that viewers report appear here.")).to_be_visible()
    assert (await sees(viewer, held["id"]), await sees(viewer, removed["id"])) == (True, False)


async def test_studio_has_no_stories_page_while_stories_are_off(app: App, open_studio: Open) -> None:
    await stories_on(app, on=False)
    page = await open_studio(await new_editor(app, make_videos(3)), DESKTOP)
    await expect(page.get_by_role("link", name="Rules")).to_be_visible()
    await expect(page.get_by_role("link", name="Stories", exact=True)).to_have_count(0)
