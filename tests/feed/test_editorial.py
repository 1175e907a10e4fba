"""Rules compiled to columns agree with rules read one video at a time, and never override a filter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feed.catalog import Catalog
from feed.editorial import NOTHING, Rulebook, matches, steer
from feed.fallback import Fallback
from feed.filters import Viewer, apply_filters
from feed.query import NO_HINTS, Hints
from feed.selection import select
from feed.tenant_models import DEMAND, with_half_life, with_weights_of
from ranking.columns import MAX_TAGS
from ranking.model import global_model, parse
from ranking.user_features import RankingOptions
from shared.adapters.documents.port import Document
from shared.domain.records import RATINGS, Tenant, Video
from shared.domain.rules import ACTIONS, MAX_PRODUCT, Audience, Condition, Editorial, Rule

NOW = 1_800_000_000.0
HOUR = 3_600.0
NAMES = ("a", "b", "c")

videos_drawn = st.lists(
    st.builds(
        Video,
        id=st.integers(0, 30).map(lambda n: f"v{n}"),
        title=st.integers(0, 9_999).map(lambda n: f"title {n}"),
        playback_url=st.just("https://x.example/v"),
        category=st.sampled_from(("", *NAMES)),
        tags=st.lists(st.sampled_from(NAMES), max_size=3, unique=True).map(tuple),
        creator=st.sampled_from(("", *NAMES)),
        duration_seconds=st.sampled_from((0.0, 5.0, 30.0, 90.0)),
        maturity_rating=st.sampled_from(("", *RATINGS)),
        active=st.sampled_from((True, True, True, False)),
        published_at=st.sampled_from((NOW - 100 * HOUR, NOW - HOUR, NOW + HOUR)),
    ),
    max_size=12,
    unique_by=lambda video: video.id,
)
some_names = st.lists(st.sampled_from((*NAMES, "unknown")), max_size=2).map(tuple)
some_ids = st.lists(st.integers(0, 32).map(lambda n: f"v{n}"), max_size=4).map(tuple)
conditions = st.builds(
    Condition,
    tags=some_names,
    all_tags=some_names,
    categories=some_names,
    creators=some_names,
    video_ids=some_ids,
    playlists=st.lists(st.sampled_from(("p", "q", "gone")), max_size=2).map(tuple),
    min_duration_seconds=st.sampled_from((None, 5.0, 31.0)),
    max_duration_seconds=st.sampled_from((None, 5.0, 31.0)),
    min_age_hours=st.sampled_from((None, 0.0, 2.0)),
    max_age_hours=st.sampled_from((None, 2.0, 200.0)),
)
rules_drawn = st.lists(
    st.builds(
        Rule,
        id=st.uuids().map(str),
        name=st.just("rule"),
        action=st.sampled_from(ACTIONS),
        condition=conditions,
        multiplier=st.sampled_from((0.1, 0.5, 3.0, 10.0)),
        positions=st.lists(st.integers(1, 6), max_size=3).map(tuple),
        priority=st.integers(-2, 2),
    ),
    max_size=6,
    unique_by=lambda rule: rule.id,
)
PLAYLISTS = {"p": ("v3", "v1", "v2"), "q": ("v9",)}


def catalog_of(videos: list[Video]) -> Catalog:
    catalog = Catalog()
    for video in videos:
        catalog.apply(Document("t", video.id, video.to_document(), ""))
    return catalog


def editorial_of(rules: list[Rule]) -> Editorial:
    return Editorial.of({rule.id: rule for rule in rules}, PLAYLISTS)


def means(condition: Condition, video: Video) -> bool:
    """Evaluate a condition one video at a time."""
    listed = [id for name in condition.playlists for id in PLAYLISTS.get(name, ())]
    age = (NOW - video.published_at) / HOUR
    return (
        (not condition.tags or bool(set(condition.tags) & set(video.tags)))
        and set(condition.all_tags) <= set(video.tags)
        and (not condition.categories or video.category in condition.categories)
        and (not condition.creators or video.creator in condition.creators)
        and (not condition.video_ids or video.id in condition.video_ids)
        and (not condition.playlists or video.id in listed)
        and (condition.min_duration_seconds is None or video.duration_seconds >= condition.min_duration_seconds)
        and (condition.max_duration_seconds is None or video.duration_seconds <= condition.max_duration_seconds)
        and (condition.min_age_hours is None or age >= condition.min_age_hours)
        and (condition.max_age_hours is None or age <= condition.max_age_hours)
    )


@given(videos_drawn, conditions)
def test_compiled_condition_equals_its_meaning_for_each_video(videos: list[Video], condition: Condition) -> None:
    assert MAX_TAGS >= 3
    columns = catalog_of(videos).columns
    mask = matches(condition, columns, editorial_of([]), NOW)
    assert {columns.ids[row] for row in np.flatnonzero(mask)} == {v.id for v in videos if means(condition, v)}


@given(videos_drawn, rules_drawn, st.sampled_from(sorted(RATINGS.values())), st.booleans(), st.integers(1, 8))
def test_no_rule_shows_a_filtered_video_or_one_twice(
    videos: list[Video], rules: list[Rule], limit_of_ratings: int, personal: bool, limit: int
) -> None:
    catalog, editorial = catalog_of(videos), editorial_of(rules)
    steering = steer(editorial, catalog.columns, NO_HINTS, NOW)
    viewer = Viewer(
        NOW,
        limit_of_ratings,
        None,
        np.zeros(0, np.uint32),
        excluded=steering.excluded,
        outside_limit=steering.outside_limit,
    )
    context = RankingOptions(NOW, limit=limit)
    model = global_model() if personal else None
    slate, _ = select(catalog, viewer, context, steering, 0, model, Fallback())
    rows = slate.rows.tolist()
    assert len(rows) == len(set(rows)) <= limit
    assert len(slate.scores) == len(rows)
    assert set(rows) <= set(apply_filters(catalog.columns, viewer).kept.tolist())
    served = [catalog.columns.ids[row] for row in rows]
    by_id = {video.id: video for video in videos}
    for rule in rules:
        if rule.action == "exclude":
            assert not [id for id in served if means(rule.condition, by_id[id])]
    limits = [rule for rule in editorial.rules if rule.action == "limit"]
    if limits:
        assert all(means(limits[0].condition, by_id[id]) for id in served)


def rule(id: str, action: str, **fields: object) -> Rule:
    return replace(Rule(id, id, action, Condition(categories=("a",))), **fields)  # type: ignore[arg-type]


def test_multipliers_of_many_rules_stay_within_bounds() -> None:
    columns = catalog_of([Video("v1", "t", "https://x", "a", maturity_rating="G")]).columns
    many = editorial_of([rule(f"r{n}", "boost", multiplier=10.0) for n in range(5)])
    adjustment = steer(many, columns, NO_HINTS, NOW).adjustment
    assert adjustment is not None
    assert np.exp(adjustment[0]) == np.float64(np.exp(np.log(MAX_PRODUCT)))


def test_pin_conflict_is_won_by_priority_and_then_the_lower_id() -> None:
    videos = [Video(id, id, "https://x", "a", maturity_rating="G") for id in ("v1", "v2", "v3")]
    catalog = catalog_of(videos)
    pins = [
        rule("b", "pin", positions=(1,), condition=Condition(video_ids=("v2",))),
        rule("a", "pin", positions=(1,), condition=Condition(video_ids=("v1",))),
        rule("z", "pin", positions=(1,), condition=Condition(video_ids=("v3",)), priority=5),
    ]

    def first(rules: list[Rule]) -> str:
        steering = steer(editorial_of(rules), catalog.columns, NO_HINTS, NOW)
        return catalog.columns.ids[int(steering.pins[0].rows[0])]

    assert (first(pins), first(pins[:2])) == ("v3", "v1")


def test_viewer_without_hints_is_in_no_named_audience() -> None:
    audience = Audience(countries=frozenset({"DE"}), languages=frozenset({"pt"}))
    assert audience.includes("DE", "pt-br", None, None)
    assert not audience.includes(None, "pt-br", None, None)
    assert not audience.includes("DE", None, None, None)
    assert not audience.includes("DE", "ptx", None, None)
    assert Audience().includes(None, None, None, None)


def test_rules_are_compiled_once_until_rules_or_catalog_change() -> None:
    catalog = catalog_of([Video("v1", "t", "https://x", "a", maturity_rating="G")])
    book, tenant = Rulebook(), Tenant("t")
    editorial = editorial_of([rule("r", "exclude")])

    def ask(which: Editorial = editorial, now: float = NOW, hints: Hints = NO_HINTS) -> object:
        return book.of(tenant, which, catalog.columns, hints, now)

    first = ask()
    assert ask() is first
    assert ask(now=NOW + 60) is not first
    again = ask()
    catalog.apply(Document("t", "v2", Video("v2", "t", "https://x", "a", maturity_rating="G").to_document(), ""))
    assert ask() is not again
    assert ask(editorial_of([])) is NOTHING


def test_half_life_keeps_total_popularity_weight_and_moves_it_between_windows() -> None:
    weights = dict.fromkeys(DEMAND, 0.25)
    assert with_half_life(weights, 24.0) == {"demand_1h": 0, "demand_6h": 0, "demand_24h": 1, "demand_7d": 0}
    for hours in (1.0, 3.0, 12.0, 50.0, 168.0):
        moved = with_half_life(weights, hours)
        assert abs(sum(moved.values()) - 1.0) < 1e-9
        assert min(moved.values()) >= 0


def test_half_life_moves_popularity_of_each_weight_set_separately() -> None:
    stored = {
        "type": "linear",
        "version": "m",
        "weights": {"demand_1h": 0.3, "demand_24h": 0.1, "quality": 0.2},
        "weightsWithoutCoWatch": {"demand_6h": 0.5, "demand_7d": 0.4, "quality": 0.7},
    }
    tenant = Tenant(id="t", popularity_half_life_hours=24.0, weights={"quality": 0.6})
    model = with_weights_of(tenant, parse(stored))
    moved = {"demand_1h": 0.0, "demand_6h": 0.0, "demand_7d": 0.0, "quality": 0.6}
    assert dict(model.weights) == moved | {"demand_24h": pytest.approx(0.4)}
    assert dict(model.suited(next_watch=False).weights) == moved | {"demand_24h": pytest.approx(0.9)}
    other = with_weights_of(replace(tenant, popularity_half_life_hours=6.0), parse(stored))
    assert other.version != model.version != "m"
