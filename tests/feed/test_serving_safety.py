"""Ranking, boosts, history, flags and cursors never change which videos may be served."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bootstrap
from events.fold import fold
from events.schema import Event
from events.video_facts import Facts
from feed.filters import Viewer, apply_filters, enforce_serving_policy, maturity_limit
from feed.pipeline import FALLBACK, PERSONALIZED, REASONS, Feed, Result
from feed.query import FeedQuery, Hints
from feed.similar_videos import SimilarVideos
from ranking import FEATURES, build
from ranking.stats import StatsTable
from shared.adapters.documents.port import USER_ACTIVITY, VIDEO_STATS, VIDEOS, Upsert
from shared.adapters.flags.evaluation import PERSONALIZED_FEED
from shared.adapters.tenant_directory import TenantDirectory
from shared.domain.age_bands import AgeBand
from shared.domain.event_types import EVENT_TYPES
from shared.domain.fingerprint import fingerprint
from shared.domain.records import RATINGS, Tenant, Video
from shared.domain.signals_document import to_document
from shared.settings import Settings
from shared.web.problems import Problem
from tests.events.topic import MemoryTopic
from tests.memory_documents import MemoryDocuments

NOW = 1_700_000_000.0
USER = "user-key"
SECRET = base64.b64encode(b"for tests only, 32 bytes or more").decode()


@dataclass
class Flag:
    """A flag source with a value set by the test."""

    flags: list[dict[str, Any]] = field(default_factory=list)

    async def load(self) -> dict[str, Any]:
        return {"feature_management": {"feature_flags": self.flags}}

    async def close(self) -> None:
        pass


ratings = st.sampled_from([*RATINGS, *RATINGS, "", "X", "pg"])
times = st.sampled_from([0.0, NOW - 86_400, NOW - 1, NOW, NOW + 1, NOW + 86_400])
videos = st.lists(
    st.builds(
        Video,
        id=st.just(""),
        title=st.sampled_from(["One title", "Another title", "", "Third"]),
        playback_url=st.just("https://cdn.example/v.m3u8"),
        category=st.sampled_from(["fitness", "cooking", "travel", ""]),
        tags=st.lists(st.sampled_from(["a", "b", "c"]), max_size=3).map(tuple),
        creator=st.sampled_from(["x", "y", ""]),
        duration_seconds=st.sampled_from([0.0, 5.0, 30.0, 600.0]),
        maturity_rating=ratings,
        editorial_boost=st.sampled_from([-10.0, 0.0, 10.0]),
        language=st.sampled_from([None, "en", "de"]),
        countries=st.sampled_from([(), (), ("DE",), ("FR", "DE")]),
        active=st.sampled_from([True, True, True, False]),
        published_at=times,
        expires_at=st.none() | times,
    ),
    max_size=40,
).map(lambda found: [replace(video, id=f"v{n}") for n, video in enumerate(found)])
weights = st.dictionaries(st.sampled_from(list(FEATURES)), st.floats(-1_000, 1_000), max_size=6) | st.just({"odd": 1.0})
tenants = st.builds(
    Tenant,
    id=st.just("tenant_1"),
    maturity_policy=st.sampled_from([*RATINGS, *RATINGS, None, "", "odd"]),
    age_band_policies=st.dictionaries(st.sampled_from(["13-17", "18+", "60-70"]), st.sampled_from([*RATINGS, "odd"])),
    use_personalization=st.sampled_from([True, True, True, False]),
    weights=weights,
    affinity_half_life_days=st.sampled_from([1.0, 14.0, 30.0]),
    streak_cap=st.integers(0, 3),
    feature_flags=st.dictionaries(st.just(PERSONALIZED_FEED), st.booleans()),
)
flags = st.sampled_from(
    [
        [{"id": PERSONALIZED_FEED, "enabled": True}],
        [{"id": PERSONALIZED_FEED, "enabled": True}],
        [{"id": PERSONALIZED_FEED, "enabled": False}],
        [],
    ]
)
hints = st.builds(
    Hints,
    country=st.sampled_from([None, "DE", "FR", "US"]),
    language=st.sampled_from([None, "en", "de"]),
    age_band=st.sampled_from([None, *(AgeBand(*band) for band in ((13, 17), (15, 20), (18, 999), (65, 999), (0, 5)))]),
)
history = st.lists(
    st.tuples(
        st.sampled_from(list(EVENT_TYPES)), st.integers(0, 45), st.integers(0, 7 * 86_400), st.integers(0, 60_000)
    ),
    max_size=40,
)


def events_of(rows: list[tuple[str, int, int, int]]) -> list[Event]:
    return [
        Event(kind, f"v{video}", int((NOW - ago) * 1000), fingerprint(f"{at}"), watch_ms=float(watch))
        for at, (kind, video, ago, watch) in enumerate(rows)
    ]


@dataclass
class World:
    """One tenant's feed on an in-memory store."""

    feed: Feed
    similar: SimilarVideos
    documents: MemoryDocuments
    tenant: Tenant
    tenants: TenantDirectory

    async def page(self, hints: Hints, cursor: str | None, limit: int, consented: bool = True) -> Result:
        query = FeedQuery(limit, cursor, hints, consented)
        return await self.feed.serve_feed(query, self.tenant, USER, NOW)


