"""The built SDK in Chromium on another origin: reloaded, closed and killed pages lose no event.

Each test ends by checking the service's archive: every event once.
"""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

import pytest
from playwright.async_api import Error, Page, Request, Route

from tests.sdk.browser import Browser, arrived
from tests.served_app import App, make_videos

pytestmark = pytest.mark.asyncio(loop_scope="module")
BATCHES = "**/v1/events/batch"


async def report(page: Page, *kinds: str, video: int = 0) -> None:
    """Report events of some kinds about one video of the feed."""
    await page.evaluate("([kinds, at]) => kinds.forEach((kind) => session.events[kind](videos[at]))", [kinds, video])


async def stored(page: Page) -> list[str]:
    """Return the rows in the browser's database, by kind."""
    kinds: list[str] = await page.evaluate(
        """async () => {
          const [{ name }] = await indexedDB.databases();
          const opened = indexedDB.open(name);
          await new Promise((done) => (opened.onsuccess = done));
          const rows = opened.result.transaction("queue").objectStore("queue").getAll();
          await new Promise((done) => (rows.onsuccess = done));
          opened.result.close();
          return rows.result.map((row) => row.kind);
        }"""
    )
    return kinds


async def kill(page: Page) -> None:
    """Kill the page's process at once, as when a phone runs out of memory: no handler of the page runs."""
    crashed = asyncio.Event()
    page.on("crash", lambda _: crashed.set())
    with pytest.raises(Error):
        await page.goto("chrome://crash")
    await crashed.wait()
    await page.close()


async def block(route: Route) -> None:
    """Cut the network for this call."""
    await route.abort("internetdisconnected")


async def test_page_killed_before_sending_anything_loses_nothing(app: App, browser: Browser) -> None:
    client = await app.tenant(make_videos(10))
    page = await browser.open(client)
    await report(page, "impression", "like", "share")
    await page.wait_for_timeout(100)
    assert await stored(page) == ["event"] * 3
    await kill(page)
    assert app.counted("events_accepted", client.tenant_id) == 0

    next_page = await browser.open(client)
    await next_page.evaluate("session.flush()")
    await arrived(client, "impression", "like", "share")
    assert (await client.signals()).json["events"] == 2
    assert await stored(next_page) == []


async def test_page_killed_during_an_upload_counts_once(app: App, browser: Browser) -> None:
    client = await app.tenant(make_videos(10))
    page = await browser.open(client)
    sent: list[Request] = []

    async def swallow(route: Route) -> None:
        sent.append(route.request)
        await route.fetch()  # the service has it, but the page gets no response

    await page.route(BATCHES, swallow)
    await report(page, "like", "save")
    await page.evaluate("void session.flush()")
    await arrived(client, "like", "save")
    await report(page, "share")
    await page.wait_for_timeout(100)
    assert sorted(await stored(page)) == ["batch", "event"]
    await kill(page)

    next_page = await browser.open(client)
    next_page.on("request", lambda request: sent.append(request) if request.method == "POST" else None)
    await next_page.evaluate("session.flush()")
    await arrived(client, "like", "save", "share")
    assert (await client.signals()).json["events"] == 3
    first, again, _ = sent
    assert again.post_data == first.post_data
    assert again.headers["idempotency-key"] == first.headers["idempotency-key"]


async def test_events_just_before_a_page_closes_are_sent_on_unload(app: App, browser: Browser) -> None:
    client = await app.tenant(make_videos(10))
    page = await browser.open(client)
    sent = ["like", "skip", "share", "start", "progress"]  # the last one has the play time so far
    await page.evaluate("void session.play(videos[0]).playing()")
    await page.wait_for_timeout(1_500)
    await report(page, "like", "skip", "share")
    await page.goto("about:blank")
    await arrived(client, *sent)

    next_page = await browser.open(client)  # its database can still have the batch, because the response met no page
    await next_page.evaluate("session.flush()")
    await arrived(client, *sent)
    assert (await client.signals()).json["totalViewsLast7d"] == 1
    assert (await client.signals()).json["totalWatchTimeLast7dMs"] >= 1_000


async def test_hidden_page_sends_what_it_has(app: App, browser: Browser) -> None:
    client = await app.tenant(make_videos(10))
    page = await browser.open(client)
    await page.evaluate(
        """() => {
          session.events.like(videos[0]);
          Object.defineProperty(document, "visibilityState", { value: "hidden" });
          document.dispatchEvent(new Event("visibilitychange"));
        }"""
    )
    began = time.monotonic()
    await arrived(client, "like")
    assert await page.evaluate("session.queued") == 0
    assert time.monotonic() - began < 60


