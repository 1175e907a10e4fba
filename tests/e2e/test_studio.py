"""The Studio in a real browser: an editor's ten-minute tasks, checked in the feed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route, async_playwright, expect

from shared.adapters.tenant_directory import PLATFORM
from tests.cms.editor import Editor, new_editor
from tests.cms.test_learned_models import AUTO, store, version
from tests.cms.test_learning_page import REPORT, measured
from tests.served_app import App, eventually, make_videos
from tests.skip_reasons import leave_out

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATIENCE_MS = 20_000
expect.set_options(timeout=PATIENCE_MS)  # a busy machine is slow
CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
FOLLOWS_SECONDS = 15.0
DESKTOP, PHONE = (1440, 900), (390, 844)

MEDIA_HOST = "cdn.example"

Open = Callable[..., Awaitable[Page]]
Answers = Callable[[Route], Awaitable[None]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Browser]:
    """One browser for the module."""
    if not CHROMIUM.exists():
        leave_out("the Studio needs Chromium: apt-get install chromium, or name one in CHROMIUM")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def open_studio(app: App, chromium: Browser) -> AsyncIterator[Open]:
    """Sign in with an editor's key, each time in a new browser profile. `media` answers for `MEDIA_HOST`.

    The test fails on any error of the page and on any other host it asks.
    """
    faults: list[str] = []
    contexts = []

    async def sign_in(editor: Editor, size: tuple[int, int], media: Answers | None = None) -> Page:
        context = await chromium.new_context(viewport={"width": size[0], "height": size[1]}, timezone_id="UTC")
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        allowed = (app.url, "data:", *([f"https://{MEDIA_HOST}/"] if media else []))
        if media:
            await context.route(f"https://{MEDIA_HOST}/**", media)
        page = await context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda sent: faults.append(sent.url) if not sent.url.startswith(allowed) else 0)
        page.on(
            "console",
            lambda said: faults.append(said.text) if said.type == "error" and "status of 4" not in said.text else 0,
        )
        await page.goto(f"{app.url}/studio")
        await page.get_by_label("Tenant").fill(editor.tenant_id)
        await page.get_by_label("Key").fill(editor.key)
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.locator("[data-video], [data-live]").first).to_be_visible()
        return page

    yield sign_in
    for context in contexts:
        await context.close()
    assert faults == []


async def shown(page: Page) -> list[str]:
    """Return the videos in the phone preview, in order."""
    return await page.locator("#feed [data-video]").evaluate_all("all => all.map(each => each.dataset.video)")


async def with_history(app: App) -> Editor:
    """A tenant whose user likes fitness."""
    editor = await new_editor(app, make_videos(45), feature_flags={"exploration": False})
    events = [
        {"type": "video_view", "videoId": f"vid_fitness_{n}", "timestamp": app.now_ms(300), "watchTimeMs": 29_000}
        for n in range(1, 7)
    ]
    await editor.client.post(events)
    await app.folded()
    return editor


async def test_editor_changes_a_weight_takes_a_video_down_and_reverts_both(app: App, open_studio: Open) -> None:
    editor = await with_history(app)
    client = editor.client
    page = await open_studio(editor, DESKTOP)
    await expect(page.locator("#switch")).to_have_text("Personalization is on")

    # The preview of a real user is the feed the SDK gets.
    await page.get_by_text("A real user").click()
    await page.get_by_label("User hash").fill(client.user)
    await expect(page.locator("#mode")).to_contain_text("Personal feed")
    before = (await client.feed()).ids

    async def preview_is_the_feed() -> bool:
        return await shown(page) == before

    await eventually(preview_is_the_feed)
    assert "fitness" in before[0]

    # Change a weight: positions change in the preview only.
    await page.locator("[data-feature=recent_category]").fill("-2")
    await expect(page.locator("#draft-summary")).to_contain_text("1 weight changed")
    await expect(page.locator("#feed .mark").first).to_be_visible()
    drafted = await shown(page)
    assert drafted != before
    assert (await client.feed()).ids == before

    # Save: the SDK's next feed follows.
    await page.get_by_role("button", name="Save", exact=True).click()
    await expect(page.locator("#draft-bar")).to_be_hidden()

    async def follows(wanted: list[str]) -> bool:
        return (await client.feed()).ids == wanted

    async with asyncio.timeout(FOLLOWS_SECONDS):
        await eventually(lambda: follows(drafted), FOLLOWS_SECONDS)

    # Take a video down while paging: it disappears from every page.
    first = await client.feed(limit=10)
    walk = [page_of_walk.ids for page_of_walk in await client.walk(limit=10)]
    gone = walk[1][0]
    await page.get_by_role("link", name="Videos").click()
    await page.get_by_label("Search").fill(gone)
    row = page.locator(f'tr[data-video="{gone}"]')
    await row.get_by_role("button", name="Take down").click()
    await page.get_by_role("dialog").get_by_role("button", name="Take down").click()
    await expect(row).to_contain_text("taken down")
    rest: list[str] = []
    cursor = first.json["nextCursor"]
    while cursor:
        following = await client.feed(limit=10, cursor=cursor)
        rest += following.ids
        cursor = following.json["nextCursor"]
    assert gone not in rest
    assert gone not in [id for fresh in await client.walk() for id in fresh.ids]

    # Revert both from the history: it shows who changed what, and one click restores the video or reverts a change.
    await page.get_by_role("link", name="History").click()
    entries = page.locator("[data-entry]")
    await expect(entries.nth(0)).to_contain_text(f"takedown · video {gone}")
    await expect(entries.nth(0)).to_contain_text("Anna")
    await expect(entries.nth(1)).to_contain_text("update · configuration")
    await entries.nth(0).get_by_role("button", name="Restore").click()
    await expect(entries.nth(0)).to_contain_text("restore · video")

    async def is_back() -> bool:
        return gone in [id for fresh in await client.walk() for id in fresh.ids]

    await eventually(is_back, FOLLOWS_SECONDS)
    await page.locator("[data-entry]", has_text="update · configuration").get_by_role("button").click()
    await expect(entries.nth(0)).to_contain_text("revert · configuration")
    await eventually(lambda: follows(before), FOLLOWS_SECONDS)


async def test_rule_is_previewed_published_and_disabled_by_keyboard_alone(app: App, open_studio: Open) -> None:
    editor = await new_editor(app, make_videos(20))
    page = await open_studio(editor, PHONE)
    await page.get_by_role("link", name="Rules").focus()
    await page.keyboard.press("Enter")
    await page.get_by_role("button", name="New rule").focus()
    await page.keyboard.press("Enter")
    await page.get_by_label("Name", exact=True).focus()
    await page.keyboard.type("Travel on top")
    await page.get_by_label("What it does").select_option("pin")
    await page.get_by_label("Video ids").focus()
    await page.keyboard.type("vid_travel_6")
    await page.get_by_role("button", name="Preview the effect").focus()
    await page.keyboard.press("Enter")
    await expect(page.locator(".effect")).to_contain_text("Matches 1 video.")
    assert (await editor.client.feed()).ids[0] != "vid_travel_6"
    await page.get_by_role("button", name="Publish", exact=True).focus()
    await page.keyboard.press("Enter")
    await expect(page.locator(".rule-card")).to_contain_text("Travel on top")
    assert (await editor.client.feed()).ids[0] == "vid_travel_6"
    await page.get_by_role("switch", name="On").focus()
    await page.keyboard.press("Space")
    await expect(page.locator(".rule-card .chip")).to_have_text("off")
    assert (await editor.client.feed()).ids[0] != "vid_travel_6"


async def test_rule_that_cannot_be_saved_shows_the_reason_at_its_field(app: App, open_studio: Open) -> None:
    editor = await new_editor(app, make_videos(6))
    page = await open_studio(editor, DESKTOP)
    await page.get_by_role("link", name="Rules").click()
    await page.get_by_role("button", name="New rule").click()
    await page.get_by_role("button", name="Publish", exact=True).click()
    await expect(page.get_by_role("alert")).to_contain_text("Name is missing.")


async def test_showing_stronger_ratings_asks_for_confirmation(app: App, open_studio: Open) -> None:
    editor = await new_editor(app, make_videos(6))
    page = await open_studio(editor, DESKTOP)
    await page.get_by_role("link", name="Settings").click()
    await page.get_by_label("Strongest rating").select_option("R")
    await page.get_by_role("button", name="Save", exact=True).click()
    await expect(page.get_by_role("dialog")).to_contain_text("would see up to R instead of PG13")
    await page.get_by_role("dialog").get_by_role("button", name="Yes, show them").click()
    await expect(page.locator("#notices")).to_contain_text("Saved")
    assert (await editor.get("configuration")).json["maturityPolicy"] == "R"


async def test_nothing_is_wider_than_a_phone(app: App, open_studio: Open) -> None:
    editor = await new_editor(app, make_videos(20))
    page = await open_studio(editor, PHONE)
    for tab in ("Preview", "Rules", "Videos", "Playlists", "Settings", "Served page", "History"):
        await page.get_by_role("link", name=tab).click()
        await expect(page.get_by_role("region", name=tab)).to_be_visible()
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), tab


async def test_wrong_key_is_reported_and_an_app_key_does_not_open_the_studio(app: App, open_studio: Open) -> None:
    editor = await new_editor(app, make_videos(3))
    page = await open_studio(editor, DESKTOP)
    await page.get_by_role("button", name="Sign out").click()
    for key, message in ((editor.client.key, "it needs the scope cms"), ("wrong-key-0123", "Wrong key")):
        await page.get_by_label("Tenant").fill(editor.tenant_id)
        await page.get_by_label("Key").fill(key)
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("alert")).to_contain_text(message)


async def test_content_of_others_is_shown_as_text_and_never_run(app: App, open_studio: Open) -> None:
    editor = await new_editor(app, make_videos(3))
    evil = '<img src=x onerror="document.title=1">'
    await editor.change("PATCH", "videos/vid_travel_1", {"title": evil})
    page = await open_studio(editor, DESKTOP)
    await expect(page.locator('[data-video="vid_travel_1"] b')).to_have_text(evil)
    assert await page.title() == "Preview · Feed Studio"


async def test_player_media_is_edited_and_other_fields_stay(app: App, open_studio: Open) -> None:
    editor = await new_editor(app, make_videos(3))
    media = {
        "renditions": [{"url": "https://cdn.example/720.m3u8", "height": 1280, "bitrate": 2_500_000}],
        "captions": [{"url": "https://cdn.example/en.vtt", "language": "en"}],
        "metadata": {"sku": "A-12", "price": 9.5},
        "width": 720,
    }
    await editor.change("PATCH", "videos/vid_fitness_1", media)
    page = await open_studio(editor, DESKTOP)
    await page.get_by_role("link", name="Videos").click()
    row = page.locator('tr[data-video="vid_fitness_1"]')

    async def save(**fields: str) -> dict[str, Any]:
        await row.locator(".link").click()
        for label, value in fields.items():
            await page.get_by_label(label.replace("_", " "), exact=True).fill(value)
        await page.get_by_role("dialog").get_by_role("button", name="Save", exact=True).click()
        await expect(page.get_by_role("dialog")).to_have_count(0)
        stored: dict[str, Any] = (await editor.get("videos/vid_fitness_1")).json
        return stored

    after = await save(Title="Another")
    assert {name: after[name] for name in media} == media
    after = await save(
        Poster_link="https://cdn.example/p.jpg",
        Metadata='{"sku": "B-1"}',
        Button_label="Buy",
        Button_link="https://shop.example/",
    )
    assert (after["posterUrl"], after["metadata"]) == ("https://cdn.example/p.jpg", {"sku": "B-1"})
    assert after["action"] == {"label": "Buy", "url": "https://shop.example/"}
    assert (after["renditions"], after["captions"], after["width"]) == (media["renditions"], media["captions"], 720)
    after = await save(Poster_link="", Button_label="", Button_link="", Metadata="")
    assert (after["posterUrl"], after["action"], after["metadata"]) == (None, None, {})
    await row.locator(".link").click()
    await page.get_by_label("Captions", exact=True).fill("en: no JSON")
    await page.get_by_role("dialog").get_by_role("button", name="Save", exact=True).click()
    await expect(page.get_by_role("alert")).to_contain_text("Captions must be valid JSON")


async def test_an_operator_creates_a_tenant_and_sees_its_first_feed(app: App, open_studio: Open) -> None:
    editor = await new_editor(app)
    operator = replace(editor.with_key(app.ops_key), client=replace(editor.client, tenant_id=PLATFORM))
    page = await open_studio(operator, DESKTOP)
    await page.get_by_role("link", name="Tenants").click()
    id = f"studio-{editor.tenant_id}"
    await page.get_by_label("Id").fill(id)
    await page.get_by_label("Name", exact=True).fill("The News")
    await page.get_by_role("button", name="Create").click()
    keys = page.locator("#first-keys")
    await expect(keys).to_contain_text("shown only once")
    app_key = await keys.locator("pre").first.inner_text()
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await keys.get_by_role("button", name="Copy: The app's key").click()
    await expect(page.locator("#notices")).to_contain_text("Copied.")
    assert await page.evaluate("navigator.clipboard.readText()") == app_key

    row = page.locator(f'[data-tenant="{id}"]')
    await row.get_by_role("button", name="Show setup").click()
    await expect(row.locator(".facts")).to_contain_text("First feednot yet")
    client = replace(editor.client, tenant_id=id).with_key(app_key)
    assert (await client.feed()).status == 200
    await page.reload()
    await expect(keys).to_have_count(0)
    await row.get_by_role("button", name="Show setup").click()
    await expect(row.locator(".facts")).to_contain_text("First eventnot yet")
    await expect(row.locator(".facts")).not_to_contain_text("First feednot yet")
    assert app_key not in await page.content()

    await row.get_by_role("button", name="Remove…").click()
    box = page.get_by_role("dialog")
    await box.get_by_label("to confirm").fill("another")
    await box.get_by_role("button", name="Remove for good").click()
    await expect(page.locator("#notices")).to_contain_text("set confirm to the tenant's id")
    await box.get_by_label("to confirm").fill(id)
    await box.get_by_role("button", name="Remove for good").click()
    await expect(row).to_have_count(0)
    assert (await client.feed()).status == 401


async def test_editor_reads_learning_results_and_promotes_a_suggestion(app: App, open_studio: Open) -> None:
    editor = await new_editor(app, make_videos(20), auto_model="suggest")
    suggested = replace(AUTO, popularity=None, personal=None, suggested="night-1", report=REPORT)
    await store(editor, measured(suggested, -0.1), version())
    page = await open_studio(editor, PHONE)
    await page.get_by_role("link", name="Learning").click()
    learning = page.locator(".cards.learning")
    await expect(learning.locator("[data-by]")).to_have_text("As shipped")
    await expect(learning).to_contain_text("+21.0 % (between +10.0 % and +33.0 %: surely more)")
    await expect(learning).to_contain_text("+5.0 % (between −1.0 % and +12.0 %: it could be chance)")
    await expect(learning.locator("[data-verdict]")).to_have_text("Its users watch more than the holdout.")
    await expect(learning.locator("table.days")).to_contain_text("11 min 0 s")
    await learning.get_by_role("button", name="Promote").click()
    await page.get_by_role("dialog").get_by_role("button", name="Promote").click()
    await expect(learning.locator("[data-by]")).to_have_text("Promoted by hand")
    assert (await editor.client.feed()).json["modelVersion"] == "night-1-popularity"


async def test_unreadable_learning_results_are_reported_and_retried(app: App, open_studio: Open) -> None:
    editor = await new_editor(app, make_videos(20))
    page = await open_studio(editor, DESKTOP)

    async def refuse(route: Route) -> None:
        await route.fulfill(status=429, json={"code": "busy", "detail": "Too many requests. Try again in a second."})

    await page.route("**/v1/cms/learning", refuse)
    await page.get_by_role("link", name="Learning").click()
    await expect(page.locator(".cards.learning [role=alert]")).to_contain_text("Too many requests.")
    await page.unroute("**/v1/cms/learning")
    await page.get_by_role("button", name="Try again").click()
    await expect(page.locator(".cards.learning")).to_contain_text("No model has been trained for this tenant yet.")


async def test_a_served_page_is_explained_by_its_id_and_user(app: App, open_studio: Open) -> None:
    editor = await with_history(app)
    served = (await editor.client.feed()).json
    page = await open_studio(editor, PHONE)
    await page.get_by_role("link", name="Served page").click()
    await page.get_by_label("Feed request id").fill(served["feedRequestId"])
    await page.get_by_label("User hash").fill("0" * 64)
    await page.get_by_role("button", name="Explain").click()
    answer = page.locator("#served-answer")
    await expect(answer.get_by_role("alert")).to_contain_text("has not served this feedRequestId")
    await page.get_by_label("User hash").fill(editor.client.user)
    await page.get_by_role("button", name="Explain").click()
    places = answer.locator("[data-place]")
    await expect(places).to_have_count(len(served["items"]))
    await expect(places.first).to_contain_text(served["items"][0]["videoId"])
    await expect(answer).to_contain_text(served["modelVersion"])
    await expect(answer.locator("[data-untold=scores]")).to_be_visible()
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
