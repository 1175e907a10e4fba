"""`python -m tests.e2e.stopwatch` measures in a browser how long a new developer and a content team wait.

Set-up is not included, nor is typing and reading. Exits with 1 when a feed does not play within a minute.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
from playwright.async_api import Browser, Page, async_playwright, expect

from local.demo import CMS_KEY, OPS_KEY
from local.importer import hash_user
from shared.adapters.tenant_directory import PLATFORM
from tests.e2e.test_studio import CHROMIUM, FLAGS
from tests.local.test_my_data import write_files
from tests.served_app import ROOT

LONGEST_SECONDS = 60.0
TENANT = "tenant_1"
EXPERIMENT: dict[str, Any] = {
    "id": "fresh",
    "name": "Fresh first",
    "arms": [{"name": "as now", "percent": 50}, {"name": "fresh", "percent": 50, "weights": {"recency": 1.5}}],
}
PLAYS = "() => [...document.querySelectorAll('video')].some((each) => !each.paused && each.currentTime > 0.1)"


async def main() -> int:
    """Print a line for each way."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            began = time.monotonic()
            async with _program(folder / "demo", "serve", "--port", "0") as (url, _):
                playing = await _until_a_clip_plays(browser, url, began)
                p95 = await _until_p95_is_read(browser, url)
                tasks = await _tasks_of_a_content_team(browser, url)
            await browser.close()
        write_files(folder)
        own = await _until_own_data_is_personal(folder)
    print(f"  make run → a feed plays                            {playing:6.1f} s   (at most {LONGEST_SECONDS:.0f})")
    print(f"  the Studio's address → p95 of now is read          {p95:6.1f} s")
    print(f"  own files of six days → the first personal feed    {own:6.1f} s")
    for task, seconds in tasks.items():
        print(f"  {task:<50} {seconds:6.1f} s")
    return int(playing > LONGEST_SECONDS)


@contextlib.asynccontextmanager
async def _program(data: Path, *arguments: str) -> AsyncIterator[tuple[str, str]]:
    """Run `python -m local` from a new folder; return its address and the rest of that line."""
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "local", *arguments, cwd=ROOT, env={**os.environ, "DATA_FOLDER": str(data)},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert program.stdout is not None
        while line := (await program.stdout.readline()).decode():
            if found := re.search(r"(?:Serving on|Open) (http://[^/\s]+)(.*)", line):
                yield found[1], found[2]
                return
        raise RuntimeError("the app did not start")
    finally:
        if program.returncode is None:
            program.terminate()
        await program.wait()


async def _until_a_clip_plays(browser: Browser, url: str, began: float) -> float:
    page = await browser.new_page()
    await page.goto(f"{url}/")
    await page.wait_for_function(PLAYS, timeout=LONGEST_SECONDS * 2_000)
    return time.monotonic() - began


async def _until_p95_is_read(browser: Browser, url: str) -> float:
    began = time.monotonic()
    page = await browser.new_page()
    await page.goto(f"{url}/studio")
    await page.get_by_label("Tenant").fill(PLATFORM)
    await page.get_by_label("Key").fill(OPS_KEY)
    await page.get_by_role("button", name="Sign in").click()
    await page.locator("[data-figure=p95] dd").filter(has_text=re.compile(r"\d")).wait_for()
    return time.monotonic() - began


async def _tasks_of_a_content_team(browser: Browser, url: str) -> dict[str, float]:
    """Return the seconds of each task, from the first click in the open Studio until the change has worked."""
    headers = {"X-Tenant-Id": TENANT, "X-Api-Key": CMS_KEY}
    async with aiohttp.ClientSession(f"{url}/v1/cms/", headers=headers) as http:
        async with http.post("experiments", json=EXPERIMENT) as made:
            made.raise_for_status()
        async with http.post(f"experiments/{EXPERIMENT['id']}/start") as started:
            started.raise_for_status()
        page = await browser.new_page()
        await page.goto(f"{url}/studio")
        await page.get_by_label("Tenant").fill(TENANT)
        await page.get_by_label("Key").fill(CMS_KEY)
        await page.get_by_role("button", name="Sign in").click()
        await page.locator("[data-video]").first.wait_for()
        ways: dict[str, Callable[[Page, aiohttp.ClientSession], Awaitable[None]]] = {
            "find and take down a video": _take_down,
            "publish a scheduled rule": _publish_a_rule,
            "read an experiment that began today": _read_an_experiment,
        }
        seconds = {}
        for task, way in ways.items():
            began = time.monotonic()
            await way(page, http)
            seconds[task] = time.monotonic() - began
        return seconds


async def _take_down(page: Page, http: aiohttp.ClientSession) -> None:
    id = "vid_comedy_7"
    await page.get_by_role("link", name="Videos").click()
    await page.get_by_label("Search").fill(id)
    row = page.locator(f'tr[data-video="{id}"]')
    await row.get_by_role("button", name="Take down").click()
    await page.get_by_role("dialog").get_by_role("button", name="Take down").click()
    await expect(row).to_contain_text("taken down")
    async with http.get(f"videos/{id}") as answer:
        assert (await answer.json())["state"] == "taken_down"


async def _publish_a_rule(page: Page, http: aiohttp.ClientSession) -> None:
    await page.get_by_role("link", name="Rules").click()
    await page.get_by_role("button", name="New rule").click()
    await page.get_by_label("Name", exact=True).fill("Weekend")
    await page.get_by_label("Categories", exact=True).fill("travel")
    await page.get_by_text("Length, age, audience, schedule, priority").click()
    await page.get_by_label("From", exact=True).fill("2099-01-02T08:00")
    await page.get_by_label("Until", exact=True).fill("2099-01-03T20:00")
    await page.get_by_role("button", name="Publish", exact=True).click()
    await expect(page.locator(".rule-card", has_text="Weekend").locator(".chip.scheduled")).to_be_visible()
    async with http.get("rules") as answer:
        assert "Weekend" in [rule["name"] for rule in (await answer.json())["rules"]]


async def _read_an_experiment(page: Page, http: aiohttp.ClientSession) -> None:
    await page.get_by_role("link", name="Experiments").click()
    await page.get_by_role("button", name="Report").first.click()
    # It began today: the page says when there is more data.
    await expect(page.locator(".report").get_by_role("status")).to_be_visible()


async def _until_own_data_is_personal(folder: Path) -> float:
    began = time.monotonic()
    files = ("--videos", str(folder / "videos.jsonl"), "--events", str(folder / "events.jsonl"))
    async with (
        _program(folder / "mine", "my-data", *files, "--port", "0") as (url, rest),
        aiohttp.ClientSession() as http,
    ):
        headers = {"X-Tenant-Id": "my-data", "X-Api-Key": rest.split()[-1], "X-User": hash_user("my-data", 1)}
        async with http.get(f"{url}/v1/feed", headers=headers) as answer:
            assert (await answer.json())["mode"] == "personalized"
    return time.monotonic() - began


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
