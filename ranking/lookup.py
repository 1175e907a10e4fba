"""Finding fingerprints in a catalog: binary search in keys kept in ascending order, equal ones side by side."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ranking.compiled import Fingerprints, Integers, compiled


@compiled
def first_places(keys: Fingerprints, ascending: Fingerprints) -> Integers:
    """Where in `ascending` each key is, or would be: the first place that is not below it."""
    found = np.empty(len(keys), np.int64)
    for i in range(len(keys)):
        low, high = 0, len(ascending)
        while low < high:
            middle = (low + high) // 2
            if ascending[middle] < keys[i]:
                low = middle + 1
            else:
                high = middle
        found[i] = low
    return found


@compiled
def value_of_each(keys: Fingerprints, ascending: Fingerprints, values: Integers, unknown: int) -> Integers:
    """The value of each key, the first one's where it is there more than once; `unknown` where it is not there."""
    found = first_places(keys, ascending)
    for i in range(len(keys)):
        at = found[i]
        found[i] = values[at] if at < len(ascending) and ascending[at] == keys[i] else unknown
    return found


@compiled
def rows_without(keys: Fingerprints, ascending: Fingerprints, rows: Integers, size: int) -> NDArray[np.bool_]:
    """Over `size` rows, False for those whose key is among the given ones."""
    without = np.ones(size, np.bool_)
    found = first_places(keys, ascending)
    for i in range(len(keys)):
        at = found[i]
        while at < len(ascending) and ascending[at] == keys[i]:
            without[rows[at]] = False
            at += 1
    return without
