"""The capacity program adds up, never lowers its result for more load, and sizes production."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

import function_app
from events import video_facts
from infra import capacity, figures
from local.invocation import load_functions
from shared.settings import SETTINGS
from tests.infra.compiler import Compiled
from tests.infra.snapshot import Snapshot

FIGURES = figures.read()
INPUTS = FIGURES.after
BYTES = [name for name, each in FIGURES.by_name.items() if each.unit in ("bytes", "kB")]
CPU = [name for name, each in FIGURES.by_name.items() if name.endswith("_cpu_ms")]


def test_every_figure_has_a_unit_and_a_source():
    for name, each in FIGURES.by_name.items():
        assert each.unit, name
        assert re.split(r"[:, ]", each.source)[0] in {
            "measured",
            "estimated",
            "assumed",
            "chosen",
            "designed",
            "given",
            "published",
            "counted",
            "simulated",
            "price",
        }, name


def test_bill_before_the_levers_equals_the_published_one():
    # Printed by a171ba9; a day's sums were measured again since, and each gateway pays its fixed price.
    for (average, peak), printed in {(600, 3_000): 13_377, (3_000, 3_000): 39_515, (30_000, 30_000): 366_226}.items():
        before = sum(capacity.bill(average, peak, FIGURES.before).values())
        assert before == pytest.approx(printed, rel=0.004)


@given(st.sampled_from([*BYTES, *CPU]), st.floats(0, 1), st.sampled_from([60, 600, 3_000, 30_000]))
def test_fewer_bytes_and_less_cpu_never_cost_more(name: str, share: float, rate: float):
    less = {**INPUTS, name: share * INPUTS[name]}
    for part, cost in capacity.bill(rate, 5 * rate, less).items():
        assert cost <= capacity.bill(rate, 5 * rate, INPUTS)[part] + 1e-6, part


@given(st.floats(0, 100), st.floats(0, 100), st.floats(1, 50_000))
def test_longer_linger_packs_more_batches_per_message_up_to_the_limit(one: float, other: float, rate: float):
    shorter, longer = (
        capacity.needs(rate, {**INPUTS, "linger_ms": linger}).batches_per_message for linger in sorted((one, other))
    )
    assert 1 <= shorter <= longer <= INPUTS["batches_per_message_at_most"]


def test_batches_per_message_match_a_hand_calculation():
    needs = capacity.needs(600, {**INPUTS, "linger_ms": 20})  # five instances are ready: 120 a second each
    assert needs.batches_per_message == pytest.approx(2.4 + math.exp(-2.4))
    assert needs.executions_per_feed == pytest.approx(2 + 1 / 2.4907, abs=1e-4)


def test_page_size_on_the_wire_counts_clients_with_and_without_gzip():
    inputs = {**INPUTS, "feed_response_bytes": 6_000, "feed_response_compressed_bytes": 2_000, "gzip_clients": 0.75}
    assert capacity.feed_response_bytes(inputs) == 3_000


def test_gateway_units_follow_the_largest_demand():
    few = {**INPUTS, "requests_per_gateway_unit": 1e9, "gateway_units_reserved": 0, "connection_seconds": 1}
    megabits = 3_000 * (capacity.feed_response_bytes(few) + 4_000) * 8 / 1e6
    assert capacity.gateway_units(3_000, few) == math.ceil(megabits / 2.22)
    assert capacity.gateway_units(3_000, {**few, "connection_seconds": 600}) == 720
    assert capacity.gateway_units(3_000, {**few, "gateway_units_reserved": 900}) == 900
    assert capacity.gateway_units(3_000, INPUTS) == 600


def test_a_ddos_plan_is_bought_only_where_it_pays():
    planned = {**INPUTS, "ddos_plan": 1}
    assert capacity.gateway_price(100, planned) == capacity.gateway_price(100, {**INPUTS, "ddos_plan": 0})
    assert capacity.gateway_price(1_200, planned) == pytest.approx(179.6 + 1_200 * 5.84 + 2_944)


def test_scalable_units_are_billed_at_peak_only_for_peak_hours():
    follows = {**INPUTS, "bus_follows_load": 1, "peak_hours": 0.25}
    most, usual = (capacity.needs(rate, follows).messaging_units for rate in (3_000, 600))
    expected = (0.25 * most + 0.75 * usual) * INPUTS["price_messaging_unit"]
    assert capacity.bill(600, 3_000, follows)["Service Bus"] == pytest.approx(expected)


@given(st.floats(1, 50_000), st.floats(1, 3))
def test_more_load_never_needs_less(rate: float, factor: float):
    little, much = capacity.needs(rate, INPUTS), capacity.needs(rate * factor, INPUTS)
    assert little.http_instances <= much.http_instances
    assert little.fold_instances <= much.fold_instances
    assert little.ru <= much.ru
    assert little.messaging_units <= much.messaging_units


def test_dearer_price_changes_its_own_part_only():
    before = capacity.bill(600, 3_000, INPUTS)
    after = capacity.bill(600, 3_000, {**INPUTS, "price_messaging_unit": 2 * INPUTS["price_messaging_unit"]})
    assert after.pop("Service Bus") == 2 * before.pop("Service Bus")
    assert before == after


def test_request_units_follow_the_published_table_with_interpolation():
    assert (capacity.read_units(0), capacity.write_units(0)) == (1.0, 4.95)
    assert (capacity.read_units(8_192), capacity.write_units(8_192)) == (1.33, 7.04)
    assert capacity.read_units(12 * 1024) == (1.33 + 1.67) / 2
    assert capacity.write_units(3_000_000) == 1250.0


@given(st.integers(0, 2_500_000), st.integers(0, 2_500_000))
def test_a_larger_document_never_costs_less(one: int, other: int):
    less, more = sorted((one, other))
    assert capacity.read_units(less) <= capacity.read_units(more)
    assert capacity.write_units(less) <= capacity.write_units(more)


def test_reads_of_every_instance_are_counted():
    needs = capacity.needs(3_000, INPUTS)
    sizes = 1024 * INPUTS["statistics_kb"], 1024 * INPUTS["daily_kb"]
    pulled = (needs.http_instances + 1) * 120 / 30 * sum(capacity.read_units(size) for size in sizes)
    assert round(needs.ru_statistics - pulled) == round(4 * sum(capacity.write_units(size) for size in sizes))
    assert round(needs.ru_facts) == round((needs.fold_instances + needs.rollup_instances) * 240_000 / 86_400)


def test_assumptions_about_video_facts_match_the_code():
    assert INPUTS["facts_seconds"] == video_facts.REMEMBER_SECONDS
    assert INPUTS["tenants"] * INPUTS["watched_videos"] <= video_facts.MAX_REMEMBERED


def test_feeds_and_folds_at_600_a_second_match_a_hand_calculation():
    needs = capacity.needs(600, FIGURES.before)
    assert round(needs.http_cores, 2) == round(600 * (0.2 + 0.9 + 0.8 * 0.75 + 0.2 + 0.4) / 1000, 2)
    assert round(needs.bus_mb, 2) == 4.32
    assert needs.messaging_units == 2


SWITCHED_ON_BY = {
    ("WRITE_MESSAGE_VERSION", "2"): {
        "message bodies compressed",
        "several batches in a message",
        "message properties trimmed",
        "CPU of the write path",
    },
    ("WRITE_SIGNALS_VERSION", "3"): {"smaller signals documents"},
}
"""A setting and its newest format version → the levers that apply from that version on."""


def sizes_of_production(settings: dict[str, str]) -> dict[str, float]:
    """The figures for production's format, which is not the newest before it is switched."""
    off = {lever for (name, newest), levers in SWITCHED_ON_BY.items() if settings[name] != newest for lever in levers}
    return FIGURES.without(off)


