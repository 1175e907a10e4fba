"""The Studio's forms in a real browser write only touched fields and lose no edit."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Locator, Page, expect

from cms.imports.rows import VIDEO_FILE
from cms.imports.tables import read_table
from tests.cms.editor import Editor, new_editor
from tests.e2e.test_studio import DESKTOP, PHONE, Open, chromium, open_studio
from tests.served_app import App, make_videos

__all__ = ["chromium", "open_studio"]

pytestmark = pytest.mark.asyncio(loop_scope="module")

TRAVEL = "videos/vid_travel_1"
ODD_TABLES = (
    "\ufeffid,title\r\na,1\r\n\r\n,,\r\nb,2",
    "sep=;\nid;title\n\na;1,5\n",
    '\n\nid\ttitle\na\t"x\n\ny"\nb\t"say ""no"""\n',
    'id,title\ra,"1"\rb,2\r',
    'id,title\na,in "the" middle\n',
)
ROWS = """bytes => import("/studio/import_table.js")
  .then(all => all.readTable(new Uint8Array(bytes).buffer).rows.map(each => each.row))"""
AT = "2026-11-20T12:34:56Z"


async def history(editor: Editor) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = (await editor.get("audit", limit=50)).json["entries"]
    return entries


async def tab(page: Page, name: str) -> None:
    await page.get_by_role("link", name=name, exact=True).click()
    await expect(page.get_by_role("heading", name=name, level=1)).to_be_visible()


async def edit_travel(page: Page) -> Locator:
    """Open the form of the video; return the dialog."""
    await page.locator('[data-video="vid_travel_1"]').locator(".link").click()
    return page.get_by_role("dialog", name="Edit the video")


async def save(box: Locator, name: str = "Save") -> None:
    await box.get_by_role("button", name=name, exact=True).click()
    await expect(box).to_have_count(0)


async def test_form_writes_only_touched_fields_and_a_toast_reverts_it(app: App, open_studio: Open) -> None:
    editor = await new_editor(app, make_videos(6))
    await editor.change("PATCH", TRAVEL, {"tags": ["rock, paper"], "publishedAt": AT})
    before = (await editor.get(TRAVEL)).json
    changes = len(await history(editor))
    page = await open_studio(editor, DESKTOP)
    await tab(page, "Videos")
    assert await page.title() == "Videos · Feed Studio"
    box = await edit_travel(page)
    await expect(box.get_by_label("Publish at")).to_have_value("2026-11-20T12:34:56")
    await expect(box.locator("[data-field=publishedAt] .hint")).to_contain_text("Time in UTC")
    await save(box)
    assert len(await history(editor)) == changes, "nothing was touched"

    box = await edit_travel(page)
    await box.get_by_label("Title").fill("Three days in Rome")
    await box.get_by_label("Tags").fill("scissors,")
    await save(box)
    after = (await editor.get(TRAVEL)).json
    assert (after["title"], after["tags"]) == ("Three days in Rome", ["rock, paper", "scissors"])
    assert after["publishedAt"] == before["publishedAt"] == AT
    newest = (await history(editor))[0]
    assert {change["field"] for change in newest["changes"]} <= {"title", "tags", "updatedAt", "updatedBy"}
    await page.locator("#notices").get_by_role("button", name="Undo").click()
    await expect(page.locator("#notices")).to_contain_text("Reverted.")
    assert (await editor.get(TRAVEL)).json["title"] == before["title"]


