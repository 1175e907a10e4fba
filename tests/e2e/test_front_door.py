"""The start page in a real browser: a feed plays, becomes personal and explains why."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Page, async_playwright, expect

from infra.package import is_packaged
from local.demo import OPS_KEY
from local.front_door import FOLDER
from local.serving import Running, local_settings, running
from shared.adapters.flags.evaluation import PERSONALIZED_FEED
from shared.adapters.tenant_directory import PLATFORM
from tests.e2e.test_studio import CHROMIUM, DESKTOP, FLAGS, PHONE
from tests.served_app import ROOT
from tests.skip_reasons import leave_out

pytestmark = pytest.mark.asyncio(loop_scope="module")
AXE = ROOT / "sdk" / "typescript" / "node_modules" / "axe-core" / "axe.min.js"
PATIENCE_MS = 60_000
PATIENT = {"SIGNALS_BUDGET_MS": "250", "SHED_DELAY_MS": "60000", "REFUSE_DELAY_MS": "60000"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def machine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """The app as `make run` serves it."""
    folder = tmp_path_factory.mktemp("machine")
    settings = local_settings({**PATIENT, "DATA_FOLDER": str(folder), "FLAGS_FILE": str(folder / "flags.json")})
    async with running(settings, port=0, grace_seconds=0.1) as machine:
        yield machine


@pytest_asyncio.fixture(loop_scope="module")
async def page(machine: Running) -> AsyncIterator[Page]:
    """The start page in a wide window; the test fails on any error of the page and any request to another host."""
    if not CHROMIUM.exists():
        leave_out("the front door needs Chromium: apt-get install chromium, or name one in CHROMIUM")
    faults: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = await browser.new_page(viewport={"width": DESKTOP[0], "height": DESKTOP[1]})
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on(
            "request", lambda sent: faults.append(sent.url) if not sent.url.startswith((machine.url, "data:")) else 0
        )
        page.on(
            "console",
            lambda said: faults.append(said.text) if said.type == "error" and "status of 4" not in said.text else 0,
        )
        await page.goto(f"{machine.url}/")
        await expect(page.locator("[data-video]").first).to_be_visible(timeout=PATIENCE_MS)
        yield page
        await browser.close()
    assert faults == []


async def current(page: Page) -> str:
    """Return the video that plays."""
    await page.wait_for_function(
        "() => [...document.querySelectorAll('video')].some((each) => !each.paused && each.currentTime > 0.1)"
    )
    found: str = await page.evaluate(
        "[...document.querySelectorAll('video')].find((each) => !each.paused).closest('article').dataset.video"
    )
    return found


async def swipe(page: Page, key: str = "ArrowDown") -> str:
    """Go to the next video by keyboard."""
    before = await current(page)
    await page.keyboard.press(key)
    await page.wait_for_function(
        "(id) => [...document.querySelectorAll('video')].some((each) => !each.paused && each.currentTime > 0"
        " && each.closest('article').dataset.video !== id)",
        arg=before,
    )
    return await current(page)


async def test_clips_play_and_the_feed_becomes_personal(page: Page) -> None:
    mode = page.locator("#mode")
    await expect(mode).to_contain_text("Popular")
    first = await current(page)
    await page.locator(f'[data-video="{first}"]').get_by_role("button", name="Like").click()
    await page.wait_for_timeout(2_500)
    second = await swipe(page)
    assert second != first
    await page.locator(f'[data-video="{second}"]').get_by_role("button", name="Save", exact=True).click()
    await page.locator(f'[data-video="{second}"]').get_by_role("button", name="Not interested").click()
    await expect(page.locator("#belief")).to_contain_text("1 marked “Not interested”", timeout=PATIENCE_MS)
    await expect(page.locator("#belief meter").first).to_be_visible()
    await page.get_by_label("Personalization allowed", exact=True).uncheck()
    await expect(mode).to_contain_text("opted out", timeout=PATIENCE_MS)
    await expect(page.locator("#why")).to_contain_text("demand")
    await page.get_by_label("Personalization allowed", exact=True).check()
    await expect(mode).to_contain_text("Personalized, ranked by", timeout=PATIENCE_MS)
    await expect(page.locator("#why li").nth(1)).to_be_visible()
    third = await current(page)
    assert third not in (first, second), "they were seen"


async def test_kill_switch_viewer_and_app_choices_change_the_feed(page: Page) -> None:
    await current(page)
    await page.get_by_label("Personalization on (kill switch)").uncheck()
    await expect(page.locator("#mode")).to_contain_text("switched personalization off", timeout=PATIENCE_MS)
    await page.get_by_label("Personalization on (kill switch)").check()
    await page.get_by_label("Viewer").select_option("Dov")
    of_another = re.compile("Nothing yet|0 marked")  # the playing clip soon reports an event
    await expect(page.locator("#belief")).to_contain_text(of_another, timeout=PATIENCE_MS)
    await page.get_by_label("App").select_option("tenant_3")
    await current(page)
    await expect(page.locator("#mode")).to_contain_text("Too little is known", timeout=PATIENCE_MS)


async def serious(page: Page, size: tuple[int, int], name: str) -> list[str]:
    """Return axe's findings at that width, light and dark. Screenshots go where FRONT_DOOR_PICTURES says."""
    if not AXE.exists():
        leave_out("accessibility: `npm --prefix sdk/typescript ci` gets axe-core")
    await page.set_viewport_size({"width": size[0], "height": size[1]})
    await page.evaluate(AXE.read_text(encoding="utf-8"))
    found = []
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        violations = (await page.evaluate("axe.run()"))["violations"]
        found += [f"{scheme}: {each['id']}" for each in violations if each["impact"] in ("serious", "critical")]
        if pictures := os.environ.get("FRONT_DOOR_PICTURES"):
            await page.screenshot(path=Path(pictures) / f"{name}-{size[0]}-{scheme}.png", full_page=name != "front")
    return found


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
async def test_axe_finds_no_serious_accessibility_problem(page: Page, size: tuple[int, int]) -> None:
    await current(page)
    assert await serious(page, size, "front") == []


