"""Rules in the Studio: conditions are picked from lists and previewed for their audience."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import expect

from tests.cms.editor import new_editor
from tests.e2e.test_studio import DESKTOP, Open, chromium, open_studio
from tests.served_app import App, make_video, make_videos

__all__ = ["chromium", "open_studio"]

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_rule_is_built_from_choices_and_previewed_for_a_viewer_and_time(app: App, open_studio: Open) -> None:
    sea = [make_video(f"vid_sea_{n}", "sea", tags=("rock, paper", "blue")) for n in range(1, 4)]
    editor = await new_editor(app, [*make_videos(12), *sea])
    page = await open_studio(editor, DESKTOP)
    await page.get_by_role("link", name="Rules").click()
    await page.get_by_role("button", name="New rule").click()
    box = page.get_by_role("dialog")
    await box.get_by_label("Name").fill("The sea")
    await box.get_by_label("What it does").select_option("pin")

    # By keyboard alone: part of a tag, arrow down, Enter.
    tags = box.get_by_role("combobox", name="Tags (any)")
    await tags.press_sequentially("pap")
    await expect(box.get_by_role("option", name="rock, paper")).to_contain_text("3 videos")
    await tags.press("ArrowDown")
    await expect(tags).to_have_attribute("aria-activedescendant", "picker-1-0")
    await tags.press("Enter")
    await expect(box.locator('[data-field="match.tags"] [data-token]')).to_have_text("rock, paper✕")
    await tags.press_sequentially("b")
    await expect(box.get_by_role("option", name="blue")).to_be_visible()
    await tags.press("Escape")
    await expect(box.locator(".options:visible")).to_have_count(0)
    await tags.fill("")

    # For Germany, in English, from next week on: the preview uses such a viewer at that time.
    await box.get_by_text("Length, age, audience").click()
    countries = box.get_by_role("combobox", name="Countries")
    await countries.press_sequentially("Germ")
    await box.get_by_role("option", name="Germany").click()
    await expect(box.locator('[data-token="DE"]')).to_contain_text("Germany")
    starts = (datetime.now(UTC) + timedelta(days=7)).replace(second=30, microsecond=0)  # a full minute shows none
    await box.get_by_label("From", exact=True).fill(starts.strftime("%Y-%m-%dT%H:%M:%S"))
    await box.get_by_role("button", name="Preview the effect").click()
    effect = box.locator(".effect")
    await expect(effect).to_contain_text("Matches 3 videos.")
    await expect(effect.get_by_label("Country")).to_have_value("DE")
    await expect(effect.get_by_label("When")).to_have_value(starts.strftime("%Y-%m-%dT%H:%M:%S"))
    await expect(effect.locator("section", has_text="After").locator("li").first).to_contain_text("vid sea")
    await effect.get_by_label("When").fill(datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S"))
    await effect.get_by_label("When").blur()
    await expect(effect).to_contain_text("does not apply to this viewer at this time")

    # A value that no video has is reported, and saving asks for confirmation.
    await box.get_by_role("button", name="Remove rock, paper").click()
    await tags.press_sequentially("papr")
    await box.get_by_label("Name").focus()
    note = box.locator('[data-field="match.tags"] .unknown')
    await expect(note).to_contain_text("“papr”: No video has this tag yet.")
    await effect.get_by_label("When").fill((starts + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S"))
    await effect.get_by_label("When").blur()
    await expect(effect.locator("[data-nothing]")).to_contain_text("matches no video, so it would have no effect")
    await expect(effect.locator("[data-nothing]")).to_contain_text("Tags (any): papr.")
    await box.get_by_role("button", name="Publish", exact=True).click()
    question = page.get_by_role("dialog", name="Save unknown values?")
    await expect(question).to_contain_text("Tags (any): papr")
    await question.get_by_role("button", name="Save anyway").click()
    await expect(page.locator(".rule-card")).to_contain_text("The sea")
    [rule] = (await editor.get("rules")).json["rules"]
    assert (rule["match"]["tags"], rule["audience"]["countries"], rule["id"][:8]) == (["papr"], ["DE"], "the-sea-")
