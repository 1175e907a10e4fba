"""The circuit breaker as a state machine over generated times."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from feed.breaker import Breaker, Objective, State

OBJECTIVE = Objective(
    window_seconds=10, least_calls=10, failing_share=0.5, pause_seconds=1, longest_pause_seconds=8, probes_to_close=3
)


def opened(at: float = 0.0) -> Breaker:
    breaker = Breaker(OBJECTIVE)
    for _ in range(OBJECTIVE.least_calls):
        assert breaker.allows(at)
        breaker.record(False, at)
    assert breaker.state is State.OPEN
    return breaker


def test_few_failures_among_many_successes_leave_the_breaker_closed() -> None:
    breaker = Breaker(OBJECTIVE)
    for call in range(1_000):
        assert breaker.allows(call / 100)
        breaker.record(call % 3 != 0, call / 100)
    assert breaker.state is State.CLOSED


def test_old_failures_do_not_count() -> None:
    breaker = Breaker(OBJECTIVE)
    for _ in range(OBJECTIVE.least_calls - 1):
        breaker.record(False, 0.0)
    breaker.record(False, 60.0)
    assert breaker.state is State.CLOSED


def test_open_breaker_waits_and_then_allows_one_probe_at_a_time() -> None:
    breaker = opened()
    assert not breaker.allows(0.0)
    assert not breaker.allows(0.99)
    assert breaker.allows(1.0)
    assert not breaker.allows(1.0)
    breaker.record(True, 1.01)
    assert breaker.allows(1.02)


def test_enough_successful_probes_in_a_row_close_the_breaker() -> None:
    breaker = opened()
    for _ in range(OBJECTIVE.probes_to_close):
        assert breaker.allows(2.0)
        breaker.record(True, 2.0)
    assert breaker.state is State.CLOSED
    breaker.record(False, 2.1)
    assert breaker.state is State.CLOSED, "what failed before it opened no longer counts"


def test_each_failed_probe_doubles_the_pause_up_to_the_maximum() -> None:
    breaker, now, pauses = opened(), 0.0, []
    for _ in range(6):
        opened_at = now
        while not breaker.allows(now):
            now += 0.5
        pauses.append(now - opened_at)
        breaker.record(False, now)
    assert pauses == [1, 2, 4, 8, 8, 8]


def test_unanswered_probe_does_not_keep_the_breaker_open_for_ever() -> None:
    breaker = opened()
    assert breaker.allows(1.0)
    assert not breaker.allows(5.9)
    assert breaker.allows(6.0)


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 3)), max_size=300))
def test_recovered_dependency_is_always_called_again(steps: list[tuple[bool, float]]) -> None:
    breaker, now = Breaker(OBJECTIVE), 0.0
    for ok, passed in steps:
        now += passed
        if breaker.allows(now):
            breaker.record(ok, now)
    for _ in range(OBJECTIVE.probes_to_close):
        now += OBJECTIVE.longest_pause_seconds
        assert breaker.allows(now)
        breaker.record(True, now)
    assert breaker.state is State.CLOSED


@given(st.lists(st.floats(0, 0.2), min_size=50, max_size=300))
def test_failing_dependency_is_called_no_more_than_the_pauses_allow(passed: list[float]) -> None:
    breaker, now, asked = opened(), 0.0, 0
    for step in passed:
        now += step
        if breaker.allows(now):
            asked += 1
            breaker.record(False, now)
    # Pauses of 1, 2, 4, 8, 8 … seconds: after t seconds no more than this many calls.
    allowed = sum(now >= begin for begin in (1, 3, 7, 15, 23, 31, 39, 47, 55, 63))
    assert asked <= allowed
    assert breaker.state is State.OPEN


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 2)), max_size=200))
def test_no_two_calls_run_at_once_while_the_breaker_is_not_closed(steps: list[tuple[bool, float]]) -> None:
    breaker, now, under_way = opened(), 0.0, 0
    for answer, passed in steps:
        now += passed
        if under_way and breaker.state is State.PROBING:
            assert not breaker.allows(now) or passed >= OBJECTIVE.probe_patience_seconds
        if breaker.state is State.CLOSED:
            break
        if not under_way and breaker.allows(now):
            under_way += 1
        elif under_way:
            breaker.record(answer, now)
            under_way -= 1
