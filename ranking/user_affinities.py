"""Compiled loops that turn one user's folded signals into values per code: affinities, rates and recent shares.

Each compares some dozens of the user's counters with the tenant's base rates.
"""

from __future__ import annotations

import math

import numpy as np

from ranking.array_types import Codes, Doubles, Fingerprints, Integers, Singles, SinglesTable
from ranking.compiled import compiled
from ranking.lookup import value_of_each
from shared.domain.user_signals import APPROVALS, INTEREST, SKIPS, VIEWS

AFFINITY_PRIOR = 5.0
"""Views that the tenant's base rate counts for, beside the user's own. It matters more than the half-life."""
RATE_PRIOR = 10.0
"""Tries that the tenant's rate counts for, beside the user's own."""


@compiled
def _interest_in(values: SinglesTable, entry: int) -> float:
    """Return the user's interest in one entry: views by time watched, less skips, plus approvals; never below zero.

    A view counts by the time watched ÷ the time that a long view needs, so a very short view is hardly interest.
    Watched fractions predict worse: they depend more on the video than on the user.
    """
    interest: float = values[entry, INTEREST] - values[entry, SKIPS] + values[entry, APPROVALS]
    return max(interest, 0.0)


@compiled
def total_interest(values: SinglesTable) -> float:
    """Return the user's interest in all entries together."""
    total = 0.0
    for i in range(len(values)):
        total += _interest_in(values, i)
    return total


@compiled
def affinities(values: SinglesTable, codes: Integers, base: Doubles, decay: float, total: float) -> Singles:
    """Return log((own + K·base) / ((total + K)·base)) per code; 0 for the last element, which stands for no code.

    `own`: an entry's interest times `decay`; `base`: the tenant's share; `total`: the user's interest in all
    categories; K: `AFFINITY_PRIOR`. A code the user never touched gets log(K / (total + K)) whatever its base rate.
    """
    scale = total + AFFINITY_PRIOR
    lift = np.empty(len(base), np.float32)
    lift[:] = math.log(AFFINITY_PRIOR / scale)
    for i in range(len(codes)):
        own = _interest_in(values, i)
        lift[codes[i]] = math.log(own * decay / scale / base[codes[i]] + AFFINITY_PRIOR / scale)
    lift[-1] = 0.0
    return lift


@compiled
def rate_lifts(values: SinglesTable, positives: int, codes: Integers, base: Doubles, decay: float) -> Singles:
    """Return log((positives + P·base) / ((tries + P)·base)) per code, with P = `RATE_PRIOR`.

    0 for the last element, which stands for no code, and for codes the user never tried. `positives` is a column.
    """
    lift = np.zeros(len(base), np.float32)
    for i in range(len(codes)):
        wins = max(values[i, positives], 0.0) * decay
        tries = max(values[i, VIEWS] * decay, wins)
        lift[codes[i]] = math.log((wins / base[codes[i]] + RATE_PRIOR) / (tries + RATE_PRIOR))
    lift[-1] = 0.0
    return lift


@compiled
def rows_in_catalog(
    keys: Fingerprints, minutes: Codes, ascending: Fingerprints, rows: Integers
) -> tuple[Integers, Codes]:
    """Return the rows of a timeline's videos that the catalog still has, in the timeline's order, and their minutes."""
    found = value_of_each(keys, ascending, rows, -1)
    times = np.empty(len(found), np.int32)
    count = 0
    for i in range(len(found)):
        if found[i] >= 0:
            found[count], times[count] = found[i], minutes[i]
            count += 1
    return found[:count], times[:count]


@compiled
def recent_shares(
    rows: Integers, minutes: Codes, now_minute: float, half_life_hours: float, codes: Codes, size: int
) -> Singles:
    """Return each code's share of a timeline whose entries decay with age; 0 for the last element (no code).

    `size`: number of codes. One full entry is added to the total, so a single or an old entry is only a hint.
    """
    fresh = np.zeros(size + 1)
    total = 1.0
    for i in range(len(rows)):
        weight = 2.0 ** (-max(now_minute - minutes[i], 0.0) / 60.0 / half_life_hours)
        fresh[codes[rows[i]]] += weight
        total += weight
    share = np.zeros(size + 1, np.float32)
    for code in range(size):
        share[code] = fresh[code] / total
    return share


@compiled
def mean_of(values: Singles, rows: Integers) -> float:
    """Return the mean value of some rows, of which there is at least one."""
    total = 0.0
    for row in rows:
        total += values[row]
    return total / len(rows)
