"""`FEATURES`: the table of every feature a model can weight, with the formulas of the static ones.

A static feature is a column over all rows of a catalog. It does not depend on the user and is computed once a minute. A
user feature is a term of one ranking; None if nothing is known. All values are float32, of the order of one, and 0 if
nothing is known, so a missing fact neither helps nor harms a video.

A feature with the same value for all candidates cannot change their order. Facts about a user as a whole (total watch
time, skip rate) are therefore crossed with the category.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ranking.columns import Rows
from ranking.static_features import Column, StaticFeatures
from ranking.stats import (
    APPROVALS,
    DEMAND_1H,
    DEMAND_6H,
    DEMAND_7D,
    DEMAND_24H,
    HOUR,
    SKIPS,
    VIEWS,
    WATCH_FRACTION,
)
from ranking.terms import Term
from ranking.user_features import UserFeatures
from shared.domain.records import RATINGS

DEMAND_PRIOR = 1.0
"""Long views that the mean video counts for, beside a video's own 7-day demand."""
TRUST_PRIOR = 3.0
LEAST_TRUST, MOST_TRUST = 0.05, 50.0
"""How strongly a tenant with few long views keeps the assumption that a longer window counts for `DEMAND_PRIOR` too,
and the bounds of what its data can change that to."""
QUALITY_PRIOR = 10.0
"""Impressions that the prior counts for at each step video → creator → category → tenant."""
DURATION_BINS = 10
FRESH_HOURS = 24.0


@dataclass(frozen=True, slots=True)
class Feature:
    """Feature definition: name, unit, source of the formula, and its function, either `static` or `user`."""

    name: str
    unit: str
    source: str
    static: Callable[[StaticFeatures], Column] | None = None
    user: Callable[[UserFeatures], Term | None] | None = None


# Static: popularity ---------------------------------------------------------------------------------------------


def _demand(window: int) -> Callable[[StaticFeatures], Column]:
    def compute(static: StaticFeatures) -> Column:
        if static.demand is None:
            static.demand = demand_levels(static)
        return static.demand[window]

    return compute


def demand_levels(static: StaticFeatures) -> tuple[Column, ...]:
    """Return log(a video's demand ÷ the mean video's) by window, each backing off 1 h → 6 h → 24 h → 7 d.

    A level is that of the next longer window plus log((d + K) / (expected + K)). d: long views in the window; expected:
    the long views that the longer windows predict. K is the number of long views that the longer windows count for.
    `_trust` estimates it from how far the tenant's videos deviate from the prediction: demand changes within the hour
    on a news site, and hardly ever in a library. So a window that is empty, or has too few long views, adds nothing of
    its own.
    """
    levels: list[Column] = []
    level = np.zeros(len(static.columns))
    for window in (DEMAND_7D, DEMAND_24H, DEMAND_6H, DEMAND_1H):
        demand = np.maximum(static.decayed[:, window], 0.0)
        share = np.exp(level)
        expected = share * (float(demand.sum()) / max(float(share.sum()), 1e-12))
        trust = DEMAND_PRIOR if window == DEMAND_7D else _trust(demand, expected)
        level = level + np.log((demand + trust) / (expected + trust))
        levels.insert(0, _overridden(static, level).astype(np.float32))
    return tuple(levels)


def _trust(demand: NDArray[np.float64], expected: NDArray[np.float64]) -> float:
    """Return how many long views a prediction counts for: K of a gamma distribution around it, by the method of
    moments.

    By chance alone, the variance of a decayed count is expected / 2. It is expected² / K larger if rates really differ.
    """
    strayed = float(np.square(demand - expected).sum()) - 0.5 * float(expected.sum())
    prior = TRUST_PRIOR * DEMAND_PRIOR
    trust = (float(np.square(expected).sum()) + prior) / (max(strayed, 0.0) + TRUST_PRIOR)
    return min(max(trust, LEAST_TRUST), MOST_TRUST)


def _overridden(static: StaticFeatures, level: NDArray[np.float64]) -> NDArray[np.float64]:
    """Replace the demand of videos with a popularity override by that percentile of the other videos' demand."""
    given = static.columns.popularity
    rows = np.flatnonzero(given >= 0)
    others = level[(given < 0) & static.columns.active]
    if not len(rows) or not len(others):
        return level
    level = level.copy()
    level[rows] = np.quantile(others, given[rows] / 100.0)
    return level


def _rate(positives: int, floor: float, trials: int | None = None) -> Callable[[StaticFeatures], Column]:
    """Return the function of a feature: the rate of positives per trial. Trials are `static.shown`, or the given
    column."""

    def compute(static: StaticFeatures) -> Column:
        tried = static.shown if trials is None else static.decayed[:, trials]
        return smoothed_lift(static, static.decayed[:, positives], tried, floor)

    return compute


