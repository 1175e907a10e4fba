"""The capacity program: it adds up, it never asks for less when there is more to do, and production follows it."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from infra import capacity
from tests.infra.test_bicep import FILES

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


def test_request_units_meet_the_two_published_sizes():
    assert capacity.between(1, 5, 50) == 5
    assert capacity.between(100, 5, 50) == 50


def test_feeds_and_folds_at_600_a_second_by_hand():
    needs = capacity.needs(600, INPUTS)
    assert round(needs.http_cores, 2) == round(600 * (0.2 + 2.7 + 0.8 * 0.75 + 0.2 + 0.3 + 0.1) / 1000, 2)
    assert round(needs.bus_mb, 2) == 4.32
    assert needs.messaging_units == 2


def test_production_is_sized_for_the_load_model():
    given_sizes = FILES["env/prod.bicepparam"].variables
    usual, peak = capacity.needs(600, INPUTS), capacity.needs(3_000, INPUTS)
    assert given_sizes["messagingUnits"] == peak.messaging_units
    assert given_sizes["userActivityMaxThroughput"] >= (peak.ru_feed + peak.ru_fold) / INPUTS["ru_headroom"]
    assert given_sizes["alwaysReadyHttp"] >= usual.http_instances
    assert given_sizes["alwaysReadyFold"] >= usual.fold_instances
    assert given_sizes["maximumInstances"] >= 2 * (peak.http_instances + peak.fold_instances)
    assert given_sizes["entryMaximumCapacity"] * 10 >= peak.gateway_units
