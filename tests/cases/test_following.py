"""Follow events fill a list, a feed of its own, and two ranking features."""

from __future__ import annotations

import json
from typing import Any

import pytest

from events.archive import from_lines
from shared.adapters.blobs.port import ARCHIVE
from shared.domain.series_place import SeriesPlace
from tests.cases.viewers import Viewer, viewer_of
from tests.cms.editor import new_editor
from tests.served_app import App, make_video, personalized

pytestmark = pytest.mark.asyncio(loop_scope="module")

VIDEOS = [
    *[make_video(f"vid_anna_{n}", "cooking", creator="anna", published_at=1_000.0 + n) for n in range(4)],
    *[make_video(f"vid_ben_{n}", "travel", creator="ben", published_at=1_100.0 + n) for n in range(4)],
    *[
        make_video(f"vid_show_{n}", "drama", published_at=1_050.0 + n, place=SeriesPlace("show", 1, n))
        for n in range(3)
    ],
    *[make_video(f"vid_else_{n}", "news", creator="café", published_at=2_000.0 + n) for n in range(4)],
]


FILTER: dict[str, Any] = {"filter.category": "drama"}


async def new_viewer(app: App, **configuration: object) -> Viewer:
    return await viewer_of(await app.tenant(VIDEOS, **configuration))


async def known(viewer: Viewer) -> None:
    """Send enough events for a personal feed."""
    for video in ("vid_else_0", "vid_else_1", "vid_else_2"):
        await viewer.tell("video_view", video, watchTimeMs=25_000)


async def test_followed_items_are_listed_by_kind_newest_first(app: App) -> None:
    viewer = await new_viewer(app)
    await viewer.follow("creator", "anna", ago=30)
    await viewer.follow("category", "drama", ago=20)
    await viewer.follow("series", "show", ago=10)
    await viewer.follow("creator", "  cafe\u0301 ", ago=5)
    assert await viewer.ids("following") == ["creator:café", "series:show", "category:drama", "creator:anna"]
    assert await viewer.ids("following", kind="creator") == ["creator:café", "creator:anna"]
    page = await viewer.me("following", kind="creator", limit=1)
    assert await viewer.ids("following", kind="creator", cursor=page.json["nextCursor"]) == ["creator:anna"]
    await viewer.follow("creator", "anna", type="unfollow")
    await viewer.follow("creator", "anna", ago=25)  # arrives late
    assert await viewer.ids("following", kind="creator") == ["creator:café"]
    odd = await viewer.me("following", kind="person")
    assert (odd.status, odd.code) == (400, "invalid_kind")


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"followKind": "creator"},
        {"followId": "anna"},
        {"followKind": "person", "followId": "anna"},
        {"followKind": "creator", "followId": ""},
        {"followKind": "creator", "followId": "  "},
        {"followKind": "creator", "followId": "x" * 129},
        {"followKind": "creator", "followId": "a\nb"},
        {"followKind": "creator", "followId": "a\u202eb"},
        {"followKind": 7, "followId": "anna"},
        {"followKind": "creator", "followId": 7},
    ],
)
async def test_following_what_cannot_be_followed_is_refused(app: App, given: dict[str, object]) -> None:
    client = await app.tenant()
    rows = [{"type": kind, "timestamp": app.now_ms(), "videoId": "v1", **given} for kind in ("follow", "unfollow")]
    answer = await client.post(rows)
    assert [each["code"] for each in answer.json["rejected"]] == ["invalid_follow"] * 2


async def test_following_feed_holds_only_followed_items(app: App) -> None:
    viewer = await new_viewer(app)
    await known(viewer)
    await viewer.follow("creator", "anna")
    await viewer.follow("series", "show")
    page = await viewer.client.feed(feed="following")
    assert (page.json["mode"], page.json["reason"]) == ("personalized", None)
    mine = {f"vid_anna_{n}" for n in range(4)} | {f"vid_show_{n}" for n in range(3)}
    assert set(page.ids) == mine
    newest = await viewer.client.feed(feed="following", order="newest")
    assert newest.json["mode"] == "personalized"
    assert newest.ids == [*(f"vid_show_{n}" for n in (2, 1, 0)), *(f"vid_anna_{n}" for n in (3, 2, 1, 0))]
    only = await viewer.client.feed(feed="following", **FILTER)
    assert set(only.ids) == {f"vid_show_{n}" for n in range(3)}
    await viewer.tell("impression", "vid_anna_3")
    for order in ("ranked", "newest"):
        assert "vid_anna_3" not in (await viewer.client.feed(feed="following", order=order)).ids
    await viewer.follow("series", "show", type="unfollow")
    assert set((await viewer.client.feed(feed="following")).ids) == {f"vid_anna_{n}" for n in range(3)}
    for stranger in (viewer.other(), await new_viewer(app)):
        assert (await stranger.client.feed(feed="following")).ids == []
    odd = await viewer.client.feed(feed="following", order="oldest")
    assert (odd.status, odd.code) == (400, "invalid_order")


