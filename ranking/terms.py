"""What a user feature is made of: a value for each video by something the video has (a code, its tags, its row).

A term is worked out once per request and then read for every candidate, so the cost of what is known about a user does
not grow with the catalog. The same loop adds it to scores and shows its values, so both agree to the last bit.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ranking.compiled import Codes, CodesTable, Integers, Singles, WrittenDoubles, compiled


class Term(ABC):
    """One user feature of one request: a float32 value for every row of the catalog."""

    __slots__ = ()

    @abstractmethod
    def add_to(self, total: NDArray[np.float64], rows: Integers, weight: float) -> None:
        """Add weight × value to the total of each of the rows."""

    def on(self, rows: Integers) -> Singles:
        """The values of some rows."""
        values = np.zeros(len(rows))
        self.add_to(values, rows, 1.0)
        return values.astype(np.float32)


@dataclass(slots=True, eq=False)
class LookupColumn(Term):
    """A value per code of a column; the last value answers for code −1."""

    codes: Codes
    values: Singles

    def add_to(self, total: NDArray[np.float64], rows: Integers, weight: float) -> None:
        _add_by_code(total, rows, weight, self.codes, self.values)


@dataclass(slots=True, eq=False)
class TagMeanColumn(Term):
    """The mean over a video's tags of a value per tag; the last value answers for no tag and must be 0."""

    tags: CodesTable
    width: int
    share: Singles
    values: Singles

    def add_to(self, total: NDArray[np.float64], rows: Integers, weight: float) -> None:
        _add_by_tags(total, rows, weight, self.tags, self.width, self.share, self.values)


@dataclass(slots=True, eq=False)
class ScaledColumn(Term):
    """A static feature times a number that only the user decides."""

    values: Singles
    factor: float

    def add_to(self, total: NDArray[np.float64], rows: Integers, weight: float) -> None:
        _add_scaled(total, rows, weight, self.values, self.factor)


@dataclass(slots=True, eq=False)
class DistanceColumn(Term):
    """−factor × |value − usual| where `known` is above 0, and 0 elsewhere."""

    values: Singles
    known: Singles
    usual: float
    factor: float

    def add_to(self, total: NDArray[np.float64], rows: Integers, weight: float) -> None:
        _add_distance(total, rows, weight, self.values, self.known, self.usual, self.factor)


@dataclass(slots=True, eq=False)
class LogColumn(Term):
    """log(1 + factor · value), values ≥ 0."""

    values: Singles
    factor: float

    def add_to(self, total: NDArray[np.float64], rows: Integers, weight: float) -> None:
        _add_dampened(total, rows, weight, self.values, self.factor)


# In the loops a value is rounded to float32 before it is weighed, as everything in the table of features is.


@compiled
def _add_by_code(total: WrittenDoubles, rows: Integers, weight: float, codes: Codes, values: Singles) -> None:
    for i in range(len(rows)):
        total[i] += weight * values[codes[rows[i]]]


@compiled
def _add_by_tags(
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
        for place in range(width):
            mean += values[tags[row, place]]
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
    known: Singles,
    usual: float,
    factor: float,
) -> None:
    for i in range(len(rows)):
        row = rows[i]
        if known[row] > 0.0:
            total[i] -= weight * np.float32(factor * abs(values[row] - usual))


@compiled
def _add_dampened(total: WrittenDoubles, rows: Integers, weight: float, values: Singles, factor: float) -> None:
    for i in range(len(rows)):
        value = values[rows[i]]
        if value > 0.0:
            total[i] += weight * np.float32(math.log1p(factor * value))
