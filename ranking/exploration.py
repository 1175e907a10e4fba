"""One slot for a video that few have seen: Thompson sampling, with the chance of the choice to log.

Each eligible video's long-view rate has the posterior Beta(α + long views, β + impressions − long views), where α and
β are the tenant's rate, worth `PRIOR` impressions (Chapelle & Li, NeurIPS 2011). The best of one draw would be served.

The chance of that has no closed form, so the choice is made in two steps whose chances are known exactly: `DRAWS`
draws are made for a shortlist taken by lot, and the winner of one of them, picked at random, is served; one time in
`1 / UNIFORM` any of the shortlist. Given the draws, a video's chance is known; times its chance to be on the shortlist,
that is the propensity, never zero, and 1/propensity weighs an outcome without bias.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ranking.columns import Rows, VideoColumns
from ranking.request import Context
from ranking.stats import DEMAND_7D
from ranking.statscolumns import StaticFeatures

MAX_IMPRESSIONS = 1_000.0
"""A video shown more often than this (decayed, half-life 7 d) is known well enough."""
SHORTLIST = 24
DRAWS = 16
PRIOR = 4.0
UNIFORM = 0.1
_64_BITS = 0xFFFFFFFFFFFFFFFF


@dataclass(frozen=True, slots=True)
class Exploration:
    """The row to serve in the exploration slot, and the chance with which it was chosen."""

    row: int
    propensity: float


def explore(columns: VideoColumns, static: StaticFeatures, candidates: Rows, context: Context) -> Exploration | None:
    """Choose among the candidates that few have seen; None when there is none. Depends on `context.seed` alone
    for its chance, and not on the order of the rows."""
    eligible = candidates[static.shown[candidates] < MAX_IMPRESSIONS]
    if not len(eligible):
        return None
    lots, chance = _lots(columns.key[eligible], context.seed), 1.0
    if len(eligible) > SHORTLIST:
        drawn = np.argpartition(lots, SHORTLIST)[:SHORTLIST]
        chance = SHORTLIST / len(eligible)
        eligible, lots = eligible[drawn], lots[drawn]
    order = lots.argsort()
    eligible = eligible[order]
    draw = np.random.Generator(np.random.PCG64([context.seed & 0xFFFFFFFF, int(lots[order[0]]) >> 32]))
    trials, rate = static.shown[eligible], static.long_rate
    wins = np.minimum(np.maximum(static.decayed[eligible, DEMAND_7D], 0.0), trials)
    rates = draw.beta(PRIOR * rate + wins, PRIOR * (1 - rate) + trials - wins, (DRAWS, len(eligible)))
    winners: list[int] = rates.argmax(axis=1).tolist()
    lot = draw.random()
    if lot < UNIFORM:
        winner = min(int(lot / UNIFORM * len(eligible)), len(eligible) - 1)
    else:
        winner = winners[min(int((lot - UNIFORM) / (1.0 - UNIFORM) * DRAWS), DRAWS - 1)]
    chance *= (1.0 - UNIFORM) * winners.count(winner) / DRAWS + UNIFORM / len(eligible)
    return Exploration(int(eligible[winner]), chance)


def _lots(keys: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """A lot for each key, evenly spread over the seeds (multiply-shift; Dietzfelbinger et al., J. Algorithms 1997).

    The keys are random themselves; the seed is mixed first, so that near seeds give unlike lots (SplitMix64).
    """
    mixed = (seed * 0x9E3779B97F4A7C15 + 0x9E3779B97F4A7C15) & _64_BITS
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _64_BITS
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _64_BITS
    return (keys ^ np.uint64(mixed)) * np.uint64((mixed ^ (mixed >> 31)) | 1)