async def test_documentation_is_one_click_away(page: Page) -> None:
    await page.get_by_role("link", name="Documentation").click()
    await page.get_by_role("link", name="Design", exact=True).click()
    await expect(page.get_by_role("heading", name="Design", exact=True)).to_be_visible()
    assert await serious(page, PHONE, "handbook") == []


async def test_an_operator_switches_a_flag_on_the_live_page(page: Page, machine: Running) -> None:
    await page.goto(f"{machine.url}/studio")
    await page.get_by_label("Tenant").fill(PLATFORM)
    await page.get_by_label("Key").fill(OPS_KEY)
    await page.get_by_role("button", name="Sign in").click()
    flag = page.locator(f"[data-flag={PERSONALIZED_FEED}]")
    await expect(flag.locator(".chip")).to_have_text("on")
    page.once("dialog", lambda dialog: dialog.dismiss())
    await flag.get_by_role("button").click()
    await expect(flag.locator(".chip")).to_have_text("on")
    page.once("dialog", lambda dialog: dialog.accept())
    await flag.get_by_role("button").click()
    await expect(flag.locator(".chip")).to_have_text("off")
    assert machine.app.flags.state()[PERSONALIZED_FEED] is False
    await expect(page.locator("#attention")).to_contain_text("Personalization is switched off")
    await expect(flag.get_by_role("button")).to_be_focused()
    for size in (DESKTOP, PHONE):
        assert await serious(page, size, "live") == []
    await flag.get_by_role("button").click()
    await expect(flag.locator(".chip")).to_have_text("on")