async def test_every_error_is_shown_at_its_field_and_leaving_with_edits_asks(app: App, open_studio: Open) -> None:
    page = await open_studio(await new_editor(app, make_videos(6)), PHONE)
    await tab(page, "Videos")
    box = await edit_travel(page)
    title, link = box.get_by_label("Title"), box.get_by_label("Playback link")
    await title.fill("")
    await link.fill("ftp://cdn.example/a")
    await box.get_by_label("Captions").fill("none")
    await box.get_by_role("button", name="Save", exact=True).click()
    await expect(box.locator("[data-field=captions] .fault")).to_contain_text("Captions must be valid JSON")
    await box.get_by_label("Captions").fill("")
    await box.get_by_role("button", name="Save", exact=True).click()
    await expect(box.locator("[data-field=title] .fault")).to_contain_text("Title must not be empty")
    await expect(box.locator("[data-field=playbackUrl] .fault")).to_contain_text("Playback link")
    await expect(title).to_be_focused()
    await expect(link).to_have_attribute("aria-invalid", "true")

    question = page.get_by_role("dialog", name="Discard your changes?")
    for _ in range(2):
        await page.keyboard.press("Escape")
        await question.get_by_role("button", name="Keep editing").click()
        await expect(link).to_have_value("ftp://cdn.example/a")
    await page.keyboard.press("Escape")
    await question.get_by_role("button", name="Discard changes").click()
    await expect(box).to_have_count(0)

    await tab(page, "Settings")
    await page.get_by_label("Videos a page").fill("7")
    await page.get_by_role("link", name="Rules").click()
    await question.get_by_role("button", name="Keep editing").click()
    await expect(page.get_by_label("Videos a page")).to_have_value("7")
    await page.get_by_role("link", name="Rules").click()
    await question.get_by_role("button", name="Discard changes").click()
    await expect(page.get_by_role("heading", name="Rules")).to_be_visible()


async def test_conflict_keeps_both_versions_and_an_expired_key_loses_no_input(app: App, open_studio: Open) -> None:
    editor = await new_editor(app, make_videos(6))
    ops = editor.with_key(app.ops_key)
    page = await open_studio(editor, DESKTOP)
    await tab(page, "Videos")
    box = await edit_travel(page)
    await editor.change("PATCH", TRAVEL, {"title": "Their value", "mainTag": "sea", "creatorId": "anna"})
    await box.get_by_label("Title").fill("Mine")
    await box.get_by_label("Language").fill("he")
    await box.get_by_role("button", name="Save", exact=True).click()
    await expect(box.get_by_role("alert")).to_contain_text("Somebody else saved a change")
    await box.get_by_role("button", name="Reload and keep my changes").click()
    await expect(box.get_by_label("Category")).to_have_value("sea")
    await expect(box.get_by_label("Title")).to_have_value("Mine")
    await expect(box.locator("[data-field=title] .fault")).to_contain_text("Their value")

    # The key is revoked while the dialog is open.
    [key] = [each for each in (await ops.get("keys")).json["keys"] if each["name"] == "Anna"]
    assert (await ops.call("DELETE", f"keys/{key['id']}")).status == 204
    await editor.seen()
    await box.get_by_role("button", name="Save", exact=True).click()
    again = page.get_by_role("dialog", name="Sign in again")
    await expect(again).to_contain_text("Your edits stay on this page")
    await again.get_by_label("Key").fill("not-a-key-of-anybody")
    await again.get_by_role("button", name="Sign in").click()
    await expect(again.get_by_role("alert")).to_contain_text("Wrong key")
    fresh = secrets.token_urlsafe(24)
    await app.save_key(editor.tenant_id, fresh, "cms", name="Anna again")
    await again.get_by_label("Key").fill(fresh)
    await again.get_by_role("button", name="Sign in").click()
    await expect(box).to_have_count(0)
    after = (await editor.with_key(fresh).get(TRAVEL)).json
    assert [after[name] for name in ("title", "language", "mainTag", "creatorId")] == ["Mine", "he", "sea", "anna"]


async def test_playlist_names_of_any_script_get_a_free_id(app: App, open_studio: Open) -> None:
    editor = await new_editor(app, make_videos(3))
    page = await open_studio(editor, DESKTOP)
    await tab(page, "Playlists")
    for name in ("Зима", "Лето", "חורף", "Café noir"):
        await page.get_by_role("button", name="New playlist").click()
        box = page.get_by_role("dialog")
        await box.get_by_label("Name").fill(name)
        await save(box)
    made = (await editor.get("playlists")).json["playlists"]
    assert {each["name"]: each["id"] for each in made} == {
        "Зима": "playlist",
        "Лето": "playlist-2",
        "חורף": "playlist-3",
        "Café noir": "cafe-noir",
    }