def test_levers_switched_by_a_format_exist_and_the_version_is_the_newest():
    for (name, newest), levers in SWITCHED_ON_BY.items():
        assert levers <= set(FIGURES.levers()), name
        choices = next(each.choices for each in SETTINGS.values() if each.name == name)
        assert max(choices, key=int) == newest, name


def test_production_is_sized_for_the_load_model(compiled: Compiled):
    given_sizes = {name: each["value"] for name, each in compiled.parameters["prod"].items()}
    inputs = sizes_of_production(Snapshot.of("prod", compiled.snapshots["prod"]).settings())
    usual, peak = capacity.needs(600, inputs), capacity.needs(3_000, inputs)
    assert given_sizes["messagingUnits"] == peak.messaging_units
    assert given_sizes["userActivityMaxThroughput"] >= (peak.ru_feed + peak.ru_fold) / INPUTS["ru_headroom"]
    for container in (peak.ru_statistics, peak.ru_facts, peak.ru_content):
        assert given_sizes["contentMaxThroughput"] >= container / INPUTS["ru_headroom"]
    assert given_sizes["alwaysReadyHttp"] >= usual.http_instances
    assert given_sizes["alwaysReadyFold"] >= usual.fold_instances
    assert given_sizes["rollUpDrainers"] == peak.rollup_instances
    assert given_sizes["maximumInstances"] >= 2 * (peak.http_instances + peak.fold_instances + peak.rollup_instances)
    assert given_sizes["entryMaximumCapacity"] * 10 >= peak.gateway_units
    assert given_sizes["entryMinimumCapacity"] * 10 == INPUTS["gateway_units_reserved"]
    assert given_sizes["alwaysReadyHttp"] == INPUTS["always_ready_http"]


def test_every_timer_is_counted_with_its_always_ready_instances():
    timers = [each.name for each in load_functions(function_app.app) if each.kind == "timerTrigger"]
    drainers = [name for name in timers if name.startswith("roll_up")]
    assert INPUTS["timer_functions"] == len(timers) - len(drainers), f"each that scales alone is billed: {timers}"
    one_more = {**INPUTS, "timer_functions": INPUTS["timer_functions"] + 1}
    before, after = (sum(capacity.bill(600, 3_000, inputs).values()) for inputs in (INPUTS, one_more))
    assert round(after - before, 6) == 2 * INPUTS["price_instance_idle"]
