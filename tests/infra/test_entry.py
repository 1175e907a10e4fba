"""The comparison of network entries follows the figures and states when a DDoS plan pays."""

from __future__ import annotations

import pytest

from infra import capacity, entry, figures
from tests.infra.compiler import Compiled
from tests.infra.snapshot import Snapshot

INPUTS = figures.read().after
COSTS = {each.name: each.cost for each in entry.ENTRIES if each.cost}
TODAY, COVERED = list(COSTS.values())[:2]


def test_deployed_entry_is_the_cheapest_that_holds_at_the_average() -> None:
    holds = {each.name: each.cost(600, INPUTS) for each in entry.ENTRIES if each.cost and not each.fails}
    assert min(holds, key=lambda name: holds[name]) == next(iter(COSTS)), holds
    assert len(holds) > 1


def test_entry_costs_equal_the_bill() -> None:
    assert TODAY(600, INPUTS) == capacity.bill(600, 3_000, {**INPUTS, "ddos_plan": 0})["Gateway with firewall"]


def test_ddos_plan_pays_from_exactly_the_stated_units() -> None:
    pays = entry.plan_pays_from(INPUTS)
    without, with_plan = {**INPUTS, "ddos_plan": 0}, {**INPUTS, "ddos_plan": 1}
    assert capacity.gateway_price(pays, with_plan) < capacity.gateway_price(pays, without)
    assert capacity.gateway_price(pays - 1, with_plan) == capacity.gateway_price(pays - 1, without)


@pytest.mark.parametrize("name", COSTS)
def test_more_load_never_costs_less_at_any_entry(name: str) -> None:
    costs = [COSTS[name](rate, INPUTS) for rate in (60, 600, 3_000, 30_000)]
    assert costs == sorted(costs)


def test_fewer_bytes_never_make_an_entry_dearer() -> None:
    small = {**INPUTS, "feed_response_compressed_bytes": INPUTS["feed_response_compressed_bytes"] / 2}
    assert all(cost(rate, small) <= cost(rate, INPUTS) for cost in COSTS.values() for rate in entry.RATES)


def test_every_rejected_entry_has_a_reason() -> None:
    for each in entry.ENTRIES:
        assert each.fails or each.cost, each.name


def test_ddos_plan_is_off_where_it_does_not_pay(compiled: Compiled) -> None:
    said = compiled.parameters["prod"].get("ddosProtectionPlanId", {"value": ""})["value"]
    assert bool(said) is (capacity.needs(600, INPUTS).gateway_units >= entry.plan_pays_from(INPUTS))
    network = Snapshot.of("prod", compiled.snapshots["prod"]).one("Microsoft.Network/virtualNetworks")
    assert network.at("properties.enableDdosProtection") is bool(said)
    assert (network.at("properties.ddosProtectionPlan") is None) is not bool(said)