async def choose(page: Page, file: Path) -> None:
    async with page.expect_file_chooser() as chooser:
        await page.get_by_label("File").click()
    await (await chooser.value).set_files(file)


async def test_import_file_is_previewed_mapped_and_read_again_after_a_repair(
    app: App, open_studio: Open, tmp_path: Path
) -> None:
    editor = await new_editor(app, make_videos(3))
    page = await open_studio(editor, DESKTOP)
    await tab(page, "Videos")
    await page.get_by_role("button", name="Import", exact=True).click()
    box = page.get_by_role("dialog", name="Import videos")
    async with page.expect_download() as download:
        await box.get_by_role("link", name="Download a template").click()
    template = Path(await (await download.value).path()).read_bytes()
    [filled] = read_table(template, VIDEO_FILE.columns)
    assert (filled.values["tags"], filled.faults) == (["home", "core"], ())

    # The same file name, chosen again after a repair.
    file = tmp_path / "videos.csv"
    head = "id,title,playbackUrl,mainTag,durationSeconds,maturityRating\n"
    for rating, word in (("XXX", "rejected"), ("PG", "created")):
        file.write_text(f"{head}vid_new,New,https://cdn.example/new.m3u8,travel,30,{rating}\n")
        await choose(page, file)
        await expect(box.locator(".report .chip").first).to_contain_text(word)
    assert (await editor.get("videos/vid_new")).json["title"] == "New"

    # Unknown column headings: the form asks for their meaning, and rows have the sheet's numbers.
    file.write_text('Id;Headline;Remark\n\nvid_new;"Two\nlines";a\nvid_none;Nothing;b\n')
    await choose(page, file)
    await expect(box.locator("[data-row]").first).to_contain_text("vid_new")
    assert await box.locator("[data-row]").evaluate_all("all => all.map(each => each.dataset.row)") == ["3", "4"]
    await expect(box.get_by_label("Headline means")).to_have_value("title")
    await box.get_by_label("Remark means").select_option("title")
    await expect(box.get_by_role("alert")).to_contain_text("Two columns are title")
    await box.get_by_label("Remark means").select_option("Leave out")
    await box.get_by_role("button", name="Import 2 rows").click()
    await expect(box.locator(".report")).to_contain_text("1 updated")
    await expect(box.locator(".report")).to_contain_text("Row 4: ")
    assert (await editor.get("videos/vid_new")).json["title"].split() == ["Two", "lines"]

    # The page parses tables as the service does.
    columns = await page.evaluate(
        "import('/studio/import_table.js').then(all => [all.COLUMNS, all.PASSED_OVER].flat())"
    )
    assert sorted(columns) == sorted(VIDEO_FILE.columns.names)
    for text in ODD_TABLES:
        rows = await page.evaluate(ROWS, list(text.encode()))
        assert rows == [each.number for each in read_table(text.encode(), VIDEO_FILE.columns)], text


async def test_wrong_key_is_reported_before_any_call_and_invisible_characters_are_removed(
    app: App, open_studio: Open
) -> None:
    editor = await new_editor(app, make_videos(3))
    page = await open_studio(editor, DESKTOP)
    calls: list[str] = []
    page.on("request", lambda sent: calls.append(sent.url) if "/v1/" in sent.url else None)
    await page.get_by_role("button", name="Sign out").click()
    await page.get_by_label("Tenant").fill(editor.tenant_id)
    await page.get_by_label("Key").fill("secret-cms-kеy")  # a Cyrillic е
    await page.get_by_role("button", name="Sign in").click()
    alert = page.get_by_role("alert")
    await expect(alert).to_contain_text("Wrong key")
    await expect(alert).to_contain_text("(U+0435, Cyrillic), at place 13")
    assert calls == []
    await page.get_by_label("Key").fill("another-wrong-key")
    await page.get_by_role("button", name="Sign in").click()
    await expect(alert).to_contain_text("Wrong key: it is not valid")
    await page.get_by_label("Tenant").fill(f"\u00a0{editor.tenant_id}\u200b")
    await page.get_by_label("Key").fill(f"“{editor.key}\u200b”\u2060")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.locator("[data-video]").first).to_be_visible()