async def world(
    folder: Path,
    tenant: Tenant,
    catalog: list[Video],
    rows: list[tuple[str, int, int, int]],
    flag: list[dict[str, Any]],
) -> World:
    documents = MemoryDocuments(lambda: NOW)
    for video in catalog:
        await documents.write(VIDEOS, tenant.id, [Upsert(video.to_document())])
    table, told = StatsTable(), events_of(rows)
    durations = {video.id: video.duration_seconds for video in catalog}
    table.add([(e.video_id, e.at_ms / 1000, e.type, e.watch_ms or 0.0, durations.get(e.video_id, 0.0)) for e in told])
    if len(table):
        stats = {"id": "stats:tenant_1", "kind": "stats", "lastSequence": 1, "packed": table.pack()}
        await documents.write(VIDEO_STATS, tenant.id, [Upsert(stats)])
    if told:
        facts = {v.id: Facts(v.category, v.tags, v.creator, v.duration_seconds) for v in catalog}
        signals = fold(None, told, facts, tenant.affinity_half_life_days, NOW)
        await documents.write(USER_ACTIVITY, USER, [Upsert(to_document(signals))])
    app = bootstrap.build(
        Settings(data_folder=str(folder), signing_keys=f"test:{SECRET}", identity_secret=SECRET),
        clock=lambda: NOW,
        documents=documents,
        bus=MemoryTopic(),  # type: ignore[arg-type]
        flag_source=Flag(flag),
    )
    await app.flags_refresher.refresh()
    return World(app.feed, app.similar, documents, tenant, app.tenants)


def may_be_served(video: Video, tenant: Tenant, hints: Hints) -> bool:
    """The rule as documented, written without the code under test."""
    policy = RATINGS.get(tenant.maturity_policy or "", 0)
    ages = set(range(hints.age_band.low, hints.age_band.high + 1)) if hints.age_band else set()
    for name, years in {"13-17": range(13, 18), "18+": range(18, 1_000), "60-70": range(60, 71)}.items():
        if name in tenant.age_band_policies and not ages.isdisjoint(years):
            policy = min(policy, RATINGS.get(tenant.age_band_policies[name], 0))
    return (
        video.active
        and video.published_at <= NOW
        and (video.expires_at is None or video.expires_at > NOW)
        and video.maturity_rating in RATINGS
        and RATINGS[video.maturity_rating] <= policy
        and (not video.countries or hints.country in video.countries)
    )


