"""A ready page equals a new one after any change, and belongs to no user."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events.fold import fold
from events.schema import Event
from feed.catalog import Catalog
from feed.cursor import Served
from feed.filters import enforce_serving_policy
from feed.page import Page
from feed.pipeline import Feed
from feed.query import NO_HINTS, FeedQuery, Hints
from feed.session import FeedSession
from feed.tenant_models import ServedModels
from ranking.model import LinearModel, global_model, popularity_model
from ranking.stats import StatsTable
from shared.adapters.documents.port import Document
from shared.domain.age_bands import AgeBand
from shared.domain.fingerprint import fingerprint
from shared.domain.keys import KeyRing
from shared.domain.player_media import NO_MEDIA, PlayerMedia
from shared.domain.records import Tenant, Video
from shared.domain.rules import ACTIONS, NO_RULES, Audience, Condition, Editorial, Rule
from shared.domain.user_signals import Signals
from shared.observability.metrics import Telemetry

NOW = 1_800_000_000.0
SECRET = base64.b64encode(b"for tests only, 32 bytes or more").decode()
IDS = [f"v{number}" for number in range(12)]


@dataclass
class World:
    """A tenant that changes during requests. It stands for the directory, the flags and the age of the content."""

    tenant: Tenant = field(default_factory=lambda: Tenant("t", "R", {"13-17": "PG"}))
    rules: Editorial = NO_RULES
    diverse: bool = True
    models: ServedModels = field(default_factory=lambda: ServedModels(global_model(), popularity_model(), None))
    now: float = NOW
    catalog: Catalog = field(default_factory=lambda: Catalog("t"))

    def __post_init__(self) -> None:
        self.feed = self.new_feed()

    def new_feed(self) -> Feed:
        parts: Any = dict.fromkeys(("signals", "experiments", "dark_launch", "flags_refresher", "archive_pseudonym"))
        here: Any = self
        keys, telemetry = KeyRing(f"k:{SECRET}"), Telemetry()
        return Feed(**parts, catalogs=here, models=here, flags=here, tenants=here, keys=keys, telemetry=telemetry)

    def of(self, tenant: Tenant, feed: str = "home") -> ServedModels:
        return self.models

    def editorial(self, tenant_id: str) -> Editorial:
        return self.rules

    def on(self, flag: str, *_: object) -> bool:
        return self.diverse

    def age(self) -> float:
        return 0.0

    def page(
        self,
        feed: Feed,
        hints: Hints,
        limit: int,
        signals: Signals | None,
        include: tuple[str, ...] = (),
        user: str = "user",
    ) -> Page:
        query = FeedQuery(limit, None, hints, True, include=include)
        session = FeedSession(query, self.tenant, user, Served(int(self.now), 1), self.now)
        selection = feed._select(session, self.catalog, signals, "cold_start")
        viewer = session.viewer(None, feed.rulebook.of(self.tenant, self.rules, self.catalog.columns, hints, self.now))
        assert enforce_serving_policy(self.catalog.columns, selection.slate.rows, viewer).all()
        return feed._page(session, self.catalog, selection)

    def shown(
        self, feed: Feed, hints: Hints, limit: int, signals: Signals | None, include: tuple[str, ...]
    ) -> tuple[bytes, str]:
        """Return the bytes sent without the user's own parts, and the ETag."""
        page = self.page(feed, hints, limit, signals, include)
        alike = replace(page, next_cursor=page.next_cursor and "cursor", feed_request_id="receipt")
        body = alike.body(self.catalog)
        packed, compressed = alike.encoded(self.catalog, 0)
        assert compressed
        assert gzip.decompress(packed) == body
        return body, page.etag(self.catalog, "user", self.now)

    def put(self, video: Video) -> None:
        self.catalog.apply(Document("t", video.id, video.to_document(), ""))


moments = st.sampled_from([-86_400.0, -1.0, 0.0, 1.0, 4.0, 9.0, 10.0, 12.0, 61.0]).map(lambda after: NOW + after)
videos = st.builds(
    Video,
    id=st.sampled_from(IDS),
    title=st.sampled_from(["One", "Two", "Three"]),
    playback_url=st.just("https://cdn.example/v.m3u8"),
    category=st.sampled_from(["a", "b", "c"]),
    creator=st.sampled_from(["x", "y", ""]),
    maturity_rating=st.sampled_from(["G", "PG", "R", "NC17", ""]),
    countries=st.sampled_from([(), (), ("DE",)]),
    active=st.sampled_from([True, True, True, False]),
    media=st.sampled_from([NO_MEDIA, PlayerMedia(metadata={"a": 1})]),
    published_at=moments,
    expires_at=st.none() | moments,
)
rules = st.builds(
    Rule,
    id=st.sampled_from(["r1", "r2"]),
    name=st.just("rule"),
    action=st.sampled_from(ACTIONS),
    condition=st.sampled_from(
        [Condition(categories=("a",)), Condition(categories=("b",)), Condition(video_ids=("v1",))]
    ),
    audience=st.sampled_from([Audience(), Audience(frozenset({"DE"}))]),
    multiplier=st.sampled_from([0.5, 3.0]),
    positions=st.sampled_from([(1,), (2, 3)]),
    starts_at=st.none() | moments,
    ends_at=st.none() | moments,
)
hints = st.builds(
    Hints, st.sampled_from([None, "DE", "FR"]), age_band=st.sampled_from([None, AgeBand(13, 17), AgeBand(18, 30)])
)
askers = st.lists(
    st.tuples(
        st.just(NO_HINTS) | hints,
        st.sampled_from([1, 3, 20]),
        st.sampled_from(["nobody", "seen", "dismissed"]),
        st.sampled_from([(), ("metadata",)]),
    ),
    min_size=1,
    max_size=4,
)


