"""Costs of stories: zero change without them, and more for more."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra import capacity, figures, story_costs

INPUTS = figures.read().after
OF_STORIES = {name for name in INPUTS if name.startswith("story_")} | {"price_nudging_unit", "price_10000_blob_reads"}


def test_bill_without_stories_uses_no_stories_figure() -> None:
    without = {name: value for name, value in INPUTS.items() if name not in OF_STORIES}
    assert capacity.bill(600, 3_000, without) == capacity.bill(600, 3_000, INPUTS)


@given(st.floats(0, 1e5), st.floats(1, 10))
def test_more_stories_never_cost_less(stories: float, factor: float) -> None:
    less, more = story_costs.added(stories, INPUTS), story_costs.added(stories * factor, INPUTS)
    assert all(more[part] >= cost - 1e-9 for part, cost in less.items())


def test_zero_stories_cost_one_web_pubsub_unit() -> None:
    assert sum(story_costs.added(0, INPUTS).values()) == INPUTS["price_nudging_unit"]


@given(st.sampled_from(sorted(name for name in OF_STORIES if INPUTS[name] > 0 and name != "story_views_per_row")))
def test_every_stories_figure_changes_the_bill(name: str) -> None:
    more = {**INPUTS, name: 2 * INPUTS[name]}
    assert sum(story_costs.added(8_000, more).values()) > sum(story_costs.added(8_000, INPUTS).values())


def test_media_traffic_of_stories_matches_a_hand_calculation() -> None:
    part = story_costs.added(8_000, INPUTS)["Media, traffic to the internet"]
    views = 120 * 8_000 / 86_400 * INPUTS["story_views"] * 730 * 3_600
    assert part == pytest.approx(views * INPUTS["story_media_share"] * INPUTS["story_media_kb"] / 1e6 * 0.08)