async def test_hour_offline_delivers_everything_once_with_its_time(app: App, browser: Browser) -> None:
    client = await app.tenant(make_videos(10))
    page = await browser.open(client)
    await page.clock.install()
    await browser.start(page, client)
    await browser.context.set_offline(True)
    for number in range(6):
        await report(page, "like", video=number)
        await page.clock.fast_forward(10 * 60 * 1000)
    assert app.counted("events_accepted", client.tenant_id) == 0
    assert await page.evaluate("session.queued") == 6
    app.clock.advance(3_600)
    await browser.context.set_offline(False)
    lines = await arrived(client, *["like"] * 6)
    gaps = [later["timestamp"] - line["timestamp"] for line, later in pairwise(lines)]
    assert all(600_000 <= gap < 630_000 for gap in gaps)
    assert abs(app.now_ms() - lines[0]["timestamp"] - 3_600_000) < 120_000
    assert await page.evaluate("told.errors") == []


async def test_two_pages_send_their_own_events_and_those_of_a_dead_page(app: App, browser: Browser) -> None:
    client = await app.tenant(make_videos(10))
    one, other = await browser.open(client), await browser.open(client)
    for page in (one, other):
        await page.route(BATCHES, block)
    await report(one, "like")
    await report(other, "share")
    await one.wait_for_timeout(100)
    third = await browser.open(client)  # both are alive: their events are not taken over
    await third.evaluate("session.flush()")
    assert app.counted("events_accepted", client.tenant_id) == 0

    await kill(one)
    await third.evaluate("document.dispatchEvent(new Event('visibilitychange')), session.flush()")
    await arrived(client, "like")
    await other.unroute(BATCHES)
    await other.evaluate("session.flush()")
    await arrived(client, "like", "share")
    assert await stored(third) == []


async def test_events_keep_their_consent_and_user_over_a_killed_page(app: App, browser: Browser) -> None:
    client = await app.tenant(make_videos(10))
    page = await browser.open(client)
    await report(page, "like")
    await page.evaluate("session.setPersonalized(false)")
    await report(page, "share")
    await page.wait_for_timeout(100)
    await kill(page)

    other = client.as_user()
    next_page = await browser.open(other)
    await next_page.evaluate("session.flush()")
    lines = {line["type"]: line for line in await arrived(client, "like", "share")}
    assert lines["share"]["user"] is None
    assert lines["like"]["user"] is not None
    assert (await client.signals()).json["events"] == 1
    assert (await other.signals()).status == 404


async def test_page_restored_by_the_back_button_continues(app: App, browser: Browser) -> None:
    client = await app.tenant(make_videos(10))
    page = await browser.open(client)
    await page.evaluate("window.addEventListener('pageshow', (event) => (window.cameBack = event.persisted))")
    await report(page, "like")
    await page.goto(f"{browser.origin}/dist/video-feed.js")
    await arrived(client, "like")
    await page.go_back(wait_until="commit")  # a restored page fires no load event
    await page.wait_for_function("() => window.cameBack")
    await report(page, "share")
    await page.evaluate("session.flush()")
    await arrived(client, "like", "share")
    assert await page.evaluate("session.queued") == 0


async def test_the_first_page_is_kept_over_a_reload_and_not_sent_again(app: App, browser: Browser) -> None:
    client = await app.tenant(make_videos(10))
    await client.post([{"type": "like", "videoId": f"vid_fitness_{n}", "timestamp": app.now_ms()} for n in range(1, 4)])
    await app.folded()
    page = await browser.open(client)
    shown = await page.evaluate("videos.map((video) => video.videoId)")
    answers: list[int] = []
    page.on("response", lambda got: answers.append(got.status) if "/v1/feed" in got.url else None)
    await browser.load(page, client)
    assert await page.evaluate("videos.map((video) => video.videoId)") == shown
    assert 304 in answers
    assert not {200} & set(answers)


async def test_browser_with_a_failing_database_continues_in_memory(app: App, browser: Browser) -> None:
    client = await app.tenant(make_videos(10))
    page = await browser.context.new_page()
    await page.add_init_script("IDBFactory.prototype.open = () => { throw new DOMException('no', 'SecurityError'); }")
    await browser.load(page, client)
    await report(page, "like", "share")
    await page.evaluate("session.flush()")
    await arrived(client, "like", "share")
    assert set(await page.evaluate("told.errors")) == {"storage"}
    assert await page.evaluate("told.dropped") == []
