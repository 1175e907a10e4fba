"""Every accepted event counts once after any plan of faults has ended, without manual repair.

Runs the whole app in simulated time (`tests/simulated_app.py`). Hypothesis generates plans of faults that end within
two days, and the traffic meanwhile. `HYPOTHESIS_PROFILE=long` tries 2,000 of them.
"""

from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from tests.planned_faults import DOCUMENTS, KINDS, PlannedFault
from tests.simulated_app import LAST_SECONDS, USERS, run


@pytest.fixture(autouse=True)
def _no_secret_is_ever_logged() -> None:
    """Override the log check, which needs one app per module."""


@st.composite
def planned_faults(draw: st.DrawFn) -> PlannedFault:
    port = draw(st.sampled_from(sorted(KINDS)))
    operation = draw(st.sampled_from(["", *KINDS[port]]))
    kinds = KINDS[port][operation] if operation else sorted({kind for each in KINDS[port].values() for kind in each})
    container = (
        draw(st.sampled_from(["", "tenants", "videos", "video-stats", "user-activity"])) if port == DOCUMENTS else ""
    )
    begins = draw(st.sampled_from([0.0, 5.0, 40.0, 300.0, 4_000.0, 40_000.0]))
    lasts = draw(st.sampled_from([3.0, 25.0, 90.0, 700.0, 8_000.0, 60_000.0, LAST_SECONDS]))
    return PlannedFault(
        port, operation, draw(st.sampled_from(kinds)), begins, min(LAST_SECONDS, begins + lasts), container
    )


WATCHES = st.tuples(st.just("watch"), st.integers(0, len(USERS) - 1), st.integers(1, 3))
ACTIONS = st.one_of(
    WATCHES,
    WATCHES,
    WATCHES,
    st.tuples(st.just("leaving user watches"), st.integers(1, 3)),
    st.sampled_from([("take down",), ("erase",), ("switch", False), ("switch", True)]),
)
STORIES = st.lists(
    st.tuples(st.sampled_from([0.0, 0.5, 8.0, 45.0, 400.0, 7_000.0, 30_000.0]), ACTIONS), min_size=3, max_size=10
)


@settings(
    max_examples=max(6, settings.default.max_examples // 10),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.lists(planned_faults(), min_size=1, max_size=5), STORIES)
def test_accepted_events_count_once_under_any_fault_plan(
    plan: list[PlannedFault], story: list[tuple[float, tuple[Any, ...]]]
) -> None:
    logging.disable()
    try:
        world = run(plan, story)
    finally:
        logging.disable(logging.NOTSET)
    again = world.services.telemetry.counters["batches_rolled_up", ("again",)]
    event("a batch was known by its name" if again else "no batch came again")
    event("a fault was felt" if world.faults.felt else "no fault was felt")
    assert world.wrong == []