def smoothed_lift(
    static: StaticFeatures, positives: NDArray[np.float64], trials: NDArray[np.float64], floor: float
) -> Column:
    """Return log(smoothed rate ÷ the tenant's rate), backing off video → creator → category → tenant.

    Each step is (positives + w·prior) / (trials + w) with w = `QUALITY_PRIOR` (Dirichlet smoothing). `floor` keeps the
    tenant's rate above zero. Values are 0 for a video nobody saw in a tenant nobody watched, and for all videos when
    there are no positives: an app without a like button must not rank by the lack of likes.
    """
    positives, trials = np.maximum(positives, 0.0), np.maximum(trials, 0.0)
    positives = np.minimum(positives, trials)
    if not positives.any():
        return np.zeros(len(positives), np.float32)
    columns = static.columns
    tenant = max(floor, float(positives.sum() + floor) / float(trials.sum() + 1.0))
    prior: NDArray[np.float64] = np.full(len(columns), tenant)
    for codes, size in ((columns.category, len(columns.categories)), (columns.creator, len(columns.creators))):
        index = np.where(codes < 0, size, codes)
        wins, tries = np.bincount(index, positives, size + 1), np.bincount(index, trials, size + 1)
        grouped = (wins[index] + QUALITY_PRIOR * prior) / (tries[index] + QUALITY_PRIOR)
        prior = np.where(codes < 0, prior, grouped)
    rate = (positives + QUALITY_PRIOR * prior) / (trials + QUALITY_PRIOR)
    return np.log(rate / tenant).astype(np.float32)


def _watch_percentile(static: StaticFeatures) -> Column:
    """Return the percentile of a video's mean watched fraction among videos of similar duration, − 0.5, shrunk by
    views.

    Raw seconds favor long videos and raw completion favors short ones (D2Q, KDD 2022). A percentile within a bin of
    duration favors neither.
    """
    columns = static.columns
    views = np.maximum(static.decayed[:, VIEWS], 0.0)
    out = np.zeros(len(columns), np.float32)
    known = np.flatnonzero((views > 0.1) & (columns.duration > 0))
    if len(known) < DURATION_BINS:
        return out
    watched = static.decayed[known, WATCH_FRACTION] / views[known]
    edges = np.quantile(columns.duration[known], np.linspace(0, 1, DURATION_BINS + 1)[1:-1])
    bins = np.searchsorted(edges, columns.duration[known])
    order = np.lexsort((columns.key[known], watched, bins))
    sizes = np.bincount(bins, minlength=DURATION_BINS)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    place = np.empty(len(known))
    place[order] = np.arange(len(known)) - starts[bins[order]]
    percentile = (place + 0.5) / sizes[bins] - 0.5
    out[known] = percentile * views[known] / (views[known] + QUALITY_PRIOR)
    return out


def _time_of_day(static: StaticFeatures) -> Column:
    lift = None if static.cowatch is None else static.cowatch.daypart_lift(static.now)
    return np.zeros(len(static.columns), np.float32) if lift is None else lift


# Static: the video itself ---------------------------------------------------------------------------------------


def _recency(static: StaticFeatures) -> Column:
    age_hours = np.maximum(static.now - static.columns.published_at, 0.0) / HOUR
    fresh = np.exp2(-age_hours / FRESH_HOURS)
    return np.where(static.columns.published_at > 0, fresh, 0.0).astype(np.float32)


def _duration(static: StaticFeatures) -> Column:
    duration = static.columns.duration
    return np.where(duration > 0, np.log(np.maximum(duration, 1.0) / 30.0), 0.0).astype(np.float32)


def _boost(static: StaticFeatures) -> Column:
    return (static.columns.boost / 10.0).astype(np.float32)


def _is_mature(static: StaticFeatures) -> Column:
    return (static.columns.maturity >= RATINGS["R"]).astype(np.float32)


def _bias(static: StaticFeatures) -> Column:
    return np.ones(len(static.columns), np.float32)


_SMOOTHING = "Dirichlet smoothing with back-off video → creator → category → tenant"
_LIFT = "shrunk log-lift over the tenant's base rate, prior of 5 views"

