"""The comparison of hosts: it follows the capacity program, and decision 27 shows what it prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra import hosting
from tests.infra.test_capacity import INPUTS

RECORD = Path(__file__).resolve().parents[2] / "docs/decisions/0027-flex-consumption-until-its-executions-cost-more.md"


def test_the_decision_on_hosting_shows_the_table_as_it_is_printed_now() -> None:
    assert hosting.render(INPUTS) in RECORD.read_text()


@pytest.mark.parametrize("host", ["Elastic Premium", "Container Apps"])
def test_a_host_is_cheaper_above_its_break_even_and_dearer_below(host: str) -> None:
    rate = hosting.break_even(host, INPUTS)
    assert rate is not None
    for factor, cheaper in ((0.9, False), (1.1, True)):
        other = hosting.HOSTS[host](rate * factor, INPUTS).together
        assert (other < hosting.flex(rate * factor, INPUTS).together) is cheaper


def test_a_host_that_is_never_cheaper_has_no_break_even() -> None:
    assert hosting.break_even("Flex Consumption", INPUTS) is None