async def test_page_loads_nothing_else_and_the_switch_requires_its_key(machine: Running) -> None:
    async with aiohttp.ClientSession(machine.url) as http:
        async with http.get("/") as answer:
            policy = answer.headers["Content-Security-Policy"]
            assert answer.status == 200
        assert "default-src 'none'" in policy
        assert "media-src 'self'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        for headers in ({}, {"X-Api-Key": "secret-api-key", "X-Tenant-Id": "tenant_1"}):
            async with http.post("/front/switch?on=false", headers=headers) as answer:
                assert answer.status in (400, 401, 403)
        for query, code in (("on=maybe", "invalid_enable"), ("on=true&flag=invented", "invalid_flag")):
            async with http.post(f"/front/switch?{query}", headers={"X-Api-Key": OPS_KEY}) as answer:
                assert (answer.status, (await answer.json())["code"]) == (400, code)
        foreign = {"X-Api-Key": OPS_KEY, "Origin": "https://elsewhere.example"}
        async with http.post("/front/switch?on=false", headers=foreign) as answer:
            assert answer.status == 403


async def test_a_story_is_posted_seen_by_another_viewer_and_answered(page: Page) -> None:
    await page.get_by_role("checkbox", name="Stories").check()
    await page.get_by_label("Story", exact=True).fill("Rain on the lake")
    row = page.locator("#row")
    await expect(row).to_contain_text("Nobody has posted yet")
    await page.get_by_role("button", name="Post (visible for a day)").click()
    await expect(row.get_by_role("button", name="Ana: 1 story")).to_be_visible()

    await page.get_by_label("Viewer").select_option("Ben")
    await row.get_by_role("button", name="Ana: 1 story, new").click()
    await expect(page.get_by_role("dialog")).to_contain_text("Rain on the lake")
    await page.get_by_role("button", name="🔥").click()
    await expect(page.get_by_role("dialog")).to_contain_text("Sent to Ana.")
    await page.evaluate(AXE.read_text())
    found = (await page.evaluate("axe.run()"))["violations"]
    assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == []
    await page.get_by_role("button", name="Close").click()
    await expect(row.get_by_role("button", name="Ana: 1 story", exact=True)).to_be_visible()

    await page.get_by_label("Viewer").select_option("Ana")
    await row.get_by_role("button", name="Ana: 1 story").click()
    await expect(page.get_by_role("dialog")).to_contain_text("Views: ")
    await expect(page.get_by_role("button", name="🔥")).to_have_count(0)
    await page.get_by_role("button", name="Close").click()

    await page.get_by_role("checkbox", name="Stories").uncheck()
    await expect(page.locator("#stories")).to_be_hidden()


async def test_page_without_the_demo_has_no_keys(tmp_path: Path) -> None:
    settings = local_settings({"DATA_FOLDER": str(tmp_path), "FLAGS_FILE": str(tmp_path / "flags.json")})
    async with (
        running(settings, port=0, demo=False, grace_seconds=0.1) as machine,
        aiohttp.ClientSession(machine.url) as http,
    ):
        async with http.get("/front/demo.json") as answer:
            assert answer.status == 404
        async with http.get("/") as answer:
            assert "script" not in await answer.text()


async def test_clips_are_small_distinct_and_never_packaged() -> None:
    clips, posters = sorted((FOLDER / "clips").glob("*.mp4")), sorted((FOLDER / "clips").glob("*.jpg"))
    assert len(clips) == 24
    assert [clip.stem for clip in clips] == [poster.stem for poster in posters]
    assert len({clip.read_bytes() for clip in clips}) == 24
    assert all(clip.stat().st_size <= 80_000 for clip in clips)
    files = [path.relative_to(ROOT).as_posix() for path in FOLDER.rglob("*") if path.is_file()]
    assert not any(
        map(is_packaged, [*files, "local/front_door.py", "local/handbook.py", "sdk/typescript/dist/video-feed.js"])
    )
    ignored = (ROOT / ".funcignore").read_text(encoding="utf-8").splitlines()
    assert "/*" in ignored
    assert "!/local/" not in ignored
