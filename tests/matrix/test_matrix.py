"""Every port maps service responses to the outcomes in its table. The whole matrix is `make matrix`."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from shared.adapters.blobs import azure_answers
from shared.adapters.bus import servicebus_answers
from shared.adapters.documents import cosmos_answers
from shared.adapters.flags import app_configuration_answers
from tests.matrix.ports import PORTS, MatrixPort


def sample(port: MatrixPort) -> list[tuple[str, str]]:
    """Return every response with one operation, and every operation with one response of each kind."""
    operations, answers = list(port.operations), list(port.answers)
    pairs = {(operations[i % len(operations)], answer) for i, answer in enumerate(answers)}
    pairs |= {(operation, answer) for operation in operations for answer in port.telling}
    return sorted(pairs)


@pytest.mark.parametrize("name", PORTS)
def test_every_port_maps_service_responses_as_its_table_states(name):
    port = PORTS[name]

    async def try_all() -> list[str]:
        async with port.trials() as try_out:
            return [
                f"{operation} on {answer}: {came}, not {' or '.join(wanted)}"
                for operation, answer in sample(port)
                if (came := await try_out(operation, answer)) not in (wanted := port.expected(operation, answer))
            ]

    with asyncio.Runner(loop_factory=port.loop) as runner:
        assert runner.run(try_all()) == []


TABLES = (cosmos_answers, azure_answers, servicebus_answers, app_configuration_answers)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.__name__.rpartition(".")[2])
def test_every_row_of_a_table_names_its_source(table):
    listed = set(re.findall(r"^\[(\d+)\]", table.__doc__, re.MULTILINE))
    lines = Path(table.__file__).read_text().splitlines()
    rows = [line for line in lines if re.match(r"    \S.*: Kind\.[A-Z]+,", line)]
    sources = [re.search(r"#.*\[(\d+(?:, \d+)*)\]$", row) for row in rows]
    assert len(rows) == len(table.KINDS)
    assert [row for row, source in zip(rows, sources, strict=True) if source is None] == []
    assert {number for source in sources if source for number in source[1].split(", ")} == listed
