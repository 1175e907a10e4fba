import hashlib
import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from learning.holdout import HoldoutDay, WatchedDay, holdout_verdict, in_holdout


def watched(seconds: np.ndarray) -> WatchedDay:
    return WatchedDay(len(seconds), float(seconds.sum()), float((seconds**2).sum()))


def week(lift: float, held_out: int = 400, seed: int = 0, days: int = 7) -> list[HoldoutDay]:
    """Days on which the same users return, each with their own habit."""
    draw = np.random.default_rng(seed)
    habits = [draw.gamma(2.0, 150.0, size) for size in (held_out * 49, held_out)]
    return [
        HoldoutDay(*(watched(habit * draw.gamma(2.0, 0.5, len(habit)) * factor) for habit, factor in both))
        for both in [list(zip(habits, (1.0 + lift, 1.0), strict=True))] * days
    ]


def users(count: int) -> list[str]:
    return [hashlib.sha256(str(number).encode()).hexdigest() for number in range(count)]


def test_two_percent_of_users_are_held_out_permanently() -> None:
    names = users(20_000)
    held = {name for name in names if in_holdout(name, "acme")}
    assert abs(len(held) / len(names) - 0.02) < 0.003
    first = [number for number, name in enumerate(names) if name in held][:3]
    assert first == [6, 42, 72], "who is held out must not change from one release to the next"


def test_another_tenant_holds_out_other_users() -> None:
    names = users(20_000)
    one, other = ({name for name in names if in_holdout(name, tenant)} for tenant in ("acme", "globex"))
    assert len(one & other) < 0.1 * len(one)


def test_model_whose_users_watch_less_is_rolled_back() -> None:
    found = holdout_verdict(week(-0.25))
    assert found.take_back
    assert found.why == "its users watch less than the holdout"
    assert found.lift.low < -0.25 < found.lift.high < 0
    assert (found.days, found.user_days) == (7, 2_800)


def test_a_model_whose_users_watch_as_much_or_more_stays() -> None:
    assert holdout_verdict(week(0.3)).lift.low > 0
    assert not holdout_verdict(week(0.3)).take_back
    equal = [holdout_verdict(week(0.0, seed=seed)).take_back for seed in range(60)]
    assert sum(equal) <= 3


def test_only_the_last_week_counts() -> None:
    lost_long_ago = [*week(-0.5), *week(0.3)]
    assert not holdout_verdict(lost_long_ago).take_back
    assert holdout_verdict([*week(0.3), *week(-0.5)]).take_back


def test_few_days_or_nothing_watched_roll_nothing_back() -> None:
    assert not holdout_verdict([]).take_back
    assert not holdout_verdict(week(-0.9, held_out=10, days=1)).take_back
    silent = [HoldoutDay(WatchedDay(5_000), WatchedDay(500, 9_000.0, 400_000.0))]
    found = holdout_verdict(silent)
    assert not found.take_back
    assert math.isinf(found.lift.high)


def test_bad_day_in_both_groups_is_not_blamed_on_the_model() -> None:
    days = week(0.0)
    outage = WatchedDay(19_600, 19_600.0, 40_000.0), WatchedDay(400, 400.0, 800.0)
    assert not holdout_verdict([*days[:-1], HoldoutDay(*outage)]).take_back


@given(
    st.lists(
        st.tuples(st.integers(0, 10_000), st.floats(0, 1e6), st.floats(0, 1e9), st.integers(0, 500), st.floats(0, 1e6)),
        max_size=9,
    )
)
def test_any_sums_get_a_verdict(days: list[tuple[int, float, float, int, float]]) -> None:
    found = holdout_verdict([HoldoutDay(WatchedDay(n, s, q), WatchedDay(m, t, q)) for n, s, q, m, t in days])
    assert found.lift.low <= found.lift.value <= found.lift.high
    assert not (found.take_back and found.lift.high >= 0)
