"""Lazily evaluated feature columns: each term has a value per code, tag or row, and looks it up for the requested rows.

A term is built once per request, so the cost of the user's history does not grow with the catalog. The same loop adds a
term to scores and returns its values, so both agree to the last bit.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ranking.array_types import Codes, CodesTable, Integers, Singles, WrittenDoubles
from ranking.compiled import compiled


class Term(ABC):
    """One user feature of one ranking: a float32 value for every row of the catalog."""

    __slots__ = ()

    @abstractmethod
    def add_to(self, total: NDArray[np.float64], rows: Integers, weight: float) -> None:
        """Add weight × value to the total of each of the rows."""

    def on(self, rows: Integers) -> Singles:
        """Return the values of some rows."""
        values = np.zeros(len(rows))
        self.add_to(values, rows, 1.0)
        return values.astype(np.float32)


@dataclass(slots=True, eq=False)
class LookupColumn(Term):
    """Looks up a value per code of a column; the last value is for code −1 (no code)."""

    codes: Codes
    values: Singles

    def add_to(self, total: NDArray[np.float64], rows: Integers, weight: float) -> None:
        _add_lookup(total, rows, weight, self.codes, self.values)


@dataclass(slots=True, eq=False)
class TagMeanColumn(Term):
    """Averages a value per tag over a video's tags. The last value, for no tag, must be 0. `share`: 1 ÷ tag count."""

    tags: CodesTable
    width: int
    share: Singles
    values: Singles

    def add_to(self, total: NDArray[np.float64], rows: Integers, weight: float) -> None:
        _add_tag_mean(total, rows, weight, self.tags, self.width, self.share, self.values)


@dataclass(slots=True, eq=False)
class ScaledColumn(Term):
    """Multiplies a static feature by one factor per user."""

    values: Singles
    factor: float

    def add_to(self, total: NDArray[np.float64], rows: Integers, weight: float) -> None:
        _add_scaled(total, rows, weight, self.values, self.factor)


@dataclass(slots=True, eq=False)
class DistanceColumn(Term):
    """Computes −factor × |value − usual| where `present` is above 0, and 0 elsewhere."""

    values: Singles
    present: Singles
    usual: float
    factor: float

    def add_to(self, total: NDArray[np.float64], rows: Integers, weight: float) -> None:
        _add_distance(total, rows, weight, self.values, self.present, self.usual, self.factor)


@dataclass(slots=True, eq=False)
class RowColumn(Term):
    """Has a separate value for every row."""

    values: Singles

    def add_to(self, total: NDArray[np.float64], rows: Integers, weight: float) -> None:
        _add_rows(total, rows, weight, self.values)


# The loops round each value to float32 before weighting it, because all values of the feature table are float32.


@compiled
def _add_lookup(total: WrittenDoubles, rows: Integers, weight: float, codes: Codes, values: Singles) -> None:
    for i in range(len(rows)):
        total[i] += weight * values[codes[rows[i]]]


@compiled
def _add_tag_mean(
    total: WrittenDoubles,
    rows: Integers,
    weight: float,
    tags: CodesTable,
    width: int,
    share: Singles,
    values: Singles,
) -> None:
    for i in range(len(rows)):
        row = rows[i]
        mean = np.float32(0.0)
        for i_tag in range(width):
            mean += values[tags[row, i_tag]]
        total[i] += weight * (mean * share[row])


@compiled
def _add_scaled(total: WrittenDoubles, rows: Integers, weight: float, values: Singles, factor: float) -> None:
    for i in range(len(rows)):
        total[i] += weight * np.float32(values[rows[i]] * factor)


@compiled
def _add_distance(
    total: WrittenDoubles,
    rows: Integers,
    weight: float,
    values: Singles,
    present: Singles,
    usual: float,
    factor: float,
) -> None:
    for i in range(len(rows)):
        row = rows[i]
        if present[row] > 0.0:
            total[i] -= weight * np.float32(factor * abs(values[row] - usual))


@compiled
def _add_rows(total: WrittenDoubles, rows: Integers, weight: float, values: Singles) -> None:
    for i in range(len(rows)):
        total[i] += weight * values[rows[i]]
