"""One slot for a video that few have seen: Thompson sampling, with the chance of the choice to log.

Each eligible video's long-view rate has the posterior Beta(α + long views, β + impressions − long views), where α and
β are the tenant's rate, worth `PRIOR` impressions (Chapelle & Li, NeurIPS 2011). It is drawn from the normal
distribution of that mean and variance, by hashing, which costs a tenth of a generator. The best of one draw would be
served.

The chance of that has no closed form, so the choice is made in two steps whose chances are known exactly: `DRAWS`
draws are made for a shortlist taken by lot, and the winner of one of them, picked at random, is served; one time in
`1 / UNIFORM` any of the shortlist. Given the draws, a video's chance is known; times its chance to be on the shortlist,
that is the propensity, never zero, and 1/propensity weighs an outcome without bias.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from ranking.catalog_stats import StaticFeatures
from ranking.columns import Rows, VideoColumns
from ranking.compiled import Doubles, Integers, Keys, compiled
from ranking.user_features import RankingOptions

MAX_IMPRESSIONS = 1_000.0
"""A video shown more often than this (decayed, half-life 7 d) is known well enough."""
SHORTLIST = 24
DRAWS = 16
PRIOR = 4.0
UNIFORM = 0.1
_64_BITS = 0xFFFFFFFFFFFFFFFF
_GOLDEN = 0x9E3779B97F4A7C15
_QUANTILE_BITS = 10
_QUANTILES = np.array([NormalDist().inv_cdf((i + 0.5) / 2**_QUANTILE_BITS) for i in range(2**_QUANTILE_BITS)])


def _mixed(seed: int) -> tuple[int, int, int]:
    """Three numbers of 64 bits, so that near seeds give unlike ones (SplitMix64).

    The first two turn keys, which are random themselves, into lots that are evenly spread over the seeds
    (multiply-shift; Dietzfelbinger et al., J. Algorithms 1997).
    """
    numbers = []
    for step in (1, 2, 3):
        mixed = (seed + step * _GOLDEN) & _64_BITS
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _64_BITS
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _64_BITS
        numbers.append(mixed ^ (mixed >> 31))
    return numbers[0], numbers[1], numbers[2]


_FACTORS = np.array([_mixed(draw)[0] | 1 for draw in range(DRAWS)], np.uint64)
"""What turns a lot into each draw's own."""


@dataclass(frozen=True, slots=True)
class Exploration:
    """Which of the candidates to serve in the exploration slot, and the chance with which it was chosen."""

    position: int
    propensity: float


def posterior(
    long_views: NDArray[np.float64], shown: NDArray[np.float64], long_rate: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean and the deviation of each video's long-view rate, `long_rate` being the tenant's."""
    wins = np.minimum(np.maximum(long_views, 0.0), shown)
    mean = (PRIOR * long_rate + wins) / (PRIOR + shown)
    return mean, np.sqrt(mean * (1.0 - mean) / (PRIOR + shown + 1.0))


def explore(
    columns: VideoColumns, static: StaticFeatures, candidates: Rows, context: RankingOptions
) -> Exploration | None:
    """Choose among the candidates that few have seen; None when there is none. Depends on `context.seed` alone
    for its chance, and not on the order of the rows."""
    flip, factor, own = _mixed(context.seed)
    mean, deviation = static.rates
    position, propensity = _choose(
        candidates, static.shown, mean, deviation, columns.key, np.uint64(flip), np.uint64(factor | 1), own / 2.0**64
    )
    return Exploration(position, propensity) if propensity > 0.0 else None


@compiled
def _shortlist(
    candidates: Integers, shown: Doubles, key: Keys, flip: np.uint64, factor: np.uint64
) -> tuple[Integers, Keys, int]:
    """The positions of the eligible candidates with the lowest lots, lowest first, the lots, and how many were
    eligible."""
    listed = np.empty(SHORTLIST, np.int64)
    lots = np.empty(SHORTLIST, np.uint64)
    size = eligible = 0
    for i in range(len(candidates)):
        row = candidates[i]
        if shown[row] >= MAX_IMPRESSIONS:
            continue
        eligible += 1
        lot = (key[row] ^ flip) * factor
        if size == SHORTLIST:
            if lot >= lots[size - 1]:
                continue
            size -= 1
        at = size
        while at > 0 and lot < lots[at - 1]:
            listed[at], lots[at] = listed[at - 1], lots[at - 1]
            at -= 1
        listed[at], lots[at] = i, lot
        size += 1
    return listed[:size], lots[:size], eligible


@compiled
def _choose(
    candidates: Integers,
    shown: Doubles,
    mean: Doubles,
    deviation: Doubles,
    key: Keys,
    flip: np.uint64,
    factor: np.uint64,
    lot: float,
) -> tuple[int, float]:
    """The position of the chosen candidate and its chance; the chance is 0 when none is eligible.

    `lot` in [0, 1) picks the draw whose winner is served, or any of the shortlist.
    """
    shortlist, lots, eligible = _shortlist(candidates, shown, key, flip, factor)
    if eligible == 0:
        return -1, 0.0
    winners = np.zeros(DRAWS, np.int64)
    for draw in range(DRAWS):
        highest = -np.inf
        for place in range(len(shortlist)):
            row = candidates[shortlist[place]]
            drawn = ((lots[place] ^ (lots[place] >> np.uint64(32))) * _FACTORS[draw]) >> np.uint64(64 - _QUANTILE_BITS)
            rate = mean[row] + deviation[row] * _QUANTILES[np.int64(drawn)]
            if rate > highest:
                highest, winners[draw] = rate, place
    if lot < UNIFORM:
        winner = min(int(lot / UNIFORM * len(shortlist)), len(shortlist) - 1)
    else:
        winner = winners[min(int((lot - UNIFORM) / (1.0 - UNIFORM) * DRAWS), DRAWS - 1)]
    won = 0
    for draw in range(DRAWS):
        won += winners[draw] == winner
    listed = len(shortlist) / eligible
    return shortlist[winner], listed * ((1.0 - UNIFORM) * won / DRAWS + UNIFORM / len(shortlist))
