"""Ideas that would lower the bill further: the lines add up, and each saves something."""

from __future__ import annotations

import pytest

from infra import capacity, figures, half
from infra.half import IDEAS, World
from infra.waterfall import TARGETS

INPUTS = figures.read().after


def _cells(line: str) -> list[float]:
    return [float(cell.strip(" *−").replace(",", "")) for cell in line.split("|")[2:5]]


def test_the_first_line_is_the_bill_and_the_lines_add_up() -> None:
    first, *ideas, last, halves = map(_cells, half.render(INPUTS).splitlines()[2:])
    assert len(ideas) == len(IDEAS)
    for at, (average, peak) in enumerate(TARGETS):
        assert first[at] == round(sum(capacity.bill(average, peak, INPUTS).values()))
        assert first[at] - sum(idea[at] for idea in ideas) == pytest.approx(last[at], abs=len(ideas) + 1)
        assert halves[at] == pytest.approx(first[at] / 2, abs=1)


def test_each_idea_lowers_one_bill_and_raises_none() -> None:
    world = World(INPUTS)
    for idea in IDEAS:
        before, world = world.together(), idea.applied(world)
        saved = [was - now for was, now in zip(before, world.together(), strict=True)]
        assert min(saved) >= 0, idea.name
        assert max(saved) > 0, idea.name
        assert idea.needs, idea.name
