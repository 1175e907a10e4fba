"""Commands and page of the TypeScript SDK's README work as written, with other ports and folder."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from playwright.async_api import Browser as Chromium

from local.demo import OPS_KEY
from tests.docs.pages import ROOT, pages
from tests.sdk.browser import Browser, arrived
from tests.sdk.built import SDK
from tests.served_app import App, eventually, make_videos

pytestmark = pytest.mark.asyncio(loop_scope="module")
README = pages()["sdk/typescript/README.md"]
USER = "5f" * 32


def block(section: str, language: str) -> str:
    """Return the first block of a section in a language."""
    return next(each.text for each in README.blocks if each.place.section == section and each.language == language)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def running(command: str, folder: Path) -> AsyncIterator[None]:
    """Run a command of the page until the context ends."""
    environment = {**os.environ, "DATA_FOLDER": str(folder)}
    process = await asyncio.create_subprocess_shell(
        f"exec env {command}", cwd=ROOT, env=environment, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()  # a background program can ignore Ctrl-C
        async with asyncio.timeout(30):
            await process.wait()


async def answers(url: str) -> bool:
    """Return whether somebody listens there."""
    try:
        async with aiohttp.ClientSession() as http, http.get(url):
            return True
    except aiohttp.ClientError:
        return False


async def known_of(url: str) -> dict[str, Any]:
    """Return the demo's signals of the README's user."""
    headers = {"X-Tenant-Id": "tenant_1", "X-Api-Key": OPS_KEY, "X-User": USER}
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{url}/v1/debug/user-signals", headers=headers) as response,
    ):
        found: dict[str, Any] = await response.json()
        return found


async def test_readme_commands_show_a_feed_that_can_be_swiped(tmp_path: Path, chromium: Chromium) -> None:
    service, beside = free_port(), free_port()
    folder = tmp_path / "typescript"
    shutil.copytree(SDK / "dist", folder / "dist")

    def here(text: str) -> str:
        return text.replace("127.0.0.1:7071", f"127.0.0.1:{service}").replace("8000", str(beside))

    python = shlex.quote(sys.executable)
    serve, show = here(block("a-swiping-feed-in-ten-lines", "sh")).splitlines()
    serve = serve.replace("make run", f"{python} -m local serve --port {service}")
    show = show.replace("python3", python).replace("sdk/typescript", shlex.quote(str(folder)))
    (folder / "swipe.html").write_text(here(block("a-swiping-feed-in-ten-lines", "html")))

    async with running(serve, tmp_path / "data"), running(show, tmp_path):
        for port in (service, beside):
            await eventually(lambda port=port: answers(f"http://127.0.0.1:{port}"))
        page = await chromium.new_page()
        await page.goto(f"http://127.0.0.1:{beside}/swipe.html")
        await page.wait_for_function("() => document.querySelector('video')")
        # Repeatedly, as a thumb does: an added slide can snap the page back.
        await page.wait_for_function(
            """() => {
              const slides = document.querySelectorAll("video");
              slides[slides.length - 1].scrollIntoView();
              return slides.length >= 24;
            }""",
            polling=100,
        )
        shown = await page.evaluate("[...document.querySelectorAll('video')].map((slide) => slide.src)")
        assert len(shown) == len(set(shown)) >= 24
        await page.evaluate(
            """async () => { // the demo has no films: as if one played for two seconds
              const slide = document.querySelector("video");
              slide.dispatchEvent(new Event("playing"));
              await new Promise((played) => setTimeout(played, 2_000));
              slide.dispatchEvent(new Event("ended"));
            }"""
        )

        async def watched() -> bool:
            known = await known_of(f"http://127.0.0.1:{service}")
            return known.get("seenVideos", 0) >= 23 and 1_900 <= known["totalWatchTimeLast7dMs"] < 10_000

        await eventually(watched)
        await page.close(run_before_unload=True)


async def test_every_event_of_the_readme_arrives(app: App, browser: Browser) -> None:
    client = await app.tenant(make_videos(10))
    page = await browser.open(client)
    events, plays = [each.text for each in README.blocks if each.place.section == "events" and each.language == "js"]
    await page.evaluate("document.body.append(document.createElement('video'))")
    await page.evaluate(f"async () => {{ const video = videos[0]; {events} {plays} }}")
    await page.evaluate("session.flush()")
    reported = ("impression", "video_view", "complete", "skip", "like", "unlike", "share", "save", "not_interested")
    reported += ("unsave", "follow", "unfollow")
    played = ("start", "stall", "playback_error", "complete", "video_view")
    await arrived(client, *reported, "like", *played)


async def test_consent_and_user_are_switched_as_documented(app: App, browser: Browser) -> None:
    client = await app.tenant(make_videos(10))
    page = await browser.open(client)
    await page.evaluate(f"async () => {{ {block('consent-users-tokens', 'js')} }}")
    assert await page.evaluate("[session.personalized, session.queued]") == [True, 0]
    assert await page.evaluate("session.user") == "74ea6318fd907a367325175cdf62f55dd986485ca4cd5342c5f9120938404bf6"
    assert await page.evaluate("session.feed().at(0).catch((error) => error.code)") == "aborted"
