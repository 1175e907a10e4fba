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
    lots = _mix(columns.key[eligible], context.seed)
    if len(eligible) > SHORTLIST:
        chosen = np.argpartition(lots, SHORTLIST)[:SHORTLIST]
        eligible, lots, chance = eligible[chosen], lots[chosen], SHORTLIST / len(eligible)
    else:
        chance = 1.0
    eligible = eligible[np.argsort(lots)]
    draw = np.random.Generator(np.random.PCG64([context.seed & 0xFFFFFFFF, int(lots.min() >> np.uint64(32))]))
    trials, rate = static.shown[eligible], static.long_rate
    wins = np.clip(static.decayed[eligible, DEMAND_7D], 0.0, trials)
    winners = draw.beta(PRIOR * rate + wins, PRIOR * (1 - rate) + trials - wins, (DRAWS, len(eligible))).argmax(axis=1)
    chances = (1.0 - UNIFORM) * np.bincount(winners, minlength=len(eligible)) / DRAWS + UNIFORM / len(eligible)
    # The sum may fall short of 1 by a rounding error: the last video takes what is left.
    winner = min(int(np.searchsorted(np.cumsum(chances), draw.random(), "right")), len(eligible) - 1)
    return Exploration(int(eligible[winner]), chance * float(chances[winner]))


def _mix(keys: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """Evenly spread numbers from keys and a seed (the finalizer of SplitMix64; Steele et al., OOPSLA 2014)."""
    step = (seed * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
    mixed = keys + np.uint64(step)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
