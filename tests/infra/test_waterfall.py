"""The cost waterfall: its lines add up, assumptions are no savings, and measured figures are applied."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra import capacity, figures, waterfall
from infra.figures import OF_BEFORE, Figures

FIGURES = figures.read()
ASSUMED: dict[str, dict[str, Any]] = json.loads(figures.ASSUMED.read_text())
MEASURED: dict[str, dict[str, Any]] = json.loads(figures.MEASURED.read_text())
LEVERED = [name for name, entry in ASSUMED.items() if "lever" in entry]
RATIOS = st.dictionaries(st.sampled_from(LEVERED), st.floats(0.1, 3))


def with_ratios(ratios: dict[str, float]) -> Figures:
    """Return the figures as if benchmarks had recorded these ratios."""
    told = {name: {"value": ratio, "unit": OF_BEFORE, "source": "a test"} for name, ratio in ratios.items()}
    return figures.combine(ASSUMED, {**MEASURED, **told})


@given(RATIOS)
def test_the_lines_add_up_from_the_bill_before_to_the_bill_after(ratios: dict[str, float]):
    found = with_ratios(ratios)
    for at, (average, peak) in enumerate(waterfall.TARGETS):
        saved = sum(step.saved[at] for step in waterfall.levers(found, capacity.bill))
        before, after = (sum(capacity.bill(average, peak, side).values()) for side in (found.before, found.after))
        assert before - saved == pytest.approx(after)


def test_every_lever_has_one_line_whether_or_not_it_changed_anything():
    names = [step.name for step in waterfall.levers(FIGURES, capacity.bill)]
    assert names == list(dict.fromkeys(ASSUMED[name]["lever"] for name in LEVERED))
    unchanged = waterfall.levers(with_ratios(dict.fromkeys(LEVERED, 1.0)), capacity.bill)
    assert all(round(saved, 6) == 0 for step in unchanged for saved in step.saved)


def test_changed_assumption_is_no_saving_and_has_its_own_column():
    table = waterfall.waterfall(FIGURES, capacity.bill)
    rows = [line for line in table.splitlines() if line.startswith("| no saving: ")]
    assert len(rows) == sum("instead" in entry for entry in ASSUMED.values()) > 0
    for row in rows:
        cells = [cell.strip() for cell in row.strip("|").split("|")[1:]]
        assert not any(cells[0::2]), "the product's columns are empty"
        assert all(cells[1::2])
    lines = table.splitlines()
    assert all(lines.index(row) > next(at for at, line in enumerate(lines) if "**after**" in line) for row in rows)


def test_each_target_is_judged_by_the_bill_after():
    cheap = figures.combine(
        {**ASSUMED, "price_messaging_unit": {**ASSUMED["price_messaging_unit"], "value": 0}}, MEASURED
    )
    for found in (FIGURES, cheap):
        row = next(line for line in waterfall.waterfall(found, capacity.bill).splitlines() if "to reach" in line)
        cells = [cell.strip() for cell in row.strip("|").split("|")[1::2]]
        for cell, ((average, peak), target) in zip(cells, waterfall.TARGETS.items(), strict=True):
            assert ("met" in cell) is (sum(capacity.bill(average, peak, found.after).values()) <= target)


def test_every_part_of_the_bill_has_a_note_on_removing_it():
    assert set(waterfall.WANTED) == set(capacity.bill(600, 3_000, FIGURES.after))


def test_a_measured_figure_is_the_value_after_or_its_ratio():
    assumed = {"size": {"before": 400, "lever": "smaller", "unit": "bytes", "source": "measured: then"}}
    for value, unit in ((100, "bytes"), (0.25, OF_BEFORE)):
        figure = figures.combine(assumed, {"size": {"value": value, "unit": unit, "source": "now"}}).by_name["size"]
        assert (figure.before, figure.after) == (400, 100)
    assert figures.combine(assumed, {}).by_name["size"].after == 400


@pytest.mark.parametrize(
    ("entry", "unit"),
    [
        ({"before": 4, "lever": "smaller", "unit": "kB", "source": "measured: then"}, "bytes"),
        ({"value": 4, "unit": "bytes", "source": "assumed: by nobody"}, "bytes"),
    ],
)
def test_unsuitable_measured_figure_is_refused(entry: dict[str, Any], unit: str):
    with pytest.raises(ValueError, match="size is measured"):
        figures.combine({"size": entry}, {"size": {"value": 1, "unit": unit, "source": "now"}})