def _set(name: str, value: Any) -> Callable[[World], None]:
    return lambda world: setattr(world, name, value)


def _wait(seconds: float) -> Callable[[World], None]:
    return lambda world: setattr(world, "now", world.now + seconds)


def _watched(id: str) -> Callable[[World], None]:
    table = StatsTable()
    table.add((id, NOW - 60.0, "video_view", 30_000.0, 30.0) for _ in range(50))
    return lambda world: world.catalog.stats.replace(table)


def fitted(weights: dict[str, float]) -> ServedModels:
    """The models of a tenant whose learning found these popularity weights."""
    return ServedModels(global_model(), LinearModel.checked(f"{weights}", weights), None)


changes = st.one_of(
    st.sampled_from([0.0, 0.5, 1.0, 3.0, 10.0, 60.0]).map(_wait),
    videos.map(lambda video: lambda world: world.put(video)),
    st.sampled_from(IDS).map(lambda id: lambda world: world.catalog.columns.remove(id)),
    st.lists(rules, max_size=2).map(lambda found: _set("rules", Editorial.of({rule.id: rule for rule in found}, {}))),
    st.sampled_from([Tenant("t", "G"), Tenant("t", "R", streak_cap=1), Tenant("t", "PG", creator_cap=1)]).map(
        lambda tenant: _set("tenant", tenant)
    ),
    st.booleans().map(lambda on: _set("diverse", on)),
    st.sampled_from([{"quality": 1.0}, {"demand_7d": -1.0, "country_match": 2.0}]).map(
        lambda weights: _set("models", fitted(weights))
    ),
    st.sampled_from(IDS).map(_watched),
)


def known(kind: str) -> Signals | None:
    """The signals of a new user: none, of a view, or of a dislike."""
    if kind == "nobody":
        return None
    event = {"seen": "video_view", "dismissed": "not_interested"}[kind]
    return fold(None, [Event(event, "v1", int(NOW * 1000), fingerprint("e"), watch_ms=9_000.0)], {}, 14.0, NOW)


@settings(max_examples=150, deadline=None)
@given(st.lists(videos, max_size=12), askers, st.lists(changes, max_size=8))
def test_ready_page_is_byte_for_byte_what_a_new_one_would_be(
    catalog: list[Video], asking: list[tuple[Hints, int, str, tuple[str, ...]]], steps: list[Callable[[World], None]]
) -> None:
    """Compared with a feed that has no cached page or order; its rules were compiled in these 10 s."""
    world = World()
    for video in catalog:
        world.put(video)
    for step in [_wait(0.0), *steps]:
        step(world)
        for hint, limit, kind, include in asking:
            afresh = world.new_feed()
            afresh.rulebook = world.feed.rulebook
            asked = (hint, limit, known(kind), include)
            assert world.shown(world.feed, *asked) == world.shown(afresh, *asked)


def test_two_new_users_share_the_videos_but_no_cursor_receipt_or_etag() -> None:
    world = World()
    for id in IDS:
        world.put(Video(id, id, "https://cdn.example/v.m3u8", "a", maturity_rating="G"))
    one, other = (world.page(world.feed, NO_HINTS, 2, None, user=user) for user in ("one", "other"))
    assert one.ready is not None
    assert one.ready is other.ready
    assert one.next_cursor != other.next_cursor
    assert one.feed_request_id != other.feed_request_id
    assert one.etag(world.catalog, "one", NOW) != other.etag(world.catalog, "other", NOW)


@pytest.mark.parametrize("kind", ["nobody", "seen"])
def test_repeated_page_is_not_built_again(kind: str) -> None:
    world = World()
    for id in IDS:
        world.put(Video(id, id, "https://cdn.example/v.m3u8", "a", maturity_rating="G"))
    first = world.page(world.feed, NO_HINTS, 5, known(kind))
    world.now += 1.0
    assert world.page(world.feed, NO_HINTS, 5, known(kind)).ready is first.ready
    world.now += 10.0
    assert world.page(world.feed, NO_HINTS, 5, known(kind)).ready is not first.ready


def test_user_who_dismissed_a_video_never_gets_a_ready_page_with_it() -> None:
    world = World()
    for id in IDS:
        world.put(Video(id, id, "https://cdn.example/v.m3u8", "a", maturity_rating="G"))
    row = world.catalog.columns.row("v1")
    assert row in world.page(world.feed, NO_HINTS, 20, None).rows
    assert row not in world.page(world.feed, NO_HINTS, 20, known("dismissed")).rows
