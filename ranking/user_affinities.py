"""What is known about a user, per code: some dozens of numbers from the folded signals, compared with the tenant's."""

from __future__ import annotations

import math

import numpy as np

from ranking.compiled import Codes, Doubles, Fingerprints, Integers, Singles, SinglesTable, compiled
from ranking.lookup import value_of_each
from shared.domain.user_signals import APPROVALS, SKIPS, VIEWS

AFFINITY_PRIOR = 5.0
"""Views that the tenant's base rate weighs against the user's own. Matters more than the half-life does."""
RATE_PRIOR = 10.0


@compiled
def _interest_in(values: SinglesTable, entry: int) -> float:
    """What an entry shows of interest: views that were not skipped, and approvals; never below zero.

    Predicts better than watched fractions, which say more about the video than about the user.
    """
    shown: float = values[entry, VIEWS] - values[entry, SKIPS] + values[entry, APPROVALS]
    return max(shown, 0.0)


@compiled
def interest(values: SinglesTable) -> float:
    """What all entries together show of interest."""
    total = 0.0
    for i in range(len(values)):
        total += _interest_in(values, i)
    return total


@compiled
def affinities(values: SinglesTable, codes: Integers, base: Doubles, decay: float, everything: float) -> Singles:
    """log((own + K·base) / ((everything + K)·base)) per code, 0 for the last, which stands for none.

    `own` is an entry's interest times `decay`, `base` the tenant's share, `everything` the user's interest in all
    categories. A code the user never touched gets log(K / (everything + K)) whatever its base rate.
    """
    scale = everything + AFFINITY_PRIOR
    lift = np.empty(len(base), np.float32)
    lift[:] = math.log(AFFINITY_PRIOR / scale)
    for i in range(len(codes)):
        own = _interest_in(values, i)
        lift[codes[i]] = math.log(own * decay / scale / base[codes[i]] + AFFINITY_PRIOR / scale)
    lift[-1] = 0.0
    return lift


@compiled
def rates(values: SinglesTable, positives: int, codes: Integers, base: Doubles, decay: float) -> Singles:
    """log((positives + P·base) / ((tries + P)·base)) per code; 0 for the last, and where the user never tried."""
    lift = np.zeros(len(base), np.float32)
    for i in range(len(codes)):
        wins = max(values[i, positives], 0.0) * decay
        tries = max(values[i, VIEWS] * decay, wins)
        lift[codes[i]] = math.log((wins / base[codes[i]] + RATE_PRIOR) / (tries + RATE_PRIOR))
    lift[-1] = 0.0
    return lift


@compiled
def present(keys: Fingerprints, minutes: Codes, ascending: Fingerprints, rows: Integers) -> tuple[Integers, Codes]:
    """The rows of a ring's videos that the catalog still has, in the ring's order, and the minute of each."""
    found = value_of_each(keys, ascending, rows, -1)
    times = np.empty(len(found), np.int32)
    count = 0
    for i in range(len(found)):
        if found[i] >= 0:
            found[count], times[count] = found[i], minutes[i]
            count += 1
    return found[:count], times[:count]


@compiled
def portions(
    rows: Integers, minutes: Codes, now_minute: float, half_life_hours: float, codes: Codes, size: int
) -> Singles:
    """For codes 0 to `size` − 1, the part of a ring whose entries fade with age, and 0 in one more place, for none.

    One full entry more than there are counts, so that a lone or an old one is only a hint.
    """
    fresh = np.zeros(size + 1)
    total = 1.0
    for i in range(len(rows)):
        weight = 2.0 ** (-max(now_minute - minutes[i], 0.0) / 60.0 / half_life_hours)
        fresh[codes[rows[i]]] += weight
        total += weight
    portion = np.zeros(size + 1, np.float32)
    for code in range(size):
        portion[code] = fresh[code] / total
    return portion


@compiled
def mean_of(values: Singles, rows: Integers) -> float:
    """The mean of some rows' values, of which there is at least one."""
    total = 0.0
    for row in rows:
        total += values[row]
    return total / len(rows)
