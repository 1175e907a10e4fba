"""Exploration slot: Thompson sampling picks one rarely shown video and returns its exact propensity.

Each eligible video's long-view rate has the posterior Beta(α + long views, β + impressions − long views). α and β are
the tenant's rate, worth `PRIOR` impressions (Chapelle & Li, NeurIPS 2011). The rate is drawn from the normal
distribution with the posterior's mean and variance. Random numbers come from hashes, at a tenth of the cost of a random
generator.

Plain Thompson sampling serves the best of one draw, and the probability of that has no closed form. So the choice has
two steps with exactly known probabilities: a random shortlist of `SHORTLIST` videos, then `DRAWS` draws for these, of
which a random one decides. With probability `UNIFORM` any video of the shortlist is served instead. The propensity is
the probability given the draws × the probability of being on the shortlist. It is never zero, so weighting outcomes by
1 / propensity is unbiased.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from ranking.array_types import Doubles, Integers, Keys
from ranking.columns import Rows, VideoColumns
from ranking.compiled import compiled
from ranking.static_features import StaticFeatures
from ranking.user_features import RankingOptions

MAX_IMPRESSIONS = 1_000.0
"""A video shown this often or more (decayed, half-life 7 d) is not explored."""
SHORTLIST = 24
DRAWS = 16
PRIOR = 4.0
UNIFORM = 0.1
_64_BITS = 0xFFFFFFFFFFFFFFFF
_GOLDEN = 0x9E3779B97F4A7C15
_QUANTILE_BITS = 10
_QUANTILES = np.array([NormalDist().inv_cdf((i + 0.5) / 2**_QUANTILE_BITS) for i in range(2**_QUANTILE_BITS)])


def _mixed(seed: int) -> tuple[int, int, int]:
    """Return three 64-bit numbers that differ even for close seeds (SplitMix64).

    The first two hash video keys uniformly over the seeds (multiply-shift; Dietzfelbinger et al.,
    J. Algorithms 1997).
    """
    numbers = []
    for step in (1, 2, 3):
        mixed = (seed + step * _GOLDEN) & _64_BITS
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _64_BITS
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _64_BITS
        numbers.append(mixed ^ (mixed >> 31))
    return numbers[0], numbers[1], numbers[2]


_FACTORS = np.array([_mixed(draw)[0] | 1 for draw in range(DRAWS)], np.uint64)
"""Multipliers that derive each draw's random number from a video's hash."""


@dataclass(frozen=True, slots=True)
class Exploration:
    """Position, among the candidates, of the video for the exploration slot, and the probability of that choice."""

    position: int
    propensity: float


def posterior(
    long_views: NDArray[np.float64], shown: NDArray[np.float64], long_rate: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the posterior mean and standard deviation of each video's long-view rate; `long_rate` is the tenant's."""
    wins = np.minimum(np.maximum(long_views, 0.0), shown)
    mean = (PRIOR * long_rate + wins) / (PRIOR + shown)
    return mean, np.sqrt(mean * (1.0 - mean) / (PRIOR + shown + 1.0))


def explore(
    columns: VideoColumns, static: StaticFeatures, candidates: Rows, options: RankingOptions
) -> Exploration | None:
    """Choose one of the rarely shown candidates; None if there is none.

    `options.seed` is the only source of randomness. The order of the rows does not matter.
    """
    flip, factor, random = _mixed(options.seed)
    mean, deviation = static.rates
    position, propensity = _choose(
        candidates, static.shown, mean, deviation, columns.key, np.uint64(flip), np.uint64(factor | 1), random / 2.0**64
    )
    return Exploration(position, propensity) if propensity > 0.0 else None


@compiled
def _shortlist(
    candidates: Integers, shown: Doubles, key: Keys, flip: np.uint64, factor: np.uint64
) -> tuple[Integers, Keys, int]:
    """Return the positions of the eligible candidates with the lowest hashes, these hashes, and the eligible count."""
    listed = np.empty(SHORTLIST, np.int64)
    hashes = np.empty(SHORTLIST, np.uint64)
    size = eligible = 0
    for i in range(len(candidates)):
        row = candidates[i]
        if shown[row] >= MAX_IMPRESSIONS:
            continue
        eligible += 1
        hashed = (key[row] ^ flip) * factor
        if size == SHORTLIST:
            if hashed >= hashes[size - 1]:
                continue
            size -= 1
        at = size
        while at > 0 and hashed < hashes[at - 1]:
            listed[at], hashes[at] = listed[at - 1], hashes[at - 1]
            at -= 1
        listed[at], hashes[at] = i, hashed
        size += 1
    return listed[:size], hashes[:size], eligible


@compiled
def _choose(
    candidates: Integers,
    shown: Doubles,
    mean: Doubles,
    deviation: Doubles,
    key: Keys,
    flip: np.uint64,
    factor: np.uint64,
    random: float,
) -> tuple[int, float]:
    """Return the position of the chosen candidate and its propensity, which is 0 if no candidate is eligible.

    `random` in [0, 1) picks the draw whose winner is served, or any video of the shortlist.
    """
    shortlist, hashes, eligible = _shortlist(candidates, shown, key, flip, factor)
    if eligible == 0:
        return -1, 0.0
    winners = np.zeros(DRAWS, np.int64)
    for draw in range(DRAWS):
        highest = -np.inf
        for place in range(len(shortlist)):
            row = candidates[shortlist[place]]
            mixed = (hashes[place] ^ (hashes[place] >> np.uint64(32))) * _FACTORS[draw]
            quantile = _QUANTILES[np.int64(mixed >> np.uint64(64 - _QUANTILE_BITS))]
            rate = mean[row] + deviation[row] * quantile
            if rate > highest:
                highest, winners[draw] = rate, place
    if random < UNIFORM:
        winner = min(int(random / UNIFORM * len(shortlist)), len(shortlist) - 1)
    else:
        winner = winners[min(int((random - UNIFORM) / (1.0 - UNIFORM) * DRAWS), DRAWS - 1)]
    won = 0
    for draw in range(DRAWS):
        won += winners[draw] == winner
    listed = len(shortlist) / eligible
    return shortlist[winner], listed * ((1.0 - UNIFORM) * won / DRAWS + UNIFORM / len(shortlist))
