"""Paging through a whole catalog while it changes."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

import pytest

from feed.cursor import MAX_SERVED
from local.story import story_events
from shared.domain.records import Video
from tests.served_app import App, Client, make_video, make_videos, personalized

pytestmark = pytest.mark.asyncio(loop_scope="module")

CATEGORIES = ("fitness", "cooking", "travel", "music", "comedy", "science")
OFF = {"X-Personalization": "off"}


@dataclass
class Walk:
    """Records what happened during paging, so that every gap can be explained."""

    client: Client
    served: list[str] = field(default_factory=list)
    taken_down: set[str] = field(default_factory=set)
    """Before they were served."""
    seen_elsewhere: set[str] = field(default_factory=set)
    added: set[str] = field(default_factory=set)
    modes: list[str] = field(default_factory=list)
    cursor: str | None = None
    pages: int = 0

    async def turn(self, headers: dict[str, str] | None = None) -> bool:
        """Request the next page; return False when the feed has ended."""
        query = {} if self.cursor is None else {"cursor": self.cursor}
        answer = await self.client.feed(headers, limit=20, **query)
        assert answer.status == 200, answer.body
        page = answer.json
        repeated = set(answer.ids) & set(self.served)
        assert not repeated, f"page {self.pages} repeats {repeated}"
        assert not set(answer.ids) & self.taken_down, f"page {self.pages} has a video that was taken down before"
        assert [item["rank"] for item in page["items"]] == list(
            range(len(self.served), len(self.served) + len(answer.ids))
        )
        self.served += answer.ids
        self.modes.append(page["reason"] or page["mode"])
        self.cursor = page["nextCursor"]
        self.pages += 1
        assert self.cursor is None or len(self.cursor) <= 4_096
        assert self.cursor is None or len(answer.ids) == 20, "a short page is the last one"
        return self.cursor is not None

    def unserved(self, catalog: dict[str, Video]) -> list[str]:
        return sorted(set(catalog) - set(self.served) - self.taken_down)


async def change_the_world(app: App, walk: Walk, catalog: dict[str, Video], draw: random.Random) -> None:
    """Change the catalog between two pages: two videos removed, two added, one watched elsewhere, some of the last
    page watched."""
    left = walk.unserved(catalog)
    gone = draw.sample(left, min(2, len(left)))
    new = [make_video(f"late_{walk.pages}_{n}", draw.choice(CATEGORIES)) for n in range(2)]
    await app.save_videos(walk.client.tenant_id, [replace(catalog[id], active=False) for id in gone] + new)
    walk.taken_down.update(gone)
    catalog.update({video.id: video for video in new})
    walk.added.update(video.id for video in new)
    left = sorted(set(left) - set(gone))
    elsewhere = draw.sample(left, min(1, len(left)))
    walk.seen_elsewhere.update(elsewhere)
    watched = [*elsewhere, *walk.served[-20:][:6]]
    events = [
        {"type": "video_view", "videoId": id, "timestamp": app.now_ms(5), "watchTimeMs": draw.randint(1, 30_000)}
        for id in watched
    ]
    assert (await walk.client.post(events)).status == 202
    await app.folded()


@pytest.mark.parametrize("way", ["personalized", "fallback", "changing"])
async def test_thirty_pages_of_a_changing_catalog_repeat_and_miss_nothing_unexplained(app: App, way: str) -> None:
    draw = random.Random(way)
    catalog = {video.id: video for video in make_videos(600, CATEGORIES)}
    client = await app.tenant(catalog.values())
    if way == "personalized":
        await client.post(story_events(app.clock.now()))
        await app.folded()
    watched_before = {event["videoId"] for event in story_events(0.0)} if way == "personalized" else set()
    walk = Walk(client)
    try:
        while await walk.turn(OFF if way == "fallback" else None):
            assert walk.pages < 60, "the feed never ends"
            if way == "changing" and walk.pages in (10, 20):
                app.write_flags(personalized(walk.pages == 20))
                await app.services.flags_refresher.refresh()
            if walk.pages < 28:
                await change_the_world(app, walk, catalog, draw)
    finally:
        app.write_flags(personalized())
        await app.services.flags_refresher.refresh()

    assert walk.pages >= 29
    assert (
        set(walk.modes)
        == {
            "personalized": {"personalized"},
            "fallback": {"no_consent"},
            "changing": {"cold_start", "personalized", "kill_switch"},
        }[way]
    )
    explained = walk.seen_elsewhere | watched_before if way != "fallback" else set()
    assert set(walk.unserved(catalog)) <= explained, "every other gap would be a video lost"
    assert walk.added & set(walk.served), "what was added on the way is found on the way"


@pytest.mark.parametrize("headers", [None, OFF])
async def test_paging_through_an_unchanged_catalog_serves_every_video_once(
    app: App, headers: dict[str, str] | None
) -> None:
    client = await app.tenant(make_videos(130, CATEGORIES))
    await client.post(story_events(app.clock.now()))
    await app.folded()
    seen = set() if headers else {event["videoId"] for event in story_events(0.0)}
    walk = Walk(client)
    while await walk.turn(headers):
        pass
    assert set(walk.served) == {video.id for video in make_videos(130, CATEGORIES)} - seen


async def test_paging_ends_before_the_cursor_exceeds_4096_characters(app: App) -> None:
    client = await app.tenant(make_videos(MAX_SERVED + 100, CATEGORIES))
    walk = Walk(client)
    while await walk.turn(OFF):
        pass
    assert MAX_SERVED < len(walk.served) <= MAX_SERVED + 20


async def test_page_requested_twice_is_the_same_page(app: App) -> None:
    client = await app.tenant(make_videos(60, CATEGORIES))
    first = await client.feed(limit=10)
    twice = [await client.feed(limit=10, cursor=first.json["nextCursor"]) for _ in range(2)]
    assert twice[0].ids == twice[1].ids
    assert not set(twice[0].ids) & set(first.ids)


async def test_page_size_can_change_between_pages(app: App) -> None:
    client = await app.tenant(make_videos(60, CATEGORIES))
    sizes, served, cursor = [1, 50, 5, 4], [], {}
    for size in sizes:
        page = await client.feed(limit=size, **cursor)
        served += page.ids
        cursor = {"cursor": page.json["nextCursor"]}
    assert len(served) == len(set(served)) == 60


async def test_cursor_is_valid_for_12_hours_and_then_reported_as_expired(app: App) -> None:
    client = await app.tenant(make_videos(60, CATEGORIES))
    cursor = (await client.feed(limit=10)).json["nextCursor"]
    app.clock.advance(12 * 3_600 - 60)
    page = await client.feed(limit=10, cursor=cursor)
    assert page.status == 200
    app.clock.advance(120)
    late = await client.feed(limit=10, cursor=cursor)
    assert (late.status, late.code) == (400, "cursor_expired")
    late = await client.feed(limit=10, cursor=page.json["nextCursor"])
    assert late.code == "cursor_expired", "a walk as a whole lives 12 hours, however often it turns a page"
    assert (await client.feed(limit=10)).status == 200
