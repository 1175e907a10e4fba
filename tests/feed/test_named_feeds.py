"""Named feeds and filters show no filtered video, none twice, and none of another tenant."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feed.narrowing import number_of
from feed.pipeline import FALLBACK
from feed.query import FeedQuery, Hints
from shared.adapters.documents.port import TENANTS, VIDEOS, Upsert
from shared.domain.feeds import BASES, EDITORIAL, NEWEST, ORDERS, Criteria, NamedFeed, criteria_of
from shared.domain.records import HOME, RATINGS, Tenant, Video, policy_rank
from shared.web.problems import Problem
from tests.feed.test_serving_safety import (
    BOUNDED,
    NOW,
    USER,
    World,
    events_of,
    flags,
    hints,
    history,
    may_be_served,
    run,
    tenants,
    videos,
    world,
)
from tests.feed.test_subsets import PLAYLISTS, meets

values = {
    "tag": ["a", "b", "unknown"],
    "category": ["fitness", "cooking", "unknown"],
    "creator": ["x", "y"],
    "playlist": ["cup", "unknown"],
    "series": ["unknown"],
    "language": ["en", "de"],
}
criteria = st.fixed_dictionaries(
    {}, optional={kind: st.lists(st.sampled_from(some), min_size=1, max_size=2) for kind, some in values.items()}
).map(criteria_of)
feeds = st.none() | st.builds(
    lambda base, **rest: {"base": {name: list(dict(base).get(kind, ())) for name, kind in BASES.items()}, **rest},
    base=criteria,
    fallbackOrder=st.sampled_from(ORDERS),
    maturityCeiling=st.sampled_from([None, None, *RATINGS, "odd", 7]),
    weights=st.dictionaries(st.sampled_from(["recency", "boost", "odd"]), st.floats(-10, 10), max_size=2),
    defaultLimit=st.none() | st.integers(1, 50),
    streakCap=st.none() | st.integers(0, 3),
    creatorCap=st.none() | st.integers(0, 3),
    diversity=st.none() | st.floats(0, 2),
)


async def save(here: World, tenant_id: str, feed: dict[str, Any] | None, name: str = "special") -> None:
    """Store a tenant with a feed and its playlist, and refresh the app."""
    playlist = {"id": "playlist:cup", "kind": "playlist", "playlistId": "cup", "videoIds": list(PLAYLISTS["cup"])}
    stored = [Upsert(replace(here.tenant, id=tenant_id).to_document()), Upsert(playlist)]
    if feed is not None:
        stored.append(Upsert({"id": f"feed:{name}", "kind": "feed", "feedId": name, **feed}))
    await here.documents.write(TENANTS, tenant_id, stored)
    await here.tenants.refresh()


async def walk(
    here: World, name: str, asked: Criteria, hints: Hints, limit: int, consented: bool = True
) -> tuple[list[str], set[str]]:
    """Return the ids of every page to the end, and the modes of the pages."""
    named, tenant = here.feed.named_feeds.of(here.tenant, name)
    served: list[str] = []
    modes: set[str] = set()
    cursor: str | None = None
    while True:
        query = FeedQuery(limit, cursor, hints, consented, filters=asked)
        result = await here.feed.serve_feed(query, tenant, USER, NOW, feed=named)
        page = result.page
        modes.add(page.mode)
        served += [result.catalog.columns.ids[row] for row in page.rows.tolist()]
        cursor = page.next_cursor
        if cursor is None:
            return served, modes


def meant(video: Video, asked: Criteria) -> bool:
    return all(any(meets(video, kind, value) for value in some) for kind, some in asked)


@BOUNDED
@given(tenants, videos, history, flags, hints, feeds, criteria, st.integers(1, 50), st.booleans())
def test_named_feed_serves_its_set_as_home_may_each_video_once(
    tmp_path: Path,
    tenant: Tenant,
    catalog: list[Video],
    rows: list[tuple[str, int, int, int]],
    flag: list[dict[str, Any]],
    hints: Hints,
    feed: dict[str, Any] | None,
    asked: Criteria,
    limit: int,
    consented: bool,
) -> None:
    """Pages to the end: the feed's ceiling and the tenant's policy both apply, whatever feed and filters say."""

    async def tell() -> None:
        here = await world(tmp_path, tenant, catalog, rows, flag)
        await save(here, tenant.id, feed)
        served, modes = await walk(here, "special" if feed else HOME, asked, hints, limit, consented)
        named = NamedFeed.from_document({"feedId": "special", **(feed or {})})
        ceiling = feed["maturityCeiling"] if feed else None
        most = len(RATINGS) if ceiling is None else policy_rank(ceiling if isinstance(ceiling, str) else None)
        allowed = {
            video.id
            for video in catalog
            if may_be_served(video, tenant, hints)
            and RATINGS[video.maturity_rating] <= most
            and meant(video, named.base)
            and meant(video, asked)
        }
        assert len(served) == len(set(served))
        seen = {event.video_id for event in events_of(rows)}
        assert set(served) == (allowed if modes == {FALLBACK} else allowed - seen)

    run(tell)


catalog_of_12 = [
    Video(
        f"v{n}",
        f"t{n}",
        "https://cdn.example/v.m3u8",
        "a" if n % 2 else "b",
        creator="x",
        maturity_rating="G" if n % 3 else "R",
        published_at=NOW - n * 3_600,
        editorial_boost=float(n == 7),
    )
    for n in range(12)
]


@pytest.mark.parametrize(
    ("feed", "first"),
    [
        ({"fallbackOrder": NEWEST}, ["v0", "v1", "v2", "v3", "v4"]),
        ({"fallbackOrder": EDITORIAL}, ["v7", "v0", "v1", "v2", "v3"]),
        ({"fallbackOrder": EDITORIAL, "base": {"playlists": ["cup"]}}, ["v3", "v1"]),
        ({"fallbackOrder": NEWEST, "maturityCeiling": "PG"}, ["v1", "v2", "v4", "v5", "v7"]),
        ({"fallbackOrder": NEWEST, "base": {"categories": ["a"]}}, ["v1", "v3", "v5", "v7", "v9"]),
    ],
)
def test_kill_switch_serves_a_named_feed_in_its_own_order(
    tmp_path: Path, feed: dict[str, Any], first: list[str]
) -> None:
    async def tell() -> None:
        here = await world(tmp_path, Tenant("tenant_1", "NC17"), catalog_of_12, [], [])
        await save(here, "tenant_1", feed)
        served, modes = await walk(here, "special", (), Hints(), 5)
        assert served[:5] == first
        assert modes == {FALLBACK}
        filtered, _ = await walk(here, "special", (("category", ("a",)),), Hints(), 3)
        assert filtered == [id for id in served if int(id[1:]) % 2]

    run(tell)


@pytest.mark.parametrize("name", ["unknown", "off", "../special", "x" * 300])
def test_unknown_or_disabled_feed_is_404(tmp_path: Path, name: str) -> None:
    async def tell() -> None:
        here = await world(tmp_path, Tenant("tenant_1", "G"), [], [], [])
        await save(here, "tenant_1", {"enabled": False}, "off")
        with pytest.raises(Problem) as caught:
            here.feed.named_feeds.of(here.tenant, name)
        assert (caught.value.status, caught.value.code) == (404, "feed_not_found")

    run(tell)


def test_a_feed_of_another_tenant_is_404_and_its_playlist_is_empty(tmp_path: Path) -> None:
    async def tell() -> None:
        here = await world(tmp_path, Tenant("tenant_1", "NC17"), catalog_of_12, [], [])
        await save(here, "tenant_2", {})
        await here.documents.write(VIDEOS, "tenant_2", [Upsert(catalog_of_12[0].to_document())])
        with pytest.raises(Problem):
            here.feed.named_feeds.of(here.tenant, "special")
        assert (await walk(here, HOME, (("playlist", ("cup",)),), Hints(), 5))[0] == []

    run(tell)


def test_cursor_is_valid_for_its_feed_and_filters_only(tmp_path: Path) -> None:
    async def tell() -> None:
        here = await world(tmp_path, Tenant("tenant_1", "NC17"), catalog_of_12, [], [])
        await save(here, "tenant_1", {})
        named, tenant = here.feed.named_feeds.of(here.tenant, "special")
        asks: list[tuple[NamedFeed | None, Criteria]] = [
            (feed, asked) for feed in (None, named) for asked in ((), (("category", ("a",)),), (("creator", ("x",)),))
        ]
        for feed, asked in asks:
            query = FeedQuery(2, None, Hints(), True, filters=asked)
            cursor = (await here.feed.serve_feed(query, tenant, USER, NOW, feed=feed)).page.next_cursor
            assert cursor is not None
            for other, others in asks:
                again = FeedQuery(2, cursor, Hints(), True, filters=others)
                if number_of(other, others) == number_of(feed, asked):
                    assert (await here.feed.serve_feed(again, tenant, USER, NOW, feed=other)).page.first_rank == 2
                else:
                    with pytest.raises(Problem) as caught:
                        await here.feed.serve_feed(again, tenant, USER, NOW, feed=other)
                    assert (caught.value.status, caught.value.code) == (400, "cursor_of_another_feed")

    run(tell)


def test_request_filters_leave_nothing_in_any_cache(tmp_path: Path) -> None:
    """Ready pages, cached orders, base sets and playlist rows do not grow with what callers send."""

    async def tell() -> None:
        here = await world(tmp_path, Tenant("tenant_1", "NC17"), catalog_of_12, [], [])
        await save(here, "tenant_1", {})
        await walk(here, HOME, (("playlist", ("cup",)),), Hints(), 5)
        feed = here.feed
        caches = (feed.ready_pages.kept, feed.fallback.orders, feed.subsets.bases, feed.subsets.playlists)
        before = [len(cache) for cache in caches]
        for number in range(100):
            for kind in values:
                asked: Criteria = ((kind, (f"invented {number}",)),)
                assert await walk(here, HOME, asked, Hints(), 5) == ([], {FALLBACK})
                await walk(here, HOME, (("category", ("a", f"invented {number}")),), Hints(), 50)
        assert [len(cache) for cache in caches] == before

    run(tell)


def test_unreadable_base_set_does_not_become_every_video() -> None:
    for base in (5, ["a"], {"tags": "a"}, {"tags": [1]}, {"moods": ["calm"]}):
        with pytest.raises(ValueError, match="base set"):
            NamedFeed.from_document({"feedId": "f", "base": base})
