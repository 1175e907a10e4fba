"""A model whose users watch less than the holdout is rolled back."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learning.holdout import HoldoutDay, Verdict, WatchedDay
from learning.ranking_metrics import Interval
from learning.take_back import holdout_day, judge, judged_days, take_back, with_holdout_day
from ranking.watching import MOST_LOOPS, MOST_OF_A_SHORT_VIDEO_SECONDS
from shared.domain.auto_model import AutoModel
from shared.domain.holdout_users import in_holdout

AUTO = AutoModel("2026-11-28", "night-1", "night-1", "night-1", "it won on the newest day")
LOST = Verdict(True, "its users watch less than the holdout", Interval(-0.1, -0.2, -0.01), 700, 7)
WON = replace(LOST, take_back=False, lift=Interval(0.1, 0.01, 0.2))
DURATIONS = {"short": 10.0, "long": 600.0}
USERS = [f"{number:032x}" for number in range(400)]
HELD_OUT = [user for user in USERS if in_holdout(user, "t")]


def line(user: str | None, watch_ms: float | None = 9_000.0, video: str = "long", **fields: Any) -> dict[str, Any]:
    return {
        "user": user, "type": "video_view", "videoId": video, "watchTimeMs": watch_ms, "counted": True, **fields,
    }  # fmt: skip


def other() -> str:
    return next(user for user in USERS if user not in HELD_OUT)


def days(count: int, less: float, personal: str | None = "night-1", first: int = 1) -> Iterable[tuple[str, Any, Any]]:
    """Days on which the model's users watch that much less than the holdout."""
    dealt = random.Random(7)
    for number in range(first, first + count):
        groups = [[dealt.expovariate(1 / (600.0 * share)) for _ in range(2_000)] for share in (1.0 - less, 1.0)]
        model, holdout = (WatchedDay(len(each), sum(each), sum(one * one for one in each)) for each in groups)
        yield f"2026-11-{number:02d}", personal, HoldoutDay(model, holdout)


def after(auto: AutoModel, told: Iterable[tuple[str, Any, Any]]) -> AutoModel:
    for day, personal, figures in told:
        auto = with_holdout_day(replace(auto, night=day), day, personal, figures)
    return auto


def test_holdout_users_are_identified_by_their_archived_name() -> None:
    assert 2 <= len(HELD_OUT) <= 20
    found = holdout_day([line(user) for user in USERS for _ in range(2)], "t", DURATIONS)
    assert found.holdout == WatchedDay(len(HELD_OUT), 18.0 * len(HELD_OUT), 324.0 * len(HELD_OUT))
    assert found.model.users == len(USERS) - len(HELD_OUT)
    assert found.model.seconds == pytest.approx(18.0 * found.model.users)
    assert holdout_day([line(HELD_OUT[0])], "another tenant", DURATIONS).holdout.users == 0


def test_watch_time_counts_as_in_statistics_and_a_play_once() -> None:
    user = other()
    played = {"key": 1, "startedAt": 0}
    lines = [
        line(user, 900_000.0, "short"),  # as much as a short video can count
        line(user, 5_000.0, play={**played, "countedMs": None}, type="progress"),
        line(user, 12_000.0, play={**played, "countedMs": 5_000.0}, type="progress"),
        line(user, None, type="like"),
    ]
    seconds = 12.0 + max(10.0 * MOST_LOOPS, MOST_OF_A_SHORT_VIDEO_SECONDS)
    assert holdout_day(lines, "t", DURATIONS).model == WatchedDay(1, seconds, seconds**2)


def test_user_who_watched_nothing_counts_for_the_day() -> None:
    assert holdout_day([line(other(), None, type="impression")], "t").model == WatchedDay(1, 0.0, 0.0)


@pytest.mark.parametrize(
    "odd", [{"user": None}, {"counted": False}, {"origin": "history"}, {"counted": None, "request": None}]
)
def test_uncounted_events_belong_to_no_day(odd: dict[str, Any]) -> None:
    found = holdout_day([{**line(other()), **odd}], "t")
    assert found == HoldoutDay(WatchedDay(), WatchedDay())


