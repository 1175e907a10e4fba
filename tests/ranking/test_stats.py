import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking import StatsTable, UnreadableStats, merged
from ranking.stats import APPROVALS, DAY, DEMAND_1H, DEMAND_7D, VIEWS, StatEvent, _key
from shared.domain.event_types import EVENT_TYPES
from tests.ranking.catalogs import NOW

TYPES = ("impression", "video_view", "complete", "skip", "like", "unlike", "share", "save", "unsave", "not_interested")
events = st.lists(
    st.tuples(
        st.sampled_from([f"v{i}" for i in range(5)]),
        st.integers(int(NOW) - 12 * DAY, int(NOW)).map(float),
        st.sampled_from(TYPES),
        st.integers(0, 90_000).map(float),
        st.sampled_from([0.0, 10.0, 60.0]),
    ),
    max_size=40,
)


def state(table: StatsTable) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    return {key: (table.decayed[row], table.daily[row]) for row, key in enumerate(table.keys.tolist())}


def same(a: StatsTable, b: StatsTable) -> bool:
    left, right = state(a), state(b)
    return left.keys() == right.keys() and all(
        np.allclose(left[key][0], right[key][0], rtol=1e-9, atol=1e-12) and np.array_equal(left[key][1], right[key][1])
        for key in left
    )


@settings(max_examples=40, deadline=None)
@given(events, st.randoms(use_true_random=False), st.integers(1, 4))
def test_order_slicing_and_sharding_of_events_do_not_change_the_stats(batch, random, shards) -> None:
    whole = StatsTable()
    whole.add(batch)
    shuffled = list(batch)
    random.shuffle(shuffled)
    tables = [StatsTable() for _ in range(shards)]
    for place, event in enumerate(shuffled):
        tables[place % shards].add([event])
    total = merged(tables)
    if batch:
        assert total.reference == whole.reference
    assert same(whole, total)


@settings(max_examples=40, deadline=None)
@given(events)
def test_packed_stats_keep_days_exactly_and_counters_to_float32(batch) -> None:
    table = StatsTable()
    table.add(batch)
    back = StatsTable.unpack(table.pack())
    kept = state(back)
    for key, (decayed, daily) in state(table).items():
        if key in kept:
            assert np.allclose(kept[key][0], decayed, rtol=1e-6, atol=1e-29)
            assert np.array_equal(kept[key][1], np.rint(daily))
        else:
            assert np.abs(decayed).max() <= 1e-4
            assert not daily.any()
    assert StatsTable.unpack(back.pack()).pack() == back.pack()


def test_one_long_view_is_one_unit_of_demand_and_halves_in_a_half_life() -> None:
    table = StatsTable()
    table.add([("a", NOW, "video_view", 18_000, 60.0), ("b", NOW - 3600, "video_view", 5_000, 5.0)])
    rows = [table.keys.tolist().index(_key(name)) for name in "ab"]
    assert table.decayed[rows, DEMAND_1H].tolist() == [1.0, 0.5]
    assert table.decayed[rows[0], DEMAND_7D] == 1.0


def test_a_short_view_counts_as_a_view_and_not_as_demand() -> None:
    table = StatsTable()
    table.add([("a", NOW, "video_view", 17_999, 60.0)])
    assert table.decayed[0, VIEWS] == 1.0
    assert table.decayed[0, DEMAND_7D] == 0.0


@pytest.mark.parametrize(("given_kind", "back"), [("like", "unlike"), ("save", "unsave")])
def test_withdrawn_event_leaves_no_approval(given_kind: str, back: str) -> None:
    table = StatsTable()
    table.add([("v", NOW, given_kind, 0.0, 30.0), ("w", NOW, given_kind, 0.0, 30.0)])
    table.add([("v", NOW, back, 0.0, 30.0)])
    approvals = dict(zip(table.keys.tolist(), table.decayed[:, APPROVALS].tolist(), strict=True))
    assert approvals == {_key("v"): 0.0, _key("w"): 1.0}


def test_week_counts_seven_days_and_no_more() -> None:
    table = StatsTable()
    table.add([("a", NOW - 7 * DAY, "video_view", 1_000, 60.0), ("a", NOW - 6 * DAY, "video_view", 2_000, 60.0)])
    table.add([("a", NOW, "video_view", 4_000, 60.0), ("a", NOW, "like", 0, 0), ("a", NOW, "impression", 0, 0)])
    assert table.week("a", NOW) == {"impressions": 1, "views": 2, "watchMs": 6_000, "likes": 1, "avgWatchMs": 3_000}
    assert table.week("a", NOW + DAY)["views"] == 1
    assert table.week("a", NOW + 30 * DAY)["views"] == 0
    assert table.week("never seen", NOW)["views"] == 0


def test_unknown_types_and_non_finite_times_are_ignored() -> None:
    table = StatsTable()
    assert table.add([("a", NOW, "teleport", 0, 0), ("a", float("nan"), "like", 0, 0)]) == 0
    assert table.add([("a", NOW, "video_view", float("inf"), 10.0)]) == 1
    assert np.isfinite(table.decayed).all()


@pytest.mark.parametrize("text", ["", "not base64!", "AAAA", "x" * 40])
def test_a_text_that_is_not_packed_stats_is_refused(text: str) -> None:
    with pytest.raises(UnreadableStats):
        StatsTable.unpack(text)


def test_every_event_type_is_known_to_the_statistics() -> None:
    """Otherwise a message with it would be redelivered for ever."""
    events: list[StatEvent] = [("vid_1", 1_790_000_000.0, name, 1_000.0, 30.0) for name in EVENT_TYPES]
    StatsTable().add(events)
