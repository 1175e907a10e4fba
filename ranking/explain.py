"""Why this video: what each feature added to its score, exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ranking.columns import VideoColumns
from ranking.features import FEATURES
from ranking.model import LinearModel
from ranking.request import Context, Request
from ranking.statscolumns import StatsColumns
from shared.signals import Signals


@dataclass(frozen=True, slots=True)
class Contribution:
    """One feature's part of a score: `amount` = `weight` × `value`."""

    feature: str
    unit: str
    value: float
    weight: float
    amount: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """`score` is the sum of the contributions' amounts, added in this order, and bit for bit the score that ranked."""

    video_id: str
    score: float
    contributions: tuple[Contribution, ...]


def explain(
    columns: VideoColumns,
    stats: StatsColumns,
    signals: Signals | None,
    row: int,
    model: LinearModel,
    context: Context,
) -> Explanation:
    """The contributions to the score of any row, candidate or not.

    Exact: values are float32, weights and sums float64, in the order in which `rank.score` adds them.
    """
    static = stats.static(context.now)
    request = Request(columns, static, signals, np.array([row], np.int64), context)
    model = model.suited(request.neighboured)
    contributions, total = [], 0.0
    for name, weight in (*model.static_terms, *model.user_terms):
        feature = FEATURES[name]
        value = static.values[name][row] if feature.user is None else feature.user(request)[0]
        amount = weight * float(value)
        contributions.append(Contribution(name, feature.unit, float(value), weight, amount))
        total += amount
    return Explanation(columns.ids[row], total, tuple(contributions))
