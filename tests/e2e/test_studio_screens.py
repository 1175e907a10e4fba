"""One task on each Studio screen of experiments, models, feeds, series, imports and keys."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from playwright.async_api import Page, expect

from shared.adapters.documents.port import TENANTS, Upsert
from shared.adapters.tenant_directory import PLATFORM
from tests.cms.editor import VIDEO, Editor, new_editor
from tests.e2e.test_front_door import AXE
from tests.e2e.test_studio import DESKTOP, PHONE, Open, chromium, open_studio
from tests.served_app import App, make_videos
from tests.skip_reasons import leave_out

__all__ = ["chromium", "open_studio"]

pytestmark = pytest.mark.asyncio(loop_scope="module")

MEASURES = ("clickThrough", "watchSeconds", "completion", "approval", "skip")
DAY_SECONDS = 86_400
EMPTY_MODEL = '{"type": "linear", "version": "calm", "weights": {"quality": 2}}'
SCREENS = ("Experiments", "Models", "Feeds", "Series", "Imports", "Keys")


async def tab(page: Page, name: str) -> None:
    await page.get_by_role("link", name=name, exact=True).click()
    await expect(page.get_by_role("heading", level=1, name=name)).to_be_visible()


async def agree(page: Page, name: str) -> None:
    await page.get_by_role("dialog").get_by_role("button", name=name, exact=True).click()
    await expect(page.get_by_role("dialog")).to_have_count(0)


def reported(id: str, at: float, interval: list[float]) -> dict[str, Any]:
    """An experiment report of two arms as the nightly job stores it."""
    low, high = interval

    def measures(control: bool) -> dict[str, Any]:
        against = {"lift": (low + high) / 2, "interval": interval, "clear": not low <= 0 <= high}
        none = dict.fromkeys(("lift", "interval", "clear"))
        return {name: {"meaning": f"{name} of it", "value": 9.5, **(none if control else against)} for name in MEASURES}

    arms = [
        {"number": at + 1, "name": name, "percent": 50, "users": 400, "shown": 9_000, "measures": measures(at == 0)}
        for at, name in enumerate(("as now", "new"))
    ]
    report = {"experiment": id, "name": "Calm", "status": "running", "events": 12_000, "sampleOfUsers": 1.0}
    report |= {"usersInTwoArms": 3, "sampleRatio": {"pValue": 0.4, "ok": True}, "control": "as now", "at": int(at)}
    return {"id": f"experiment-report:{id}", "kind": "experiment-report", "report": {**report, "arms": arms}}


async def test_experiment_is_created_started_read_and_stopped(app: App, open_studio: Open) -> None:
    editor = await new_editor(app, make_videos(6))
    page = await open_studio(editor, DESKTOP)
    await tab(page, "Experiments")
    await page.get_by_role("button", name="New experiment").click()
    await page.get_by_label("Name", exact=True).fill("Calm")
    await page.get_by_label("Weights that differ").nth(1).fill("quality: two")
    await page.get_by_role("button", name="Save", exact=True).click()
    await expect(page.get_by_role("alert")).to_contain_text("“quality: two” is not a name and a number")
    await page.get_by_label("Weights that differ").nth(1).fill("quality: 2")
    await page.get_by_role("button", name="Save", exact=True).click()
    await expect(page.get_by_role("dialog")).to_have_count(0)
    card = page.locator("[data-experiment=calm]")
    await expect(card).to_contain_text("new: 50 % · quality: 2")
    await card.get_by_role("button", name="Start").click()
    await agree(page, "Start")
    await card.get_by_role("button", name="Report").click()
    await expect(card).to_contain_text("No report yet")

    for interval, says in (([-0.2, 0.3], "Not enough data yet: about"), ([0.1, 0.3], "Enough data: new made a clear")):
        document = reported("calm", app.clock.now() + 7 * DAY_SECONDS, interval)
        await app.documents.write(TENANTS, editor.tenant_id, [Upsert(document)])
        await card.get_by_role("button", name="Report").click()
        await expect(card.locator("[data-days-left]")).to_contain_text(says)
    await expect(card.locator("[data-measure=watchSeconds]")).to_contain_text("+20.0 % (+10.0 % to +30.0 %, clear)")
    await card.get_by_role("button", name="Stop").click()
    await agree(page, "Stop")
    await expect(card).to_contain_text("Stopped")


async def test_model_is_uploaded_compared_promoted_and_rolled_back(app: App, open_studio: Open) -> None:
    editor = await new_editor(app, make_videos(6))
    page = await open_studio(editor, DESKTOP)
    await tab(page, "Models")
    await page.get_by_role("button", name="New version").click()
    await page.get_by_label("Model as JSON").fill("quality: 2")
    await page.get_by_role("button", name="Save", exact=True).click()
    await expect(page.get_by_role("alert")).to_contain_text("not valid JSON")
    await page.get_by_label("Model as JSON").fill(EMPTY_MODEL)
    await page.get_by_role("button", name="Save", exact=True).click()
    row = page.locator("[data-model=calm]")
    await expect(row).to_contain_text("stored")
    await page.get_by_label("Second version").select_option("calm")
    await expect(page.locator("#comparison [data-feature=quality]")).to_contain_text("2.000")
    await row.get_by_role("button", name="Promote").click()
    await agree(page, "Promote")
    await expect(row).to_contain_text("live")
    assert (await editor.get("models")).json["live"] == "calm"
    await page.get_by_role("button", name="Roll back").click()
    await agree(page, "Roll back")
    await expect(row).to_contain_text("stored")
    await row.get_by_role("button", name="Delete").click()
    await agree(page, "Delete")
    await expect(row).to_have_count(0)


async def test_feed_is_drafted_published_disabled_and_deleted(app: App, open_studio: Open) -> None:
    editor = await new_editor(app, make_videos(12))
    page = await open_studio(editor, PHONE)
    await tab(page, "Feeds")
    await page.get_by_role("button", name="New feed").click()
    await page.get_by_label("Id", exact=True).fill("travel")
    await page.get_by_label("Title", exact=True).fill("Travel")
    await page.get_by_label("Categories").fill("travel,")
    await page.get_by_role("button", name="Save as draft").click()
    card = page.locator("[data-feed=travel]")
    await expect(card).to_contain_text("There is an unpublished draft")
    await card.get_by_role("button", name="Publish draft").click()
    await expect(card).to_contain_text("live")
    await editor.post("experiments", {"id": "calm", "name": "Calm", "feeds": ["travel"], "arms": [
        {"name": "now", "percent": 50}, {"name": "new", "percent": 50, "weights": {"quality": 2}}]})  # fmt: skip
    await card.get_by_role("button", name="Edit").click()
    await page.get_by_label("Videos a page").fill("3")
    await page.get_by_role("dialog").get_by_role("button", name="Publish", exact=True).click()
    await expect(card).to_contain_text("Experiment: Calm (draft)")
    stored = (await editor.get("feeds/travel")).json
    assert (stored["defaultLimit"], stored["base"]["categories"]) == (3, ["travel"])
    await card.get_by_role("switch", name="On").focus()
    await page.keyboard.press("Space")
    await expect(card.locator(".chip").first).to_have_text("off")
    await card.get_by_role("button", name="Delete").click()
    await agree(page, "Delete")
    await expect(card).to_have_count(0)


async def test_series_is_shown_in_order_and_a_video_removed(app: App, open_studio: Open) -> None:
    editor = await new_editor(app, make_videos(6))
    for id, episode in (("vid_travel_1", 10), ("vid_fitness_1", 2)):
        await editor.change("PATCH", f"videos/{id}", {"seriesId": "garden", "season": 1, "episode": episode})
    await editor.seen()
    page = await open_studio(editor, DESKTOP)
    await tab(page, "Series")
    rows = page.locator("tr[data-video]")
    await expect(rows).to_have_count(2)
    assert await rows.evaluate_all("all => all.map(each => each.dataset.video)") == ["vid_fitness_1", "vid_travel_1"]
    await rows.first.get_by_role("button", name="Remove").click()
    await expect(rows).to_have_count(1)
    assert (await editor.get("videos/vid_fitness_1")).json["seriesId"] is None


async def test_import_shows_progress_and_its_refused_rows(app: App, open_studio: Open) -> None:
    editor = await new_editor(app, make_videos(3))
    rows = [{"id": f"new_{n}", **VIDEO} for n in range(1_001)]
    rows[500]["title"] = ""
    assert (await editor.post("imports", {"videos": rows})).status == 202
    page = await open_studio(editor, DESKTOP)
    await tab(page, "Imports")
    videos = page.get_by_role("region", name="Videos")
    await expect(videos.locator("[data-job] .chip").first).to_have_text("done", timeout=60_000)
    await videos.get_by_text("Why 1 rows were refused").click()
    async with page.expect_download() as downloading:
        await videos.get_by_role("link", name="Download as CSV").click()
    text = (await (await downloading.value).path()).read_text(encoding="utf-8")
    assert text.splitlines()[1].startswith('"501","new_500","title"')
    await page.get_by_label("Send a file of past events").set_input_files(
        {"name": "past.jsonl", "mimeType": "application/x-ndjson", "buffer": b'{"user": "somebody"}\n'}
    )
    await expect(page.get_by_role("region", name="Past events").locator("[data-job]")).to_contain_text("1 rows")


async def test_operator_creates_rotates_and_revokes_keys_and_protects_a_tenant(app: App, open_studio: Open) -> None:
    editor = (await new_editor(app, make_videos(3))).with_key(app.ops_key)
    page = await open_studio(editor, DESKTOP)
    await tab(page, "Keys")
    await page.get_by_role("button", name="New key").click()
    await page.get_by_label("Who uses it").fill("Berta")
    await page.get_by_role("button", name="Create key").click()
    made = page.get_by_role("dialog", name="The key of Berta")
    key = await made.locator("pre").inner_text()
    assert (await editor.with_key(key).get("configuration")).status == 200
    await made.get_by_role("button", name="Close").click()
    row = page.locator("[data-key=Berta]")
    await row.get_by_role("button", name="Replace").click()
    await page.get_by_label("old key works for").fill("0")
    await page.get_by_role("dialog").get_by_role("button", name="Replace").click()
    await page.get_by_role("dialog", name="The new key of Berta").get_by_role("button", name="Close").click()
    await expect(row).to_have_count(2)
    await row.filter(has_text="active").get_by_role("button", name="Revoke").click()
    await agree(page, "Revoke")
    await expect(row.filter(has_text="active")).to_have_count(0)

    await page.get_by_role("button", name="Add a public key").click()
    await page.get_by_label("Key id").fill("2026")
    await page.get_by_label("Public key", exact=True).fill("no key")
    await page.get_by_role("dialog").get_by_role("button", name="Add").click()
    await expect(page.get_by_role("alert")).to_contain_text("must be a public key in PEM")
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Discard changes").click()
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await page.get_by_label("Feed requests a second").fill("50")
    await page.get_by_role("button", name="Save", exact=True).click()
    await expect(page.locator("#notices")).to_contain_text("Saved")
    assert (await editor.get("configuration")).json["rateLimits"]["feedRequestsPerSecond"] == 50


async def test_keys_page_requires_permission(app: App, open_studio: Open) -> None:
    page = await open_studio(await new_editor(app, make_videos(3)), DESKTOP)
    await expect(page.get_by_role("link", name="Keys", exact=True)).to_have_count(0)
    operator = (await new_editor(app)).with_key(app.ops_key)
    page = await open_studio(replace(operator, client=replace(operator.client, tenant_id=PLATFORM)), DESKTOP)
    await tab(page, "Keys")
    await expect(page.locator("[data-key]").first).to_be_visible()
    await expect(page.get_by_role("heading", name="Protection")).to_have_count(0)


async def filled(app: App) -> Editor:
    """A tenant that has something on every screen."""
    editor = (await new_editor(app, make_videos(6))).with_key(app.ops_key)
    arms = [{"name": "as now", "percent": 50}, {"name": "new", "percent": 50, "weights": {"quality": 2}}]
    await editor.post("experiments", {"id": "calm", "name": "Calm", "arms": arms})
    await editor.post("experiments/calm/start")
    await app.documents.write(TENANTS, editor.tenant_id, [Upsert(reported("calm", app.clock.now() + 9e5, [-0.1, 0.2]))])
    await editor.post("models", {"type": "linear", "version": "calm", "weights": {"quality": 2}})
    await editor.post("feeds", {"id": "travel", "title": "Travel", "base": {"categories": ["travel"]}})
    await editor.change("PATCH", "videos/vid_travel_1", {"seriesId": "garden", "season": 1})
    return editor


async def test_axe_finds_no_serious_problem_on_these_screens_when_full(app: App, open_studio: Open) -> None:
    if not AXE.exists():
        leave_out("the Studio's accessibility: `npm --prefix sdk/typescript ci` gets axe-core")
    page = await open_studio(await filled(app), PHONE)
    await page.evaluate(AXE.read_text(encoding="utf-8"))
    for name in SCREENS:
        await tab(page, name)
        if name == "Experiments":
            await page.get_by_role("button", name="Report").click()
            await expect(page.locator("[data-measure]").first).to_be_visible()
        for scheme in ("light", "dark"):
            await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            found = await page.evaluate("axe.run()")
            serious = [
                (each["id"], [node["html"] for node in each["nodes"][:3]])
                for each in found["violations"]
                if each["impact"] in ("serious", "critical")
            ]
            assert serious == [], (name, scheme)
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
