"""Rate limits, tenant shares and load shedding, with a clock that tests move."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.records import Tenant
from shared.observability.metrics import Telemetry
from shared.settings import Settings
from shared.web.admission import BURST_SECONDS, Kind, Limits, LoopDelay, Rates
from shared.web.problems import Problem

NOW = 1_800_000_000.0
BIG, SMALL = Tenant("big"), Tenant("small")


def limits(clock: Callable[[], float] = lambda: NOW, **settings: float) -> Limits:
    return Limits(replace(Settings(), **settings), Telemetry(), clock)


def refused(limits: Limits, kind: Kind, tenant: Tenant, user: str = "user") -> Problem | None:
    try:
        with limits.admit(kind, tenant, user):
            return None
    except Problem as problem:
        return problem if problem.status == 429 and problem.retry_after_seconds is not None else None


def test_user_may_spend_a_burst_and_then_waits_the_announced_time() -> None:
    rates = Rates()
    assert [rates.wait("user", 2.0, NOW) for _ in range(10)] == [0.0] * 10
    wait = rates.wait("user", 2.0, NOW)
    assert wait == pytest.approx(0.5)
    assert rates.wait("user", 2.0, NOW + wait * 0.9) > 0
    assert rates.wait("user", 2.0, NOW + wait) == 0


@given(
    rate=st.floats(0.1, 1_000),
    steps=st.lists(st.floats(0, 10), min_size=1, max_size=200),
)
def test_no_more_pass_than_the_burst_and_the_rate_allow(rate: float, steps: list[float]) -> None:
    rates, now, passed = Rates(), NOW, 0
    for step in steps:
        now += step
        passed += rates.wait("user", rate, now) == 0
    assert passed <= max(BURST_SECONDS * rate, 1) + (now - NOW) * rate + 1e-3 * rate + 1


@given(st.floats(0.1, 100), st.lists(st.floats(-1e6, 1e6), max_size=50))
def test_clock_jump_blocks_nobody_longer_than_a_burst(rate: float, jumps: list[float]) -> None:
    rates, now = Rates(), NOW
    for jump in jumps:
        now += jump
        assert 0 <= rates.wait("user", rate, now) <= max(BURST_SECONDS, 1 / rate)


def test_users_and_kinds_have_separate_buckets_and_memory_is_bounded() -> None:
    rates = Rates(most=3)
    for number in range(100):
        assert rates.wait(number, 1.0, NOW) == 0
    assert len(rates) == 3
    process = limits(user_requests_per_second=0.2)
    assert refused(process, Kind.FEED, BIG) is None
    problem = refused(process, Kind.FEED, BIG)
    assert problem is not None
    assert problem.code == "rate_limited"
    assert refused(process, Kind.EVENTS, BIG) is None
    assert refused(process, Kind.FEED, BIG, "another") is None


def test_tenant_rate_limits_that_tenant_only() -> None:
    now = NOW
    process = limits(lambda: now, user_requests_per_second=1e6)
    noisy = replace(BIG, feed_requests_per_second=2.0)
    outcomes = [refused(process, Kind.FEED, noisy, f"user-{n}") for n in range(30)]
    assert sum(each is None for each in outcomes) == 10
    assert {each.code for each in outcomes if each} == {"rate_limited"}
    assert refused(process, Kind.FEED, SMALL) is None
    assert refused(process, Kind.EVENTS, noisy, "user-29") is None, "batches have a rate of their own"
    now += 1
    assert refused(process, Kind.FEED, noisy, "late") is None


def test_refused_user_uses_none_of_the_tenants_rate() -> None:
    process = limits(user_requests_per_second=0.2)
    tenant = replace(BIG, feed_requests_per_second=1.0)
    for _ in range(50):
        refused(process, Kind.FEED, tenant, "noisy")
    assert refused(process, Kind.FEED, tenant, "quiet") is None


def test_lone_tenant_may_use_all_slots_but_one_and_among_others_half() -> None:
    process = limits(max_in_flight=8, user_requests_per_second=1e6)
    with ExitStack() as held:
        for _ in range(6):
            assert not held.enter_context(process.admit(Kind.FEED, BIG, "u")).ready_only
        assert not held.enter_context(process.admit(Kind.FEED, SMALL, "u")).ready_only
        problem = refused(process, Kind.EVENTS, BIG)
        assert problem is not None
        assert problem.code == "overloaded"
        with process.admit(Kind.FEED, BIG, "u") as over:
            assert over.ready_only
        with process.admit(Kind.FEED, SMALL, "u") as within:
            assert not within.ready_only


def test_requests_are_refused_while_every_slot_is_taken() -> None:
    process = limits(max_in_flight=2, user_requests_per_second=1e6)
    with process.admit(Kind.FEED, BIG, "u"):
        with process.admit(Kind.FEED, BIG, "u"):
            problem = refused(process, Kind.FEED, SMALL)
            assert problem is not None
            assert problem.code == "overloaded"
        assert refused(process, Kind.FEED, SMALL) is None
    assert process.total == 0
    assert not process.in_flight


def test_slot_is_always_released() -> None:
    process = limits()
    with pytest.raises(ZeroDivisionError), process.admit(Kind.FEED, BIG, "u"):
        _ = 1 / 0
    assert (process.total, dict(process.in_flight)) == (0, {})


def test_late_event_loop_serves_ready_pages_first_and_refuses_when_later_still() -> None:
    process = limits(shed_delay_ms=100, refuse_delay_ms=400)
    for late, ready_only in ((0.05, False), (0.15, True)):
        for _ in range(3):
            process.delay.saw(late)
        with process.admit(Kind.FEED, BIG, "u") as admission:
            assert admission.ready_only is ready_only
        assert refused(process, Kind.EVENTS, BIG) is None
    for _ in range(3):
        process.delay.saw(0.5)
    for kind in Kind:
        problem = refused(process, kind, BIG)
        assert problem is not None
        assert problem.code == "overloaded"


def test_single_delay_is_no_overload_and_its_end_is_noticed_soon() -> None:
    delay = LoopDelay(Telemetry())
    for late in (0.0, 5.0, 0.0, 0.0):
        delay.saw(late)
        assert delay.seconds == 0.0
    for late in (5.0, 5.0):
        delay.saw(late)
    assert delay.seconds == 5.0
    for late in (0.0, 0.0):
        delay.saw(late)
    assert delay.seconds == 0.0


async def test_delay_of_a_blocked_event_loop_is_measured() -> None:
    import time

    delay = LoopDelay(Telemetry())
    delay.start()
    delay.start()
    for _ in range(3):
        await asyncio.sleep(0.001)
        time.sleep(0.12)  # noqa: ASYNC251 - blocking is what this is about
    await asyncio.sleep(0)
    assert delay.seconds > 0.03
    await delay.stop()
    await delay.stop()
