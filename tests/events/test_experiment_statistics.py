"""Statistics of experiment reports agree with published values and simulation."""

from __future__ import annotations

import random
from typing import Any

import pytest

from events.experiment_statistics import (
    MISMATCH,
    Outcomes,
    Rate,
    as_text,
    chi_square_tail,
    lift,
    ratio,
    report,
    sample_ratio_p,
)
from shared.domain.records import Arm, Experiment

EXPERIMENT = Experiment(
    "exp-1", "Fresher", (Arm(1, "control", 50.0), Arm(2, "fresh", 50.0)), "running", "salt", started_at=1_000.0
)


def line(user: str, arm: int, kind: str, video: str = "v", at: int = 2_000, watch_ms: float | None = None) -> Any:
    request = {"servedAt": at * 1000, "mode": "personalized", "warm": True, "model": 1, "arm": arm}
    return {"user": user, "type": kind, "videoId": video, "watchTimeMs": watch_ms, "request": request}


@pytest.mark.parametrize(
    ("statistic", "degrees", "tail"),
    [(3.841, 1, 0.05), (6.635, 1, 0.01), (5.991, 2, 0.05), (7.815, 3, 0.05), (16.919, 9, 0.05), (0.0, 4, 1.0)],
)
def test_chi_square_tail_equals_published_tables(statistic: float, degrees: int, tail: float) -> None:
    assert chi_square_tail(statistic, degrees) == pytest.approx(tail, rel=2e-3)


def test_a_fair_split_passes_the_sample_ratio_check_and_a_leaky_one_does_not() -> None:
    assert sample_ratio_p([5_030, 4_970], [50, 50]) > 0.1
    assert sample_ratio_p([1_010, 8_990], [10, 90]) > 0.1
    assert sample_ratio_p([5_200, 4_800], [50, 50]) < MISMATCH


def test_variance_of_a_ratio_of_sums_equals_simulation() -> None:
    draw = random.Random(1)

    def sample() -> Rate:
        shown = [float(draw.randint(1, 30)) for _ in range(400)]
        appeal = [draw.betavariate(2, 5) for _ in shown]  # users differ, so views of one user are alike
        views = [float(sum(draw.random() < like for _ in range(int(n)))) for n, like in zip(shown, appeal, strict=True)]
        rate = ratio(views, shown)
        assert rate is not None
        return rate

    rates = [sample() for _ in range(300)]
    values = [rate.value for rate in rates]
    mean = sum(values) / len(values)
    seen = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    said = sum(rate.variance for rate in rates) / len(rates)
    assert said == pytest.approx(seen, rel=0.3)


def test_lift_interval_covers_the_truth_at_its_stated_rate() -> None:
    draw, held, times = random.Random(2), 0, 300
    for _ in range(times):
        arms = []
        for watch in (1.0, 1.1):
            shown = [float(draw.randint(5, 20)) for _ in range(300)]
            seconds = [sum(draw.expovariate(1 / watch) for _ in range(int(n))) for n in shown]
            arms.append(ratio(seconds, shown))
        assert arms[0]
        assert arms[1]
        found = lift(arms[0], arms[1])
        assert found
        held += found.low <= 0.1 <= found.high
    assert 0.90 <= held / times <= 0.99


def test_too_little_data_gives_no_figure() -> None:
    assert ratio([1.0], [2.0]) is None
    assert ratio([0.0, 0.0], [0.0, 0.0]) is None
    assert lift(Rate(0.0, 0.0), Rate(1.0, 0.1)) is None


def test_only_events_that_quote_a_feed_of_the_experiment_count() -> None:
    outcomes = Outcomes(EXPERIMENT)
    outcomes.add(
        [
            line("a", 1, "impression"),
            line("a", 1, "video_view", watch_ms=4_000),
            line("b", 0, "impression"),
            line("c", 3, "impression"),
            line("d", 2, "impression", at=999),
            {**line("e", 2, "impression"), "request": None},
            {**line("f", 2, "impression"), "user": None},
        ]
    )
    assert set(outcomes.users) == {"a"}
    assert len(outcomes.users["a"].shown) == 1, "an impression and the view after it show one video"
    assert outcomes.users["a"].watched_ms == 4_000


def test_a_user_seen_in_two_arms_is_left_out_and_counted() -> None:
    outcomes = Outcomes(EXPERIMENT)
    outcomes.add([line("a", 1, "impression"), line("a", 2, "impression"), line("b", 2, "impression")])
    result = report(outcomes)
    assert result["usersInTwoArms"] == 1
    assert [arm["users"] for arm in result["arms"]] == [0, 1]


def test_report_finds_an_existing_lift_and_states_it_in_words() -> None:
    draw, outcomes = random.Random(3), Outcomes(EXPERIMENT)
    for number in range(2_000):
        arm = 1 + number % 2
        for video in range(10):
            outcomes.add([line(f"u{number}", arm, "impression", f"v{video}")])
            if draw.random() < (0.30 if arm == 1 else 0.36):
                outcomes.add([line(f"u{number}", arm, "video_view", f"v{video}", watch_ms=5_000)])
    result = report(outcomes)
    assert result["sampleRatio"]["ok"]
    fresh = result["arms"][1]["measures"]
    assert fresh["clickThrough"]["clear"]
    low, high = fresh["clickThrough"]["interval"]
    assert low < 0.2 < high
    assert fresh["skip"]["lift"] is None
    assert result["arms"][0]["measures"]["clickThrough"]["lift"] is None, "the control is not compared with itself"
    text = as_text(result)
    assert "as it should be" in text
    assert "fresh: 50 %, 1000 users, 10000 videos shown" in text


def test_large_log_is_reduced_to_whole_users_that_keep_the_rates() -> None:
    lines = [
        line(f"u{n}", 1 + n % 2, kind, f"v{video}")
        for n in range(2_000)
        for video in range(4)
        for kind in (["impression", "video_view"] if video % 2 else ["impression"])
    ]
    outcomes = Outcomes(EXPERIMENT, most_users=500)
    outcomes.add(lines)
    outcomes.add(lines)
    result = report(outcomes)
    assert len(outcomes.users) <= 500
    assert result["sampleOfUsers"] in (0.25, 0.125)
    assert all(len(user.shown) == 4 for user in outcomes.users.values())
    assert [arm["measures"]["clickThrough"]["value"] for arm in result["arms"]] == [1.0, 1.0], "each line came twice"


def test_sample_ratio_mismatch_is_reported_before_any_lift() -> None:
    outcomes = Outcomes(EXPERIMENT)
    outcomes.add([line(f"u{n}", 1 if n % 3 else 2, "impression") for n in range(3_000)])
    assert "MISMATCH" in as_text(report(outcomes)).splitlines()[1]
