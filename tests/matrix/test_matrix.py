"""What every port makes of a bad day's answers, as its table says. The whole matrix is `make matrix`."""

from __future__ import annotations

import asyncio

import pytest

from tests.matrix.ports import PORTS, MatrixPort


def sample(port: MatrixPort) -> list[tuple[str, str]]:
    """Every answer with one operation, every operation with one answer of each kind."""
    operations, answers = list(port.operations), list(port.answers)
    pairs = {(operations[i % len(operations)], answer) for i, answer in enumerate(answers)}
    pairs |= {(operation, answer) for operation in operations for answer in port.telling}
    return sorted(pairs)


@pytest.mark.parametrize("name", PORTS)
def test_what_a_port_makes_of_an_answer_is_in_its_table(name):
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
