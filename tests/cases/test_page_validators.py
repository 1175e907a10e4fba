"""The ETag of a page covers its content and changes before its cursor and receipt expire."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.story import story_events
from tests.cms.editor import new_editor
from tests.e2e.conftest import _no_secret_is_ever_logged, app
from tests.e2e.test_client import reference, scripted
from tests.served_app import Answer, App, Client, make_video, make_videos, new_user

__all__ = ["_no_secret_is_ever_logged", "app"]
pytestmark = pytest.mark.asyncio(loop_scope="module")
HOUR = 3_600.0


async def unchanged(client: Client, page: Answer, **query: Any) -> Answer:
    """Revalidate a page as a client that has it."""
    return await client.feed({"If-None-Match": page.headers["Etag"]}, **query)


# ---- the ETag covers the content


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", "Another title"),
        ("playbackUrl", "https://cdn.example/moved.m3u8"),
        ("thumbnailUrl", "https://cdn.example/moved.jpg"),
        ("mainTag", "dance"),
        ("tags", ["fitness", "home"]),
        ("durationSeconds", 31.5),
        ("maturityRating", "G"),
        ("posterUrl", "https://cdn.example/poster.jpg"),
        ("width", 720),
        ("action", {"url": "https://shop.example/", "label": "Buy"}),
    ],
)
async def test_page_with_an_edited_video_is_sent_anew(app: App, field: str, value: object) -> None:
    editor = await new_editor(app, [make_video("vid_1")])
    page = await editor.client.feed()
    assert (await unchanged(editor.client, page)).status == 304
    assert (await editor.change("PATCH", "videos/vid_1", {field: value})).status == 200
    await editor.seen()
    now = await unchanged(editor.client, page)
    assert now.status == 200
    assert now.json["items"][0][field] == value


async def test_personal_page_is_sent_anew_after_newer_signals(app: App) -> None:
    client = await app.tenant(make_videos(3))
    await client.post(story_events(app.clock.now()))
    await app.folded()
    page = await client.feed()
    assert (await unchanged(client, page)).status == 304
    app.clock.advance(2)
    await client.post([{"type": "like", "videoId": "elsewhere", "timestamp": app.now_ms()}])
    await app.folded()
    now = await unchanged(client, page)
    assert now.status == 200
    assert now.json["freshness"]["signals"] > page.json["freshness"]["signals"]


# ---- a cached page expires before its cursor and receipt


async def test_page_of_yesterday_is_sent_anew_and_paging_goes_on(app: App) -> None:
    client = await app.tenant(make_videos(30))
    page = await client.feed(limit=5)
    app.clock.advance(13 * HOUR)
    assert (await client.feed(limit=5, cursor=page.json["nextCursor"])).code == "cursor_expired"
    now = await unchanged(client, page, limit=5)
    assert now.status == 200
    assert (await client.feed(limit=5, cursor=now.json["nextCursor"])).status == 200


@settings(max_examples=20)
@given(waits=st.lists(st.integers(0, 14 * 3_600), min_size=1, max_size=6))
async def test_every_304_keeps_a_working_cursor(app: App, waits: list[int]) -> None:
    client = await app.tenant(make_videos(12))
    page = await client.feed(limit=5)
    for wait in waits:
        app.clock.advance(wait)
        again = await unchanged(client, page, limit=5)
        page = page if again.status == 304 else again
        following = await client.feed(limit=5, cursor=page.json["nextCursor"])
        assert following.status == 200
        assert not set(following.ids) & set(page.ids)


async def test_reference_client_goes_on_paging_after_a_night(app: App) -> None:
    tenant = await app.tenant(make_videos(30))
    client = reference.Client(app.url, tenant.tenant_id, tenant.key, tenant.user)

    def walk() -> list[dict[str, Any]]:
        pages = client.walk(pages=4, limit=5)
        shown = [next(pages)]
        app.clock.advance(13 * HOUR)
        return [*shown, *pages]

    first, fresh, second, third = await asyncio.to_thread(walk)
    assert fresh is not first
    seen = [item["videoId"] for page in (fresh, second, third) for item in page["items"]]
    assert len(seen) == len(set(seen)) == 15


@pytest.mark.parametrize("code", ["invalid_cursor", "cursor_expired"])
async def test_the_reference_client_drops_its_page_when_the_cursor_is_refused(code: str) -> None:
    page = (200, {"ETag": 'W/"kept"'}, b'{"items": [1], "nextCursor": "old"}')
    refused = (400, {}, f'{{"code": "{code}"}}'.encode())
    with scripted(page, refused, page, refused, page) as (url, script):
        client = reference.Client(url, "t", "k" * 8, "5f" * 32)
        list(client.walk(pages=2))
        with pytest.raises(reference.Refused):
            client.page("old")
        client.page()
    assert ["if-none-match" in headers for _, headers, _ in script.asked] == [False] * 5


async def test_the_reference_client_keeps_a_page_for_its_user_alone(app: App) -> None:
    page = (200, {"ETag": 'W/"kept"'}, b'{"items": [1], "nextCursor": "old"}')
    with scripted(page, page, page, page) as (url, script):
        client = reference.Client(url, "t", "k" * 8, "5f" * 32)
        client.page()
        client.user = new_user()
        client.page()
        client.personalized = False
        client.page()
        client.tenant_id = "other"
        client.page()
    assert ["if-none-match" in headers for _, headers, _ in script.asked] == [False] * 4
