import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from learning.evidence import DRAWS, Evidence, evidence_of, pooled
from learning.gate import ENOUGH_REQUESTS, decide
from learning.ranking_metrics import lift_interval


def day(lift: float, requests: int = 2_000, noise: float = 0.3, seed: int = 0, users: int = 500) -> Evidence:
    """A day on which our values are `lift` above theirs, plus noise."""
    draw = np.random.default_rng(seed)
    theirs = draw.gamma(1.0, 0.1, requests)
    ours = theirs * (1.0 + lift) + draw.normal(0, noise * 0.1, requests)
    return evidence_of(ours, theirs, draw.integers(0, users, requests))


def test_interval_equals_a_bootstrap_over_users() -> None:
    draw = np.random.default_rng(1)
    theirs = draw.gamma(1.0, 0.1, 3_000)
    ours, users = theirs + draw.normal(0.01, 0.08, 3_000), draw.integers(0, 400, 3_000)
    found, usual = evidence_of(ours, theirs, users).lift(), lift_interval(ours, theirs, users)
    assert abs(found.value - usual.value) < 1e-9
    assert abs(found.low - usual.low) < 0.02
    assert abs(found.high - usual.high) < 0.02


def test_pooled_days_equal_their_union_even_for_shared_users() -> None:
    draw = np.random.default_rng(2)
    ours, theirs, users = draw.random(900), draw.random(900), draw.integers(0, 50, 900)
    whole = evidence_of(ours, theirs, users)
    parts = pooled(evidence_of(ours[part], theirs[part], users[part]) for part in (slice(0, 300), slice(300, 900)))
    assert np.allclose(whole.resampled, parts.resampled)
    assert (whole.requests, round(whole.ours, 6)) == (parts.requests, round(parts.ours, 6))


def test_evidence_reads_back_from_its_document() -> None:
    one = day(0.1)
    back = Evidence.from_document(one.to_document())
    assert back.requests == one.requests
    assert back.resampled.shape == (DRAWS, 2)
    assert abs(back.lift().low - one.lift().low) < 0.01


def test_a_clear_day_decides_at_once_in_either_direction() -> None:
    assert decide([day(0.3)]).personal
    lost = decide([*[day(0.3, seed=n) for n in range(6)], day(-0.3, seed=9)])
    assert not lost.personal
    assert lost.why == "it lost on the newest day"


def test_inconclusive_days_are_pooled_over_a_week() -> None:
    week = [day(0.3, requests=120, noise=3.0, seed=seed, users=100) for seed in reversed(range(7))]
    assert week[-1].lift().low < 0 < week[-1].lift().high
    found = decide(week)
    assert (found.personal, found.why, found.days) == (True, "it won over the week", 7)
    assert not decide(week[-1:]).personal


@given(st.integers(0, ENOUGH_REQUESTS - 1))
def test_too_few_requests_never_serve_a_personal_model(requests: int) -> None:
    assert not decide([day(5.0, requests=requests)] if requests else []).personal


def test_placebo_of_equal_rankings_is_rarely_admitted() -> None:
    admitted = sum(decide([day(0.0, requests=500, noise=1.0, seed=seed)]).personal for seed in range(100))
    assert admitted <= 8


def test_first_hundred_places_decide_where_the_first_twenty_cannot() -> None:
    week = [day(0.1, requests=150, noise=3.0, seed=seed, users=100) for seed in range(7)]
    assert not decide(week).personal
    assert pooled(week).lift().value > 0
    clear, lost = [day(0.3, noise=0.2, seed=seed) for seed in range(7)], [day(-0.3, seed=seed) for seed in range(7)]
    assert decide(week, clear).why == "it won over the week, in the first 100 places"
    assert not decide(week, lost).personal
    assert (
        not decide([day(-0.05, requests=150, noise=3.0, seed=3)] * 7, clear).personal or pooled(week).lift().value > 0
    )


def test_admitted_model_stays_until_its_week_is_not_above_popularity() -> None:
    unsure = [day(0.05, requests=150, noise=3.0, seed=seed, users=100) for seed in range(7)]
    assert pooled(unsure).lift().value > 0 > pooled(unsure).least_lift()
    assert not decide(unsure).personal
    assert decide(unsure, admitted=True).why == "it won before, and has not lost since"
    below = [day(-0.05, requests=150, noise=3.0, seed=seed, users=100) for seed in range(20, 27)]
    assert pooled(below).lift().value < 0
    assert not decide(below, admitted=True).personal


@given(st.lists(st.tuples(st.floats(-0.5, 0.5), st.integers(50, 400)), min_size=1, max_size=9))
def test_no_model_is_served_whose_week_is_below_popularity(days: list[tuple[float, int]]) -> None:
    told = [day(lift, requests, noise=2.0, seed=seed) for seed, (lift, requests) in enumerate(days)]
    found = decide(told, admitted=True)
    assert not found.personal or found.days == 1 or pooled(told[-7:]).lift().value > 0
