import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking import CatalogStats, VideoColumns, key64
from ranking.cowatch import build
from ranking.dayparts import DAYPARTS, count_by_daypart, daypart_of, lift_by_daypart
from shared.domain.records import Video

HOUR, DAY = 3_600.0, 86_400.0
NOON = 20_000 * DAY + 12 * HOUR


def catalog(categories: str) -> VideoColumns:
    return VideoColumns(
        Video(id=f"v{place}", title=f"v{place}", playback_url="", category=name.strip())
        for place, name in enumerate(categories)
    )


def test_day_parts_cover_the_day_in_order() -> None:
    assert [daypart_of(NOON + hour * HOUR) for hour in range(-12, 12)] == [hour // 4 for hour in range(24)]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.floats(0, 30 * DAY)), max_size=60), st.randoms())
def test_every_long_view_of_a_known_video_counts_once_in_any_order(views, random) -> None:
    known = np.sort(np.array([key64(f"v{i}") for i in range(5)], np.uint64))
    keys = np.array([key64(f"v{i}") for i, _ in views], np.uint64)
    times = np.array([at for _, at in views])
    order = list(range(len(views)))
    random.shuffle(order)
    counts = count_by_daypart(known, keys, times)
    assert counts.tolist() == count_by_daypart(known, keys[order], times[order]).tolist()
    assert counts.sum() == sum(i < 5 for i, _ in views)


def test_a_video_watched_at_noon_gains_at_noon_and_loses_at_midnight() -> None:
    counts = np.zeros((3, DAYPARTS))
    counts[0, 3], counts[1, 0] = 200, 200
    values = lift_by_daypart(catalog("abc"), counts)
    assert values[0, 3] > 0.3 > 0 > values[0, 0]
    assert values[1, 0] > 0.3 > 0 > values[1, 3]


def test_new_video_gets_the_lift_of_its_category_and_0_without_one() -> None:
    counts = np.zeros((4, DAYPARTS))
    counts[0, 3], counts[3, 0] = 400, 400
    values = lift_by_daypart(catalog("aa b"), counts)
    assert values[1, 3] > 0.3
    assert not values[2].any()


def test_only_views_with_a_known_hour_count() -> None:
    keys = np.array([key64("v0"), key64("v1")] * 2, np.uint64)
    users, times = np.array([1, 1, 2, 2]), np.array([NOON, NOON, 0.0, 0.0])
    table = build(users, keys, times, dated=times > 0)
    assert table.dayparts is not None
    assert table.dayparts[:, daypart_of(NOON)].tolist() == [1, 1]
    assert table.dayparts.sum() == 2


def test_the_feature_follows_the_clock_and_a_new_table() -> None:
    columns = catalog("ab")
    stats = CatalogStats(columns)
    assert not stats.static(NOON).values["time_of_day"].any()
    keys = np.array([key64("v0"), key64("v1")] * 40, np.uint64)
    times = np.where(keys == key64("v0"), NOON, NOON + 12 * HOUR)
    stats.use_cowatch(build(np.arange(80) // 2, keys, times))
    noon, midnight = stats.static(NOON).values["time_of_day"], stats.static(NOON + 12 * HOUR).values["time_of_day"]
    assert noon[0] > 0 > noon[1]
    assert midnight[1] > 0 > midnight[0]
    stats.use_cowatch(None)
    assert not stats.static(NOON).values["time_of_day"].any()