@given(st.lists(st.tuples(st.sampled_from(USERS[:60]), st.floats(0, 1e6)), max_size=60), st.randoms())
def test_order_of_lines_does_not_matter(told: list[tuple[str, float]], dealt: random.Random) -> None:
    lines = [line(user, watch_ms) for user, watch_ms in told]
    found = holdout_day(lines, "t", DURATIONS)
    dealt.shuffle(lines)
    again = holdout_day(lines, "t", DURATIONS)
    for group, same in ((found.model, again.model), (found.holdout, again.holdout)):
        assert (group.users, group.seconds, group.squares) == pytest.approx((same.users, same.seconds, same.squares))


def test_repeated_night_has_one_entry_for_its_day() -> None:
    once = after(AUTO, days(3, 0.0))
    assert after(once, days(3, 0.0)) == once
    assert [day["day"] for day in once.holdout_days] == ["2026-11-01", "2026-11-02", "2026-11-03"]
    assert AutoModel.from_document(once.to_document()) == once


def test_model_whose_users_watch_less_is_rolled_back() -> None:
    auto = after(AUTO, days(7, 0.2))
    verdict = judge(auto)
    assert (verdict.take_back, verdict.days, verdict.user_days) == (True, 7, 14_000)
    back = take_back(auto, verdict)
    assert (back.personal, back.popularity, back.suggested) == (None, "night-1", None)
    assert (back.taken_back, back.taken_back_on) == (("night-1",), "2026-11-07")
    assert "watch less" in back.why
    assert take_back(back, verdict) is back, "nothing is served that could be taken back again"


@pytest.mark.parametrize("less", [0.0, -0.2])
def test_a_model_whose_users_watch_as_much_or_more_stays(less: float) -> None:
    auto = after(AUTO, days(7, less))
    assert take_back(auto, judge(auto)) is auto


def test_no_model_is_promoted_for_two_weeks_after_a_rollback() -> None:
    back = take_back(after(AUTO, days(7, 0.2)), LOST)
    soon = replace(back, night="2026-11-20", personal="night-2")
    assert take_back(soon, WON).personal is None
    assert take_back(soon, WON).taken_back == ("night-1",), "it was never served"
    later = replace(soon, night="2026-11-21")
    assert take_back(later, WON) is later


def test_days_before_a_rollback_or_without_a_personal_model_are_not_judged() -> None:
    back = take_back(after(AUTO, days(7, 0.2)), LOST)
    again = after(back, [*days(14, 0.0, None, 8), *days(3, 0.1, "night-22", 22)])
    assert len(judged_days(again)) == 3
    assert len(judged_days(after(AUTO, [*days(2, 0.1), *days(1, 0.1, None, 3), *days(2, 0.1, "n", 4)]))) == 2


@pytest.mark.parametrize("odd", [None, [], [1, 2], [1, -2, 3], [1, math.nan, 3], ["1", 2, 3], {"users": 1}])
def test_unreadable_day_ends_the_days_that_are_judged(odd: object) -> None:
    auto = after(AUTO, days(3, 0.2))
    broken = [dict(day) for day in auto.holdout_days]
    broken[1]["model"] = odd
    assert len(judged_days(replace(auto, holdout_days=tuple(broken)))) == 1
    assert not judge(replace(auto, holdout_days=())).take_back


@given(st.floats(-0.9, 0.9), st.integers(0, 28), st.booleans())
def test_only_a_served_model_is_rolled_back_and_popularity_stays(less: float, count: int, served: bool) -> None:
    auto = after(AUTO if served else replace(AUTO, personal=None), days(count, less))
    back = take_back(auto, judge(auto))
    assert back.popularity == auto.popularity
    assert (back is auto) or (served and back.taken_back_on == auto.night and judge(auto).lift.high < 0)
