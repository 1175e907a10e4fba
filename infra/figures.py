"""The figures that the bill is computed from: what was measured, and what is assumed, chosen, published or a price.

`measured.json` is written by the benchmarks (`benchmarks/measured.py`). `capacity.json` has the rest, by hand:

    {"value": 0.6, "unit": …, "source": …}                    the same before and after
    {"before": 8192, "lever": …, "unit": …, "source": …}      what the product changed, and which of its changes did it

The value after comes from `measured.json` under the same name, or from `"after"` beside `"before"`, or nothing changed.
A measured value whose unit is `of before` is a ratio, paired in one run: CPU is compared so, because two machines, or
one machine on two days, differ by more than a change does. `"instead": {"value": …, "source": …}` is what an assumption
might be as well; nothing but the column of assumptions uses it.
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
"""A month as prices mean it."""
Inputs = Mapping[str, float]


@dataclass(frozen=True)
class Figure:
    """One figure, before and after; equal for what the product did not change. `instead`: another assumption."""

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
        """Values of the product before."""
        return {name: each.before for name, each in self.by_name.items()}

    @property
    def after(self) -> dict[str, float]:
        """Values of the product now."""
        return {name: each.after for name, each in self.by_name.items()}

    def levers(self) -> dict[str, dict[str, float]]:
        """Lever → what it changes, in the order of the file. A lever that changed nothing yet is there too."""
        found: dict[str, dict[str, float]] = {}
        for name, each in self.by_name.items():
            if each.lever:
                found.setdefault(each.lever, {})[name] = each.after
        return found

    def without(self, levers: Collection[str]) -> dict[str, float]:
        """Values with these levers switched off."""
        return {name: each.before if each.lever in levers else each.after for name, each in self.by_name.items()}

    def assumptions(self) -> dict[str, dict[str, float]]:
        """What might be assumed as well: where it comes from → what it changes."""
        return {
            each.instead_source: {name: each.instead} for name, each in self.by_name.items() if each.instead is not None
        }


def read(assumed: Path = ASSUMED, measured: Path = MEASURED) -> Figures:
    """Both files. Raises `ValueError` for a measured figure whose unit is not that of the figure before."""
    return combine(json.loads(assumed.read_text(encoding="utf-8")), json.loads(measured.read_text(encoding="utf-8")))


def combine(assumed: Mapping[str, Mapping[str, Any]], measured: Mapping[str, Mapping[str, Any]]) -> Figures:
    """The figures of both, the assumed ones first."""
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
