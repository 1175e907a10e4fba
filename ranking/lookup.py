"""Binary search for fingerprints in ascending keys, which can contain duplicates."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ranking.array_types import Fingerprints, Integers
from ranking.compiled import compiled


@compiled
def first_places(keys: Fingerprints, ascending: Fingerprints) -> Integers:
    """Return the first position in `ascending` that is not below the key, for each key (like `np.searchsorted`)."""
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
    """Return the value of each key: the first one of duplicates, `unknown` for a missing key."""
    found = first_places(keys, ascending)
    for i in range(len(keys)):
        at = found[i]
        found[i] = values[at] if at < len(ascending) and ascending[at] == keys[i] else unknown
    return found


@compiled
def rows_without(keys: Fingerprints, ascending: Fingerprints, rows: Integers, size: int) -> NDArray[np.bool_]:
    """Return a mask over `size` rows: False for rows whose key is among the given ones."""
    without = np.ones(size, np.bool_)
    found = first_places(keys, ascending)
    for i in range(len(keys)):
        at = found[i]
        while at < len(ascending) and ascending[at] == keys[i]:
            without[rows[at]] = False
            at += 1
    return without
