"""The comparison of hosts follows the capacity program; decision 27 shows its output."""

from __future__ import annotations

import pytest

from infra import hosting
from infra.capacity import bill
from tests.infra.test_capacity import INPUTS


def test_bill_on_another_host_differs_only_by_the_functions() -> None:
    parts = bill(600, 3_000, INPUTS)
    others = sum(cost for part, cost in parts.items() if not part.startswith("Functions"))
    for host, cost in hosting.HOSTS.items():
        assert hosting.whole_bill(host, 600, 3_000, INPUTS) == pytest.approx(others + cost(600, INPUTS).together)


def test_dedicated_nodes_cost_less_than_half_of_flex_consumption_from_600_on() -> None:
    for rate in (600, 3_000, 30_000):
        costs = {host: cost(rate, INPUTS).together for host, cost in hosting.HOSTS.items()}
        assert costs["Container Apps, Dedicated"] < costs["Flex Consumption"] / 2


@pytest.mark.parametrize("host", [name for name in hosting.HOSTS if name != "Flex Consumption"])
def test_a_host_is_cheaper_above_its_break_even_and_dearer_below(host: str) -> None:
    rate = hosting.break_even(host, INPUTS)
    assert rate is not None
    for factor, cheaper in ((0.9, False), (1.1, True)) if rate else ():
        other = hosting.HOSTS[host](rate * factor, INPUTS).together
        assert (other < hosting.flex(rate * factor, INPUTS).together) is cheaper


def test_a_host_that_is_never_cheaper_has_no_break_even() -> None:
    assert hosting.break_even("Flex Consumption", INPUTS) is None