async def test_paging_through_the_following_feed_repeats_nothing(app: App) -> None:
    viewer = await new_viewer(app)
    await known(viewer)
    for creator in ("anna", "ben"):
        await viewer.follow("creator", creator)
    for order in ("ranked", "newest"):
        pages = await viewer.client.walk(limit=3, feed="following", order=order)
        ids = [id for page in pages for id in page.ids]
        assert sorted(ids) == sorted(f"vid_{who}_{n}" for who in ("anna", "ben") for n in range(4))


async def test_a_new_user_gets_the_newest_of_what_they_follow(app: App) -> None:
    viewer = await new_viewer(app)
    assert (await viewer.client.feed(feed="following")).ids == []
    await viewer.follow("category", "travel")
    page = await viewer.client.feed(feed="following")
    assert page.json["reason"] == "cold_start"
    assert page.ids == [f"vid_ben_{n}" for n in (3, 2, 1, 0)]


async def test_following_feed_is_empty_when_user_data_must_not_be_read(app: App) -> None:
    viewer = await new_viewer(app)
    await known(viewer)
    await viewer.follow("creator", "anna")
    assert (await viewer.client.feed({"X-Personalization": "off"}, feed="following")).ids == []
    app.write_flags(personalized(False))
    try:
        assert await app.services.flags_refresher.refresh()
        page = await viewer.client.feed(feed="following")
        assert (page.json["reason"], page.ids) == ("kill_switch", [])
    finally:
        app.write_flags(personalized())
        assert await app.services.flags_refresher.refresh()


async def test_followed_items_rank_higher_once_the_feature_has_a_weight(app: App) -> None:
    editor = await new_editor(app, VIDEOS)
    viewer = await viewer_of(editor.client)
    await known(viewer)
    await viewer.follow("creator", "ben")
    await viewer.follow("category", "drama")
    before = (await viewer.client.feed(limit=12)).json
    plain = {item["videoId"]: item["score"] for item in before["items"]}
    weights = {"follows_creator": 50.0, "follows_category": 20.0}
    assert (await editor.change("PATCH", "configuration", {"weights": weights})).status == 200
    await editor.seen()
    after = {item["videoId"]: item["score"] for item in (await viewer.client.feed(limit=12)).json["items"]}
    gained = {id: round(after[id] - plain[id]) for id in after.keys() & plain.keys()}
    assert {gained[id] for id in gained if id.startswith("vid_ben")} == {50}
    assert {gained[id] for id in gained if id.startswith("vid_show")} == {20}
    assert {gained[id] for id in gained if id.startswith("vid_anna")} <= {0}


async def test_follows_add_nothing_to_statistics_and_are_archived_once(app: App) -> None:
    viewer = await viewer_of(await app.tenant(VIDEOS, count_anonymous_events=True))
    row = {"type": "follow", "followKind": "creator", "followId": "anna", "timestamp": app.now_ms(), "eventId": "one"}
    await viewer.send(row, {"type": "like", "videoId": "vid_anna_0", "timestamp": app.now_ms()})
    await viewer.send(row)
    await app.rolled_up()
    lines: list[dict[str, Any]] = []
    async for blob in app.services.blobs.list(ARCHIVE, f"{viewer.client.tenant_id}/"):
        lines += from_lines(await app.services.blobs.read(ARCHIVE, blob.name) or b"")
    follows = [line for line in lines if line["type"] == "follow"]
    assert [(each["videoId"], each["subject"], each["counted"]) for each in follows] == [
        (None, {"kind": "creator", "id": "anna"}, False)
    ]
    assert [line["counted"] for line in lines if line["type"] == "like"] == [True]
    assert json.dumps(follows).find(viewer.client.user_key) < 0
