"""Data written by an instance with a fast clock does not distort later data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.fold import fold
from events.schema import Event
from events.video_facts import Facts
from ranking.stats import DEMAND_7D, VIEWS, StatsTable
from shared.domain.event_types import VIDEO_VIEW
from shared.domain.fingerprint import fingerprint
from shared.domain.user_signals import Signals

NOW = 1_795_000_000.0
DAY = 86_400.0
FACTS = {name: Facts(name, (name,), "", 30.0) for name in ("old", "new", "ahead")}


def view(category: str, at: float, number: int) -> Event:
    return Event(VIDEO_VIEW, category, int(at * 1000), fingerprint(f"{category} {number} {at}"), 30_000.0)


def views_of(signals: Signals, category: str) -> float:
    counters = signals.categories
    return float(counters.values[counters.keys == fingerprint(category), 0].sum())


@given(days=st.floats(0.01, 20_000), half_life=st.floats(1, 30))
def test_event_from_the_future_decays_no_later_event(days: float, half_life: float) -> None:
    ahead = NOW + days * DAY
    signals = fold(None, [view("ahead", ahead, 0)], FACTS, half_life, ahead, ahead)
    events = [view("new", NOW, number) for number in range(40)]
    signals = fold(signals, events, FACTS, half_life, NOW, NOW)
    assert views_of(signals, "new") == pytest.approx(40, rel=1e-3)
    assert views_of(signals, "ahead") <= 1.001
    assert signals.newest_minute == NOW // 60
    assert signals.updated_at == NOW
    assert int(signals.daily["views"].sum()) == 41


def test_counters_recover_what_a_future_event_decayed() -> None:
    signals = fold(None, [view("old", NOW - 2 * DAY, n) for n in range(40)], FACTS, 14.0, NOW - 2 * DAY)
    ahead = NOW + 60 * DAY
    signals = fold(signals, [view("ahead", ahead, 0)], FACTS, 14.0, ahead, ahead)
    signals = fold(signals, [view("new", NOW, 0)], FACTS, 14.0, NOW, NOW)
    assert views_of(signals, "old") == pytest.approx(40 * 2 ** (-2 / 14), rel=1e-2)


def test_acceptance_time_is_clamped_to_the_clock_of_the_fold() -> None:
    signals = fold(None, [view("new", NOW, 0)], FACTS, 14.0, NOW, accepted_at=NOW + 91 * DAY)
    assert signals.identities.times.max() == int(NOW * 1000)


@given(days=st.floats(0.001, 20_000), views=st.integers(1, 5))
def test_statistics_held_back_never_multiply_and_count_new_views_at_once(days: float, views: int) -> None:
    ahead = NOW + days * DAY
    table = StatsTable()
    table.add([("old", NOW - 3 * DAY, VIDEO_VIEW, 30_000.0, 30.0)] * 100)
    table.add([("ahead", ahead, VIDEO_VIEW, 30_000.0, 30.0)] * views)
    table.hold_back(NOW)
    table.add([("new", NOW, VIDEO_VIEW, 30_000.0, 30.0)] * 40)
    totals = {id: table.week(id, NOW)["views"] for id in ("ahead", "new")}
    assert totals == {"ahead": views, "new": 40}
    by_key = dict(zip(table.keys.tolist(), table.decayed, strict=True))
    old, from_future, new = by_key.values()
    assert new[VIEWS] == pytest.approx(40)
    assert from_future[VIEWS] <= views + 1e-9
    assert old[DEMAND_7D] <= 100
    assert np.isfinite(table.decayed).all()
