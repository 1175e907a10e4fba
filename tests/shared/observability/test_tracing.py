"""Trace ids: continued from a caller, generated, and sampled."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.observability.tracing import NO_TRACE, Stages, Trace, trace_named, trace_of

ID, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def test_a_well_formed_traceparent_is_continued() -> None:
    assert trace_of(f"00-{ID}-{SPAN}-01") == Trace(ID, SPAN)
    assert trace_of(f"cc-{ID}-{SPAN}-01-what-the-future-adds") == Trace(ID, SPAN)


@pytest.mark.parametrize(
    "sent",
    [
        None, "", "00", f"00-{ID}-{SPAN}", f"00-{ID.upper()}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01",
        f"00-{ID}-{'0' * 16}-01", f"ff-{ID}-{SPAN}-01", f"00-{ID}-{SPAN}-01, 00-{ID}-{SPAN}-01", "x" * 5_000,
    ],
)  # fmt: skip
def test_anything_else_begins_a_new_trace(sent: str | None) -> None:
    trace = trace_of(sent)
    assert trace.id != ID
    assert trace.parent == ""
    assert trace_named(trace.id) == trace


def test_a_message_without_a_trace_has_none() -> None:
    assert trace_named("") is NO_TRACE
    assert trace_named("not hexadecimal") is NO_TRACE


@given(st.integers(0, 2**128 - 1), st.floats(0, 1), st.floats(0, 1))
def test_processes_sample_a_trace_alike_and_a_higher_share_samples_no_fewer(
    number: int, one: float, other: float
) -> None:
    trace = Trace(f"{number:032x}")
    low, high = sorted((one, other))
    assert trace.sampled(low) <= trace.sampled(high)
    assert trace.sampled(1.0)
    assert not trace.sampled(0.0)


def test_the_sampled_share_is_about_the_ratio() -> None:
    sampled = sum(trace_of(None).sampled(0.1) for _ in range(10_000))
    assert 850 < sampled < 1_150  # five standard deviations


def test_stages_end_in_order() -> None:
    stages = Stages()
    stages.end("one")
    stages.end("two")
    assert [name for name, _ in stages.marks] == ["one", "two"]
    assert stages.started <= stages.marks[0][1] <= stages.marks[1][1]