def run(tell: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def told() -> None:
        try:
            await tell()
        finally:
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

    asyncio.run(told())


BOUNDED = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@BOUNDED
@given(tenants, videos, history, flags, hints, st.integers(1, 50), st.booleans())
def test_exactly_the_servable_videos_are_served(
    tmp_path: Path,
    tenant: Tenant,
    catalog: list[Video],
    rows: list[tuple[str, int, int, int]],
    flag: list[dict[str, Any]],
    hints: Hints,
    limit: int,
    consented: bool,
) -> None:
    """Pages to the end serve exactly the servable videos that the user has not seen or dismissed."""

    async def tell() -> None:
        here = await world(tmp_path, tenant, catalog, rows, flag)
        allowed = {video.id for video in catalog if may_be_served(video, tenant, hints)}
        served: list[str] = []
        modes: set[str] = set()
        cursor: str | None = None
        while True:
            result = await here.page(hints, cursor, limit, consented)
            page = result.page
            assert (page.reason is None) == (page.mode == PERSONALIZED)
            assert page.reason is None or page.reason in REASONS
            modes.add(page.mode)
            served += [result.catalog.columns.ids[row] for row in page.rows.tolist()]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert len(served) == len(set(served))
        assert set(served) <= allowed
        seen = {event.video_id for event in events_of(rows)}
        if modes == {FALLBACK}:
            assert set(served) == allowed
        else:
            assert set(served) == allowed - seen

    run(tell)


@BOUNDED
@given(tenants, videos, history, flags, hints, st.lists(st.integers(0, 45), max_size=50))
def test_videos_by_id_are_exactly_those_a_feed_may_serve(
    tmp_path: Path,
    tenant: Tenant,
    catalog: list[Video],
    rows: list[tuple[str, int, int, int]],
    flag: list[dict[str, Any]],
    hints: Hints,
    asked: list[int],
) -> None:
    """Seen videos are included, because a link can lead there. In the order of the ids."""

    async def tell() -> None:
        here = await world(tmp_path, tenant, catalog, rows, flag)
        allowed = {video.id for video in catalog if may_be_served(video, tenant, hints)}
        ids = [f"v{number}" for number in dict.fromkeys(asked)]
        found = await here.feed.look_up(ids, FeedQuery(50, None, hints, False), tenant, USER, NOW)
        assert [found.catalog.columns.ids[row] for row in found.rows] == [id for id in ids if id in allowed]
        viewer = Viewer(NOW, maturity_limit(tenant, hints.age_band), hints.country, np.zeros(0, np.uint32))
        assert set(found.rows) <= set(apply_filters(found.catalog.columns, viewer).kept.tolist())

    run(tell)


@BOUNDED
@given(tenants, videos, history, flags, hints, st.integers(0, 39), st.integers(1, 50), st.booleans(), st.booleans())
def test_similar_videos_are_servable_and_never_the_video_itself(
    tmp_path: Path,
    tenant: Tenant,
    catalog: list[Video],
    rows: list[tuple[str, int, int, int]],
    flag: list[dict[str, Any]],
    hints: Hints,
    asked: int,
    limit: int,
    consented: bool,
    learned: bool,
) -> None:
    """With learned neighbors and without; a hidden video is not found, whatever it is similar to."""

    async def tell() -> None:
        here = await world(tmp_path, tenant, catalog, rows, flag)
        held = await here.feed.catalogs.get(tenant.id)
        if learned and catalog:
            keys = held.columns.key[held.columns.rows()]
            held.stats.use_cowatch(build(np.zeros(len(keys), np.int64), keys, np.arange(len(keys), dtype=np.float64)))
        allowed = {video.id for video in catalog if may_be_served(video, tenant, hints)}
        query = FeedQuery(limit, None, hints, consented)
        if f"v{asked}" not in allowed:
            with pytest.raises(Problem, match="video_not_found"):
                await here.similar.of(f"v{asked}", query, tenant, USER, NOW)
            return
        page = await here.similar.of(f"v{asked}", query, tenant, USER, NOW)
        found = [page.catalog.columns.ids[row] for row in page.rows.tolist()]
        assert len(found) == len(set(found)) <= limit
        assert set(found) <= allowed - {f"v{asked}"}
        assert (page.reason is None) == (page.mode == PERSONALIZED)
        if page.mode == PERSONALIZED:
            assert not set(found) & {event.video_id for event in events_of(rows)}
        if not consented:
            assert page.reason == "no_consent"
            assert page.signals_at is None
        items = orjson.loads(page.body())["items"]
        assert [item["videoId"] for item in items] == found
        assert [item["because"] == "watched_together" for item in items] == page.together.tolist()
        assert learned or not page.together.any()

    run(tell)


@BOUNDED
@given(videos, history, hints)
def test_most_liberal_policy_serves_every_rated_scheduled_and_active_video(
    tmp_path: Path, catalog: list[Video], rows: list[tuple[str, int, int, int]], hints: Hints
) -> None:
    async def tell() -> None:
        tenant = Tenant("tenant_1", "NC17")
        here = await world(tmp_path, tenant, catalog, rows, [])
        result = await here.page(replace(hints, country="DE"), None, 50)
        wanted = {
            video.id
            for video in catalog
            if video.maturity_rating in RATINGS
            and video.active
            and video.published_at <= NOW < (video.expires_at if video.expires_at is not None else NOW + 1)
        }
        assert {result.catalog.columns.ids[row] for row in result.page.rows.tolist()} == wanted

    run(tell)


@BOUNDED
@given(tenants, videos, history, hints, st.data())
def test_video_that_changes_between_pages_is_judged_by_its_current_state(
    tmp_path: Path,
    tenant: Tenant,
    catalog: list[Video],
    rows: list[tuple[str, int, int, int]],
    hints: Hints,
    data: st.DataObject,
) -> None:
    """Both feeds are requested before and after, so a cached order cannot serve a removed video."""

    async def tell() -> None:
        here = await world(tmp_path, tenant, catalog, rows, [{"id": PERSONALIZED_FEED, "enabled": True}])
        for consented in (True, False):
            await here.page(hints, None, 50, consented)
        changed = []
        for video in catalog:
            kind = data.draw(st.sampled_from(["same", "taken down", "rated", "expired", "gone"]))
            if kind == "gone":
                tombstone = {"id": video.id, "kind": "video", "deleted": True}
                await here.documents.write(VIDEOS, tenant.id, [Upsert(tombstone)])
                continue
            changed.append(
                {
                    "same": replace(video, active=True),
                    "taken down": replace(video, active=False),
                    "rated": replace(video, maturity_rating=data.draw(ratings)),
                    "expired": replace(video, expires_at=NOW),
                }[kind]
            )
            await here.documents.write(VIDEOS, tenant.id, [Upsert(changed[-1].to_document())])
        assert await here.feed.catalogs.refresh()
        allowed = {video.id for video in changed if may_be_served(video, tenant, hints)}
        for consented in (True, False):
            result = await here.page(hints, None, 50, consented)
            served = {result.catalog.columns.ids[row] for row in result.page.rows.tolist()}
            assert served <= allowed
            assert consented or served == allowed

    run(tell)


@settings(max_examples=100, deadline=None)
@given(tenants, videos, hints, st.lists(st.integers(0, 39), max_size=20))
def test_final_filter_admits_nothing_that_the_filters_remove(
    tenant: Tenant, catalog: list[Video], hints: Hints, rows: list[int]
) -> None:
    """Maturity, schedule, status and country are checked once more for every row of the slate."""
    import numpy as np

    from feed.filters import maturity_limit
    from ranking.columns import VideoColumns

    columns = VideoColumns(catalog)
    slate = np.array([row for row in rows if row < len(catalog)], np.int64)
    viewer = Viewer(NOW, maturity_limit(tenant, hints.age_band), hints.country, np.zeros(0, np.uint32))
    passed = enforce_serving_policy(columns, slate, viewer).tolist()
    assert passed == [may_be_served(catalog[row], tenant, hints) for row in slate.tolist()]


@settings(max_examples=60, deadline=None)
@given(tenants, videos, hints)
def test_every_removed_video_has_the_reason_of_the_first_filter_that_removed_it(
    tenant: Tenant, catalog: list[Video], hints: Hints
) -> None:
    import numpy as np

    from feed.filters import FILTERS, maturity_limit
    from ranking.columns import VideoColumns

    columns = VideoColumns(catalog)
    viewer = Viewer(NOW, maturity_limit(tenant, hints.age_band), hints.country, np.zeros(0, np.uint32))
    filtered = apply_filters(columns, viewer)
    kept = set(filtered.kept.tolist())
    for row, video in enumerate(catalog):
        assert (row in kept) == may_be_served(video, tenant, hints) == (filtered.reason(row) is None)
        assert filtered.reason(row) is None or filtered.reason(row) in FILTERS
    assert sum(filtered.removed().values()) + len(kept) == len(catalog)


def test_an_age_band_never_raises_a_policy() -> None:
    from feed.filters import maturity_limit

    for policy in (*RATINGS, None, "odd"):
        for band in (*RATINGS, "odd"):
            tenant = Tenant("t", policy, {"18+": band})
            assert maturity_limit(tenant, AgeBand(20, 30)) <= maturity_limit(tenant, None)
            assert maturity_limit(tenant, AgeBand(0, 17)) == maturity_limit(tenant, None)


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_has_an_explanatory_sentence(reason: str) -> None:
    assert REASONS[reason].endswith(".")
