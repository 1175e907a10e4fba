"""Reads the figures from which the bill is computed: measured, assumed, chosen or published values, and prices.

The benchmarks write `measured.json` (`benchmarks/measured.py`). `capacity.json` has the others, maintained by hand:

    {"value": 0.6, "unit": …, "source": …}                    the same before and after
    {"before": 8192, "lever": …, "unit": …, "source": …}      changed by the product; `lever` names the change

The value after is in `measured.json` under the same name, or in `"after"` beside `"before"`; else it did not change. A
measured value with the unit `of before` is a ratio, measured in pairs in one run. CPU is compared like this, because
two machines, or two days, differ by more than a change. `"instead": {"value": …, "source": …}` is an alternative
assumption, used only for the column of assumptions.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ASSUMED = Path(__file__).with_name("capacity.json")
MEASURED = Path(__file__).with_name("measured.json")
OF_BEFORE = "of before"
MONTH_SECONDS = 730 * 3600
"""Seconds of a month as in price lists."""
Inputs = Mapping[str, float]


@dataclass(frozen=True)
class Figure:
    """One figure, before and after; equal if the product did not change it. `instead`: an alternative assumption."""

    before: float
    after: float
    unit: str
    source: str
    lever: str = ""
    instead: float | None = None
    instead_source: str = ""


@dataclass(frozen=True)
class Figures:
    """Every figure by name."""

    by_name: Mapping[str, Figure]

    @property
    def before(self) -> dict[str, float]:
        """Return the values before the changes of the product."""
        return {name: each.before for name, each in self.by_name.items()}

    @property
    def after(self) -> dict[str, float]:
        """Return the values of the product now."""
        return {name: each.after for name, each in self.by_name.items()}

    def levers(self) -> dict[str, dict[str, float]]:
        """Return the changed values by lever, in the order of the file. Includes levers that changed nothing yet."""
        found: dict[str, dict[str, float]] = {}
        for name, each in self.by_name.items():
            if each.lever:
                found.setdefault(each.lever, {})[name] = each.after
        return found

    def without(self, levers: Collection[str]) -> dict[str, float]:
        """Return the values without these levers."""
        return {name: each.before if each.lever in levers else each.after for name, each in self.by_name.items()}

    def assumptions(self) -> dict[str, dict[str, float]]:
        """Return the values of alternative assumptions, by source."""
        return {
            each.instead_source: {name: each.instead} for name, each in self.by_name.items() if each.instead is not None
        }


def read(assumed: Path = ASSUMED, measured: Path = MEASURED) -> Figures:
    """Read both files. Raises `ValueError` for a measured figure whose unit differs from that of the figure before."""
    return combine(json.loads(assumed.read_text(encoding="utf-8")), json.loads(measured.read_text(encoding="utf-8")))


def combine(assumed: Mapping[str, Mapping[str, Any]], measured: Mapping[str, Mapping[str, Any]]) -> Figures:
    """Combine the figures of both files, those of `capacity.json` first."""
    found = {name: _figure(name, entry, measured.get(name)) for name, entry in assumed.items()}
    for name, entry in measured.items():
        if name not in found:
            value = float(entry["value"])
            found[name] = Figure(value, value, entry["unit"], f"measured: {entry['source']}")
    return Figures(found)


def _figure(name: str, entry: Mapping[str, Any], measured: Mapping[str, Any] | None) -> Figure:
    before = float(entry["before"] if "before" in entry else entry["value"])
    after, source = float(entry.get("after", before)), str(entry["source"])
    if measured is not None:
        if "lever" not in entry:
            raise ValueError(f"{name} is measured, and assumed in capacity.json too, without a lever")
        if measured["unit"] not in (entry["unit"], OF_BEFORE):
            raise ValueError(f"{name} is measured in {measured['unit']}, and was in {entry['unit']} before")
        after = float(measured["value"]) * (before if measured["unit"] == OF_BEFORE else 1.0)
        source = f"{source}; now measured: {measured['source']}"
    instead = entry.get("instead")
    return Figure(
        before,
        after,
        str(entry["unit"]),
        source,
        str(entry.get("lever", "")),
        float(instead["value"]) if instead else None,
        str(instead["source"]) if instead else "",
    )
