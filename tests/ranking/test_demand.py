from dataclasses import replace

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from ranking import CatalogStats, StatsTable, VideoColumns
from ranking.stats import DAY, HOUR
from tests.ranking.catalogs import NOW, make_videos

LEVELS = ("demand_1h", "demand_6h", "demand_24h", "demand_7d")


def levels_after(views: list[tuple[int, float]], videos: int = 5) -> dict[str, np.ndarray]:
    """Return demand by window after long views, each of a video number and an age in hours."""
    columns, table = VideoColumns(make_videos(videos)), StatsTable()
    table.add([(f"vid_{number}", NOW - hours * HOUR, "video_view", 60_000, 60.0) for number, hours in views])
    rows = [columns.row(f"vid_{number}") for number in range(videos)]
    values = CatalogStats(columns, table).static(NOW).values
    return {name: values[name][rows].astype(float) for name in LEVELS}


def test_window_without_long_views_takes_the_level_of_longer_ones() -> None:
    levels = levels_after([(0, 400.0)] * 20 + [(1, 380.0)] * 10)
    for name in LEVELS[:3]:
        assert np.allclose(levels[name], levels["demand_7d"], atol=0.02), name
    assert levels["demand_1h"].argmax() == 0


def test_one_long_view_in_an_empty_hour_does_not_outweigh_a_week() -> None:
    levels = levels_after([(0, hours) for hours in np.linspace(20, 160, 60)] + [(1, 0.1)])
    assert levels["demand_1h"].argmax() == 0
    burst = levels_after([(0, hours) for hours in np.linspace(20, 160, 60)] + [(1, 0.1)] * 30)
    assert burst["demand_1h"].argmax() == 1


AGES = st.lists(st.floats(0, 300), max_size=12)


@given(st.lists(st.tuples(st.integers(0, 2), st.floats(0, 300)), max_size=30), AGES, AGES)
@example([], [0.0, 0.0, 0.0], [0.0])
def test_additional_long_views_never_lower_demand(
    others: list[tuple[int, float]], shared: list[float], more: list[float]
) -> None:
    levels = levels_after([*others, *[(3, age) for age in shared], *[(4, age) for age in shared + more]])
    for name in LEVELS:
        assert levels[name][4] >= levels[name][3] - 1e-5
        assert np.isfinite(levels[name]).all()


def test_an_override_is_a_percentile_of_the_others_in_every_window() -> None:
    videos = make_videos(11)
    videos[3] = replace(videos[3], popularity_override=100.0)
    columns, table = VideoColumns(videos), StatsTable()
    table.add([(f"vid_{n}", NOW - DAY, "video_view", 60_000, 60.0) for n in range(11) for _ in range(n)])
    values = CatalogStats(columns, table).static(NOW).values
    for name in LEVELS:
        others = np.delete(values[name], columns.row("vid_3"))
        assert values[name][columns.row("vid_3")] == others.max()