_TABLE = (
    Feature("demand_1h", "log ratio to the mean video", "long views, half-life 1 h", static=_demand(DEMAND_1H)),
    Feature("demand_6h", "log ratio to the mean video", "long views, half-life 6 h", static=_demand(DEMAND_6H)),
    Feature("demand_24h", "log ratio to the mean video", "long views, half-life 24 h", static=_demand(DEMAND_24H)),
    Feature("demand_7d", "log ratio to the mean video", "long views, half-life 7 d", static=_demand(DEMAND_7D)),
    Feature("quality", "log ratio to the tenant's long-view rate", _SMOOTHING, _rate(DEMAND_7D, 0.01)),
    Feature("approval", "log ratio to the tenant's approval rate", _SMOOTHING, _rate(APPROVALS, 0.001, VIEWS)),
    Feature("skip_rate", "log ratio to the tenant's skip rate", _SMOOTHING, _rate(SKIPS, 0.01)),
    Feature("watch_percentile", "percentile − 0.5", "in its duration bin (D2Q, KDD 2022)", _watch_percentile),
    Feature("time_of_day", "log ratio to the tenant's share", "long views by 4 h of the day", static=_time_of_day),
    Feature("recency", "1 when new, halved every 24 h", "exponential decay of the age", static=_recency),
    Feature("duration", "log of duration ÷ 30 s", "video", static=_duration),
    Feature("editorial_boost", "boost ÷ 10, in [-1, 1]", "content team", static=_boost),
    Feature("is_mature", "0 or 1", "rated R or above", static=_is_mature),
    Feature("bias", "1", "constant; changes no order", static=_bias),
    Feature("category_affinity", "log-lift", _LIFT, user=UserFeatures.category_affinity),
    Feature("tag_affinity", "mean log-lift of the tags", _LIFT, user=UserFeatures.tag_affinity),
    Feature("creator_affinity", "log-lift", _LIFT, user=UserFeatures.creator_affinity),
    Feature(
        "category_watch",
        "log-lift of the watched fraction",
        "user's against the tenant's",
        user=UserFeatures.category_watch,
    ),
    Feature(
        "category_skips", "log-lift of the skip rate", "user's against the tenant's", user=UserFeatures.category_skips
    ),
    Feature("recent_category", "portion of the newest long views", "half-life 12 h", user=UserFeatures.recent_category),
    Feature("recent_creator", "portion of the newest long views", "half-life 48 h", user=UserFeatures.recent_creator),
    Feature("recent_skips", "portion of the newest skips", "half-life 12 h", user=UserFeatures.recent_skips),
    Feature(
        "duration_match", "−|log ratio| to the user's long views", "last long views", user=UserFeatures.duration_match
    ),
    Feature(
        "popularity_taste",
        "product of two log ratios",
        "demand × the user's usual demand",
        user=UserFeatures.popularity_taste,
    ),
    Feature(
        "approval_taste",
        "product of two log ratios",
        "approval × the user's usual approval",
        user=UserFeatures.approval_taste,
    ),
    Feature(
        "next_watch",
        "log ratio to an even chance",
        "what is watched long next after the last 50 long views (Kang & McAuley, ICDM 2018)",
        user=UserFeatures.next_watch,
    ),
    Feature("follows_creator", "1 when followed", "`follow` events", user=UserFeatures.follows_creator),
    Feature("follows_category", "1 when followed", "`follow` events", user=UserFeatures.follows_category),
    Feature("language_match", "1 same, −1 other, 0 unknown", "hint", user=UserFeatures.language_match),
    Feature("country_match", "1 when the video names the country", "hint", user=UserFeatures.country_match),
    Feature("age_band_match", "1 made for it, −1 for others, 0 unknown", "hint", user=UserFeatures.age_band_match),
    Feature("platform_match", "1 made for it, −1 for others, 0 unknown", "hint", user=UserFeatures.platform_match),
)

FEATURES: dict[str, Feature] = {feature.name: feature for feature in _TABLE}
"""Features by name, in the order in which contributions are added."""

ALIASES = {
    "CategoryAffinity": "category_affinity",
    "RecencyHours": "recency",
    "GlobalPopularityScore": "demand_24h",
    "EditorialBoost": "editorial_boost",
    "UserWatchTimeLast7d": "category_watch",
    "UserSkipRateLast7d": "category_skips",
    "IsMatureContent": "is_mature",
    "cowatch": "next_watch",
}
"""Old feature names, and names of features that were replaced → current feature. A weight for an alias applies to that
feature."""

BESIDE_FEEDS = ("closeness",)
"""Weights that a model can have although the feed has no such feature: the row of stories adds it."""


def static_values(static: StaticFeatures) -> dict[str, Column]:
    """Compute every static feature's column over all rows."""
    return {feature.name: feature.static(static) for feature in _TABLE if feature.static is not None}


def values_of(feature: Feature, user: UserFeatures, rows: Rows) -> Column:
    """Return a feature's values for some rows; 0 where nothing is known."""
    if feature.user is None:
        return user.static.values[feature.name][rows]
    term = feature.user(user)
    return np.zeros(len(rows), np.float32) if term is None else term.on(rows)
