"""`python -m tests.e2e.stopwatch`: how long a newcomer waits, measured in a browser on this machine.

Set-up is over. Typing and reading come on top. Exit 1 when a feed does not play within a minute.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
from playwright.async_api import Browser, async_playwright

from local.demo import OPS_KEY
from local.importer import hash_user
from shared.adapters.tenant_directory import PLATFORM
from tests.e2e.test_studio import CHROMIUM, FLAGS
from tests.local.test_my_data import write_files
from tests.served_app import ROOT

LONGEST_SECONDS = 60.0
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
            await browser.close()
        write_files(folder)
        own = await _until_own_data_is_personal(folder)
    print(f"  make run → a feed plays                            {playing:6.1f} s   (at most {LONGEST_SECONDS:.0f})")
    print(f"  the Studio's address → p95 of now is read          {p95:6.1f} s")
    print(f"  own files of six days → the first personal feed    {own:6.1f} s")
    return int(playing > LONGEST_SECONDS)


@contextlib.asynccontextmanager
async def _program(data: Path, *arguments: str) -> AsyncIterator[tuple[str, str]]:
    """`python -m local` from a fresh folder: its address and the rest of the line where it said so."""
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
