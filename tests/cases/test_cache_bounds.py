"""Requests grow no cache beyond its byte budget: hints are reduced to those a tenant's rules name."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events import video_facts
from feed import editorial, fallback, signals_reader
from feed.catalog import Catalog
from feed.cursor import Served
from feed.editorial import Rulebook, steer
from feed.fallback import Fallback
from feed.filters import apply_filters
from feed.named_hints import HintReducer, named_hints
from feed.query import FeedQuery, Hints, read_hints
from feed.selection import select
from feed.session import FeedSession
from ranking.columns import MAX_TAGS
from ranking.model import global_model
from shared.adapters.documents.port import Document
from shared.domain.age_bands import LAST_YEAR, AgeBand
from shared.domain.records import Tenant, Video
from shared.domain.rules import ACTIONS, Audience, Condition, Editorial, Rule
from shared.domain.tenant_cache import ENTRY_BYTES, TenantCache
from shared.web import user_tokens
from tests.cms.editor import new_editor
from tests.e2e.conftest import _no_secret_is_ever_logged, app
from tests.served_app import App, make_video

__all__ = ["_no_secret_is_ever_logged", "app"]
NOW = 1_800_000_000.0

countries = st.sampled_from(["DE", "FR", "GB", "US", "JP"])
languages = st.sampled_from(["en", "en-latn-us", "en-latn-gb", "zh", "zh-hant", "zh-hans-cn", "ja", "fr-latn-fr"])
platforms = st.sampled_from(["ios", "android", "web", "tv"])
bands = st.tuples(st.integers(0, 20), st.integers(0, 20) | st.just(LAST_YEAR)).map(lambda b: AgeBand(min(b), max(b)))
hints_drawn = st.builds(
    Hints, st.none() | countries, st.none() | languages, st.none() | bands, st.none() | platforms
)  # fmt: skip


def few(values: st.SearchStrategy[object]) -> st.SearchStrategy[frozenset[object]]:
    return st.frozensets(values, max_size=2)


rules_drawn = st.lists(
    st.builds(
        Rule,
        id=st.uuids().map(str),
        name=st.just("rule"),
        action=st.sampled_from(ACTIONS),
        condition=st.sampled_from([Condition(categories=("a",)), Condition(categories=("b",)), Condition(tags=("t",))]),
        audience=st.builds(Audience, few(countries), few(languages), few(bands), few(platforms)),
        multiplier=st.sampled_from((0.5, 3.0)),
        positions=st.lists(st.integers(1, 6), max_size=2).map(tuple),
    ),
    max_size=5,
)
videos_drawn = st.lists(
    st.builds(
        Video,
        id=st.uuids().map(str),
        title=st.uuids().map(str),
        playback_url=st.just("https://x"),
        category=st.sampled_from(["a", "b"]),
        tags=st.sampled_from([(), ("t",)]),
        maturity_rating=st.sampled_from(["G", "PG", "R"]),
        language=st.none() | languages,
        countries=st.lists(countries, max_size=2).map(tuple),
        age_bands=st.lists(bands.map(str), max_size=2).map(tuple),
        platforms=st.lists(platforms, max_size=2).map(tuple),
    ),
    max_size=8,
)


def catalog_of(videos: list[Video]) -> Catalog:
    catalog = Catalog("t")
    for video in videos:
        catalog.apply(Document("t", video.id, video.to_document(), ""))
    return catalog


def served(catalog: Catalog, tenant: Tenant, rules: Editorial, hints: Hints, personal: bool) -> tuple[object, ...]:
    session = FeedSession(FeedQuery(5, None, hints, True), tenant, "u", Served(int(NOW), 1), NOW)
    steering = steer(rules, catalog.columns, hints, NOW)
    viewer, options = session.viewer(None, steering), session.ranking_options(catalog)
    slate, _ = select(catalog, viewer, options, steering, 0, global_model() if personal else None, Fallback())
    return apply_filters(catalog.columns, viewer).kept.tolist(), slate.rows.tolist(), slate.scores.round(9).tolist()


@given(videos_drawn, rules_drawn, st.dictionaries(bands.map(str), st.sampled_from(["G", "PG"]), max_size=3),
       hints_drawn, st.booleans())  # fmt: skip
def test_reduced_hints_get_the_same_page_as_full_hints(
    videos: list[Video], rules: list[Rule], policies: dict[str, str], hints: Hints, personal: bool
) -> None:
    catalog, tenant = catalog_of(videos), Tenant("t", "R", policies)
    rulebook = Editorial.of({rule.id: rule for rule in rules}, {})
    reduced = named_hints(tenant, rulebook, catalog.columns).reduce(hints)
    assert served(catalog, tenant, rulebook, reduced, personal) == served(catalog, tenant, rulebook, hints, personal)


def invented(draw: random.Random) -> Iterator[Hints]:
    """Yield a new viewer each time, with readable hints."""
    while True:
        yield read_hints(
            "".join(draw.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=2)),
            "".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=3)),
            f"{draw.randrange(100)}-{100 + draw.randrange(100)}",
            "".join(draw.choices("abcdefghij", k=12)),
        )


@settings(max_examples=10)
@given(videos_drawn, rules_drawn, st.integers())
def test_hints_unknown_to_the_tenant_collapse_into_few_viewer_kinds(
    videos: list[Video], rules: list[Rule], seed: int
) -> None:
    catalog, tenant = catalog_of(videos), Tenant("t", "R", {"0-12": "G"})
    rulebook = Editorial.of({rule.id: rule for rule in rules}, {})
    reducer, viewers = HintReducer(), invented(random.Random(seed))
    kinds = {reducer.of(tenant, rulebook, catalog.columns, next(viewers)) for _ in range(2_000)}
    named = named_hints(tenant, rulebook, catalog.columns)
    most = (len(named.countries) + 1) * (2 * len(named.languages) + 2) * (len(named.ages) + 2) ** 2 * 2
    assert len(kinds) <= most


# ---- byte budgets


@dataclass(frozen=True)
class Put:
    tenant: int
    key: int
    size: int


puts = st.lists(st.builds(Put, st.integers(0, 5), st.integers(0, 20), st.integers(0, 3_000)), max_size=200)


@given(puts, st.integers(1_000, 20_000), st.sampled_from([0.25, 0.5, 1.0]))
def test_no_sequence_of_keys_grows_a_cache_beyond_its_budget(sequence: list[Put], budget: int, share: float) -> None:
    cache, held = TenantCache[int, int](budget, share=share), dict[tuple[str, int], tuple[int, int]]()
    for number, put in enumerate(sequence):
        cache.put(f"t{put.tenant}", put.key, number, put.size)
        held[f"t{put.tenant}", put.key] = (number, put.size + ENTRY_BYTES)
        kept = {key: value for key, value in held.items() if cache.get(*key) is not None}
        assert all(cache.get(*key) == value for key, (value, _) in kept.items())
        assert cache.held_bytes == sum(size for _, size in kept.values()) <= budget
        assert len(cache) == len(kept)
        for tenant in range(6):
            mine = sum(size for (name, _), (_, size) in kept.items() if name == f"t{tenant}")
            assert cache.held_by(f"t{tenant}") == mine <= budget * share
        held = kept


def test_new_keys_of_one_tenant_do_not_evict_another_tenants_entries() -> None:
    cache = TenantCache[int, int](100 * ENTRY_BYTES)
    for tenant in range(4):
        for key in range(15):
            cache.put(f"t{tenant}", key, key)
    for key in range(10_000):
        cache.put("greedy", key, key)
    assert all(cache.get(f"t{tenant}", key) == key for tenant in range(4) for key in range(15))
    assert cache.held_by("greedy") == 25 * ENTRY_BYTES


def test_invented_hints_of_one_tenant_do_not_evict_others_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(editorial, "STEERING_BYTES", 400_000)
    monkeypatch.setattr(fallback, "ORDERS_BYTES", 2_000_000)
    names = [f"{a}{b}" for a in "abcdefghij" for b in "abcdefghij"]
    rules = {
        name: Rule(name, name, "exclude", Condition(categories=("a",)), Audience(platforms=frozenset({name})))
        for name in names
    }
    many = Editorial.of(rules, {})
    catalog = catalog_of([Video(f"v{n}", f"v{n}", "https://x", "ab"[n % 2], maturity_rating="G") for n in range(500)])
    book, orders = Rulebook(), Fallback()

    def ask(tenant: str, hints: Hints) -> object:
        catalog.tenant_id = tenant
        session = FeedSession(FeedQuery(5, None, hints, True), Tenant(tenant, "R"), "u", Served(int(NOW), 1), NOW)
        steering = book.of(session.tenant, many, catalog.columns, hints, NOW)
        viewer, options = session.viewer(None, steering), session.ranking_options(catalog)
        orders.page(catalog, viewer, options, steering)
        return steering

    mine = Hints(platform="aa")
    before = ask("quiet", mine)
    for name in names:
        for low in range(10):
            ask("greedy", Hints(platform=name, age_band=AgeBand(low, low)))
            assert book.kept.held_bytes <= 400_000
            assert orders.orders.held_bytes <= 2_000_000
    assert book.kept.held_by("greedy") <= 100_000
    assert orders.orders.held_by("greedy") <= 500_000
    assert ask("quiet", mine) is before


@pytest.mark.asyncio(loop_scope="module")
async def test_a_new_hint_with_each_request_adds_nothing_to_the_caches(app: App) -> None:
    videos = [make_video(f"v{n}", "ab"[n % 2], language="en", platforms=("ios",)) for n in range(20)]
    editor = await new_editor(app, videos)
    rule = {
        "id": "r",
        "name": "r",
        "action": "exclude",
        "match": {"categories": ["a"]},
        "audience": {"platforms": ["tv"]},
    }
    assert (await editor.post("rules", rule)).status == 201
    await editor.seen()
    feed = app.services.feed
    viewers, sizes = invented(random.Random(1)), []
    for number in range(60):
        hints = next(viewers)
        answer = await editor.client.feed(platform=hints.platform, language=f"q{number}", ageBand=f"{number}-99")
        assert answer.status == 200
        sizes.append((len(feed.rulebook.kept), len(feed.fallback.orders)))
    assert sizes[-1] == sizes[10]


def test_sum_of_all_cache_budgets_is_bounded() -> None:
    megabytes = (
        editorial.STEERING_BYTES + editorial.MATCHING_BYTES + fallback.ORDERS_BYTES
        + signals_reader.KEPT_BYTES + user_tokens.KEPT_BYTES
    ) / 2**20  # fmt: skip
    assert megabytes <= 450
    assert video_facts.MAX_REMEMBERED * (video_facts.FACTS_BYTES + ENTRY_BYTES) <= 120_000_000


# ---- tags beyond the stored ones


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("place", [0, 7, 8, 19])
@pytest.mark.parametrize("part", ["tags", "allTags"])
async def test_a_rule_that_excludes_a_tag_sees_every_tag_of_a_video(app: App, place: int, part: str) -> None:
    tags = [f"tag {number}" for number in range(20)]
    tags[place] = "gambling"
    editor = await new_editor(app, [make_video("poker", tags=tuple(tags)), make_video("plain", tags=tuple(tags[8:16]))])
    match = {part: ["gambling"]} if place < 8 or place > 15 else {part: ["gambling"], "videoIds": ["poker"]}
    rule = {"id": "never", "name": "Never", "action": "exclude", "match": match}
    assert (await editor.post("rules", rule)).status == 201
    await editor.seen()
    assert (await editor.client.feed()).ids == ["plain"]


tag_lists = st.lists(st.integers(0, 40).map(lambda n: f"t{n}"), max_size=30).map(tuple)


@given(st.lists(tag_lists, min_size=1, max_size=12), st.lists(st.tuples(st.integers(0, 11), tag_lists), max_size=6))
def test_every_tag_is_found_after_any_change(
    first: list[tuple[str, ...]], changes: list[tuple[int, tuple[str, ...]]]
) -> None:
    catalog, now = Catalog("t"), dict(enumerate(first))
    for number, tags in [*now.items(), *changes]:
        now[number] = tags
        video = Video(f"v{number}", "t", "https://x", "a", tags=tags)
        catalog.apply(Document("t", video.id, video.to_document(), ""))
    columns = catalog.columns
    for tag in {"t0", "t40", *first[0]}:
        mask = columns.tagged((tag,))
        assert {columns.ids[row] for row in np.flatnonzero(mask)} == {f"v{n}" for n, tags in now.items() if tag in tags}
    assert columns.tag_width <= MAX_TAGS
