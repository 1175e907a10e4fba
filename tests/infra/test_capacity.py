"""The capacity program: it adds up, it never asks for less when there is more to do, and production follows it."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

import function_app
from events import video_facts
from infra import capacity
from local.invocation import load_functions
from tests.infra.compiler import Compiled

ROOT = Path(__file__).resolve().parents[2]
TABLE = json.loads((ROOT / "infra" / "capacity.json").read_text())
INPUTS = {name: float(each["value"]) for name, each in TABLE.items()}


def test_every_number_has_its_unit_and_says_where_it_comes_from():
    for name, each in TABLE.items():
        assert each["unit"], name
        assert each["source"].split(":")[0].split(",")[0].split(" ")[0] in {
            "measured",
            "estimated",
            "assumed",
            "chosen",
            "designed",
            "given",
            "published",
            "counted",
            "price",
        }, name


@given(st.floats(1, 50_000), st.floats(1, 3))
def test_more_load_never_needs_less(rate: float, factor: float):
    little, much = capacity.needs(rate, INPUTS), capacity.needs(rate * factor, INPUTS)
    assert little.http_instances <= much.http_instances
    assert little.fold_instances <= much.fold_instances
    assert little.ru <= much.ru
    assert little.messaging_units <= much.messaging_units


def test_a_dearer_price_shows_in_its_own_part_only():
    before = capacity.bill(600, 3_000, INPUTS)
    after = capacity.bill(600, 3_000, {**INPUTS, "price_messaging_unit": 2 * INPUTS["price_messaging_unit"]})
    assert after.pop("Service Bus") == 2 * before.pop("Service Bus")
    assert before == after


def test_request_units_follow_the_published_table_and_interpolate_between_its_rows():
    assert (capacity.read_units(0), capacity.write_units(0)) == (1.0, 4.95)
    assert (capacity.read_units(8_192), capacity.write_units(8_192)) == (1.33, 7.04)
    assert capacity.read_units(12 * 1024) == (1.33 + 1.67) / 2
    assert capacity.write_units(3_000_000) == 1250.0


@given(st.integers(0, 2_500_000), st.integers(0, 2_500_000))
def test_a_larger_document_never_costs_less(one: int, other: int):
    less, more = sorted((one, other))
    assert capacity.read_units(less) <= capacity.read_units(more)
    assert capacity.write_units(less) <= capacity.write_units(more)


def test_what_every_instance_pulls_and_asks_for_counts():
    needs = capacity.needs(3_000, INPUTS)
    sizes = 146.8 * 1024, 38 * 1024
    pulled = (needs.http_instances + 1) * 120 / 30 * sum(capacity.read_units(size) for size in sizes)
    assert round(needs.ru_statistics - pulled) == round(4 * sum(capacity.write_units(size) for size in sizes))
    assert round(needs.ru_facts) == round((needs.fold_instances + needs.rollup_instances) * 240_000 / 3_600)


def test_what_the_program_says_of_facts_is_so():
    assert INPUTS["facts_seconds"] == video_facts.REMEMBER_SECONDS
    assert INPUTS["tenants"] * INPUTS["watched_videos"] <= video_facts.MAX_REMEMBERED


def test_feeds_and_folds_at_600_a_second_by_hand():
    needs = capacity.needs(600, INPUTS)
    assert round(needs.http_cores, 2) == round(600 * (0.2 + 0.9 + 0.8 * 0.75 + 0.2 + 0.3 + 0.1) / 1000, 2)
    assert round(needs.bus_mb, 2) == 4.32
    assert needs.messaging_units == 2


def test_production_is_sized_for_the_load_model(compiled: Compiled):
    given_sizes = {name: each["value"] for name, each in compiled.parameters["prod"].items()}
    usual, peak = capacity.needs(600, INPUTS), capacity.needs(3_000, INPUTS)
    assert given_sizes["messagingUnits"] == peak.messaging_units
    assert given_sizes["userActivityMaxThroughput"] >= (peak.ru_feed + peak.ru_fold) / INPUTS["ru_headroom"]
    for container in (peak.ru_statistics, peak.ru_facts, peak.ru_content):
        assert given_sizes["contentMaxThroughput"] >= container / INPUTS["ru_headroom"]
    assert given_sizes["alwaysReadyHttp"] >= usual.http_instances
    assert given_sizes["alwaysReadyFold"] >= usual.fold_instances
    assert given_sizes["rollUpDrainers"] == peak.rollup_instances
    assert given_sizes["maximumInstances"] >= 2 * (peak.http_instances + peak.fold_instances + peak.rollup_instances)
    assert given_sizes["entryMaximumCapacity"] * 10 >= peak.gateway_units


def test_every_timer_is_counted_with_the_instances_that_stand_ready_for_it():
    timers = [each.name for each in load_functions(function_app.app) if each.kind == "timerTrigger"]
    drainers = [name for name in timers if name.startswith("roll_up")]
    assert INPUTS["timer_functions"] == len(timers) - len(drainers), f"each that scales alone is billed: {timers}"
    one_more = {**INPUTS, "timer_functions": INPUTS["timer_functions"] + 1}
    before, after = (sum(capacity.bill(600, 3_000, inputs).values()) for inputs in (INPUTS, one_more))
    assert round(after - before, 6) == 2 * INPUTS["price_instance_idle"]
