"""Explains a page: exact score contributions per feature, and the stage and rule that kept a video off the page."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ranking.catalog_stats import CatalogStats
from ranking.columns import Rows, VideoColumns
from ranking.features import FEATURES, values_of
from ranking.model import LinearModel
from ranking.rank import Scores, Slate, score
from ranking.user_features import RankingOptions, UserFeatures
from shared.domain.user_signals import Signals


@dataclass(frozen=True, slots=True)
class Contribution:
    """One feature's contribution to a score: `amount` = `weight` × `value`."""

    feature: str
    unit: str
    value: float
    weight: float
    amount: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Score of one video and its contributions. Their amounts, added in this order, equal the score bit for bit."""

    video_id: str
    score: float
    contributions: tuple[Contribution, ...]


def explain(
    columns: VideoColumns,
    stats: CatalogStats,
    signals: Signals | None,
    row: int,
    model: LinearModel,
    options: RankingOptions,
) -> Explanation:
    """Compute the contributions to the score of any row, candidate or not.

    They are exact: values are float32, weights and sums float64, added in the order of `rank.score`.
    """
    static = stats.static(options.now)
    user, only = UserFeatures(columns, static, signals, options), np.array([row], np.int64)
    model = model.suited(user.has_next_watch)
    contributions, total = [], 0.0
    for name, weight in (*model.static_terms, *model.user_terms):
        feature = FEATURES[name]
        value = float(values_of(feature, user, only)[0])
        amount = weight * value
        contributions.append(Contribution(name, feature.unit, value, weight, amount))
        total += amount
    return Explanation(columns.ids[row], total, tuple(contributions))


ABSENCES: dict[str, tuple[str, str]] = {
    "filtered": ("filters", "A filter removed it; the filters say which."),
    "outscored": ("ranking", "Its score is below that of every video on the page."),
    "near_duplicate": ("diversity", "A video with the same title is on the page."),
    "creator_cap": ("diversity", "Its creator has as many videos on the page as allowed."),
    "streak_cap": ("diversity", "It would have made the run of its category too long."),
    "variety": ("diversity", "It is too much like videos on the page."),
    "pinned": ("pins", "A pinned video took the last place."),
}
"""Rule → its stage and its meaning."""


@dataclass(frozen=True, slots=True)
class Absence:
    """Reason why a video is not on a page: `stage`, `rule` and `meaning` as in `ABSENCES`.

    `place`: the video's 0-based rank by score alone among the `candidates` candidates; None if it was not a candidate.
    """

    stage: str
    rule: str
    meaning: str
    place: int | None
    candidates: int


def why_absent(
    columns: VideoColumns,
    stats: CatalogStats,
    signals: Signals | None,
    candidates: Rows,
    model: LinearModel,
    options: RankingOptions,
    slate: Slate,
    row: int,
    adjustment: Scores | None = None,
) -> Absence | None:
    """Find out why `row` is not on `slate`, which `rank` made from the same inputs; None if it is on it."""
    if row in slate.rows:
        return None
    found = np.flatnonzero(candidates == row)
    if not len(found):
        return _absence("filtered", None, len(candidates))
    scores = score(columns, stats, signals, candidates, model, options)
    if adjustment is not None:
        scores += adjustment[candidates]
    own = scores[found[0]]
    place = int((scores > own).sum() + ((scores == own) & (columns.key[candidates] < columns.key[row])).sum())
    return _absence(_rule(columns, options, slate, row, float(own)), place, len(candidates))


def _rule(columns: VideoColumns, options: RankingOptions, slate: Slate, row: int, own: float) -> str:
    rows = slate.rows
    by_rule = [*slate.pinned, *(() if slate.explored is None else (slate.explored,))]
    merit = np.delete(slate.scores, by_rule)
    if not len(merit) or own < merit.min():
        return "outscored"
    if slate.pinned and own > merit.min():
        return "pinned"
    if columns.title[row] and columns.title[row] in columns.title[rows]:
        return "near_duplicate"
    creator, category = columns.creator[row], columns.category[row]
    if options.creator_cap and creator >= 0 and (columns.creator[rows] == creator).sum() >= options.creator_cap:
        return "creator_cap"
    if options.streak_cap and category >= 0 and (columns.category[rows] == category).sum() >= options.streak_cap:
        return "streak_cap"
    return "variety"


def _absence(rule: str, place: int | None, candidates: int) -> Absence:
    stage, meaning = ABSENCES[rule]
    return Absence(stage, rule, meaning, place, candidates)
