"""Counts of the last minutes, and percentiles from histogram buckets."""

from __future__ import annotations

from bisect import bisect_left

from hypothesis import given
from hypothesis import strategies as st

from shared.observability.metric_table import BUCKETS_MS, HISTOGRAM, METRICS
from shared.observability.metrics import Histogram, Telemetry
from shared.observability.recent import (
    COUNTERS,
    EVERY_SECONDS,
    HISTOGRAMS,
    MOST_MINUTES,
    READINGS,
    Recent,
    percentile,
    read_sums,
    spread,
)

VALUES = st.lists(st.floats(0, 20_000), min_size=1, max_size=200)
SHARES = st.floats(0.01, 1.0)


def counted(values: list[float]) -> Histogram:
    histogram = Histogram(BUCKETS_MS)
    for value in values:
        histogram.add(value)
    return histogram


@given(VALUES, SHARES)
def test_percentile_lies_in_the_bucket_of_its_value(values: list[float], share: float) -> None:
    found = percentile(BUCKETS_MS, counted(values).counts, share)
    true = sorted(values)[max(0, -int(-share * len(values) // 1) - 1)]
    place = bisect_left(BUCKETS_MS, true)
    assert found is not None
    if place == len(BUCKETS_MS):
        assert found == BUCKETS_MS[-1]
    else:
        assert (BUCKETS_MS[place - 1] if place else 0.0) <= found <= BUCKETS_MS[place]


@given(VALUES, SHARES, SHARES)
def test_percentiles_do_not_fall_with_a_higher_share(values: list[float], one: float, other: float) -> None:
    counts = counted(values).counts
    low, high = (percentile(BUCKETS_MS, counts, share) for share in sorted((one, other)))
    assert low is not None
    assert high is not None
    assert low <= high


def test_no_values_give_no_percentile() -> None:
    found = spread(BUCKETS_MS, [0] * (len(BUCKETS_MS) + 1))
    assert (found.number, found.p50, found.p95, found.p99, found.top) == (0, None, None, None, 10_000.0)


class Clock:
    """A clock that stands still unless moved."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def elapsed(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.seconds += seconds


def ring() -> tuple[Telemetry, Clock, Recent]:
    telemetry, clock = Telemetry(), Clock()
    return telemetry, clock, Recent(telemetry, clock.elapsed)


@given(st.lists(VALUES, min_size=1, max_size=8), st.integers(1, 8))
def test_window_holds_exactly_what_was_observed_in_it(rounds: list[list[float]], back: int) -> None:
    telemetry, clock, recent = ring()
    for values in rounds:
        for value in values:
            telemetry.observe("feed_duration_ms", value, "fallback")
            telemetry.count("feed_requests", "a" if value > 10 else "b", "fallback", "cold_start")
        clock.advance(EVERY_SECONDS)
        recent.take()
    # The last reading is current: the window begins `back` rounds ago, or at the start.
    window = recent.window(back * EVERY_SECONDS - 1)
    within = [value for values in rounds[-back:] for value in values]
    assert window.spread("feed_duration_ms") == spread(BUCKETS_MS, counted(within).counts)
    assert window.counted("feed_requests") == {("fallback", "cold_start"): len(within)}
    assert window.seconds == min(back, len(rounds)) * EVERY_SECONDS


def test_ring_holds_exactly_the_readings_of_the_longest_window() -> None:
    telemetry, clock, recent = ring()
    for _ in range(3 * READINGS):
        telemetry.count("feed_empty", "a")
        clock.advance(EVERY_SECONDS)
        recent.take()
    assert recent.window(MOST_MINUTES * 60).seconds == MOST_MINUTES * 60
    assert recent.window(10 * MOST_MINUTES * 60).seconds == MOST_MINUTES * 60
    assert recent.window(MOST_MINUTES * 60).total("feed_empty") == MOST_MINUTES * 60 / EVERY_SECONDS


def test_a_reading_does_not_grow_with_tenants() -> None:
    telemetry = Telemetry()
    for number in range(500):
        telemetry.count("feed_requests", f"tenant_{number}", "personalized", "")
        telemetry.count("events_accepted", f"tenant_{number}", amount=2)
    reading = read_sums(telemetry, 0.0)
    assert reading.counters == {("feed_requests", ("personalized", "")): 500, ("events_accepted", ()): 1_000}


def test_percentiles_of_one_stage_ignore_the_others() -> None:
    telemetry, _, recent = ring()
    for stage, value in (("rank", 3.0), ("rank", 4.0), ("render", 200.0)):
        telemetry.observe("feed_stage_ms", value, stage, "personalized")
    window = recent.window(60)
    assert window.labels("feed_stage_ms") == [("rank", "personalized"), ("render", "personalized")]
    assert window.spread("feed_stage_ms", "rank").number == 2
    assert window.spread("feed_stage_ms", "render", "personalized").p50 > 100  # type: ignore[operator]
    assert window.spread("feed_stage_ms", None, "fallback").number == 0


def test_read_metrics_are_in_the_table_and_name_no_tenant() -> None:
    assert {METRICS[name].kind for name in HISTOGRAMS} == {HISTOGRAM}
    kept = {label for name, keep in COUNTERS.items() for label in keep(METRICS[name].labels)}
    assert kept == {"mode", "reason", "status"}
    assert not any("tenant" in METRICS[name].labels for name in HISTOGRAMS)


async def test_loop_starts_once_and_stops() -> None:
    _, _, recent = ring()
    recent.start()
    recent.start()
    await recent.stop()
    await recent.stop()
