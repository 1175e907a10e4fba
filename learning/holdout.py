"""Decides by the holdout whether to take a personal model back: its users must not watch less than those with
popularity.

A replay favors rankings that imitate what was shown before. A comparison of watch time between two random groups of
users does not. `shared/domain/holdout_users.py` defines the groups. For both groups, each day gives the number of
active users, and the sum and the sum of squares of their watch times.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from learning.ranking_metrics import Interval
from shared.domain.holdout_users import HOLDOUT_SHARE, in_holdout

__all__ = ["HOLDOUT_SHARE", "HoldoutDay", "Verdict", "WatchedDay", "holdout_verdict", "in_holdout"]

POOLED_DAYS = 7
ENOUGH_USER_DAYS = 100
"""With fewer days of held-out users nothing is taken back, since a mean of watch times is then far from normal."""
LIKE_ONESELF = 0.5
"""Assumed correlation of a user's watch time on two days. The same users return, so seven days hold less than seven
times the information. Assumed as if every user came every day, which makes the interval too wide rather than too
narrow."""
_NORMAL_95 = 1.959964
_ENDLESS = 50.0


@dataclass(frozen=True, slots=True)
class WatchedDay:
    """A group's day: active users, Σ of the seconds each watched, Σ of their squares."""

    users: int = 0
    seconds: float = 0.0
    squares: float = 0.0


@dataclass(frozen=True, slots=True)
class HoldoutDay:
    """`model`: users served the personal model; `holdout`: held-out users, who get fitted popularity.

    Only days on which the personal model was served belong in a verdict.
    """

    model: WatchedDay
    holdout: WatchedDay


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether to take the model back, the reason, and the lift of its watch time per user-day over the holdout's.

    `user_days`: of the holdout; `days`: how many were pooled.
    """

    take_back: bool
    why: str
    lift: Interval
    user_days: int
    days: int


def holdout_verdict(days: Sequence[HoldoutDay]) -> Verdict:
    """Judge the last seven of some days, newest last: take back when the upper bound of the lift is below 0.

    The 95 % interval is normal on the log of the ratio of the two means (delta method).
    """
    recent = days[-POOLED_DAYS:]
    model, holdout = (
        _mean_and_error([day.model for day in recent]),
        _mean_and_error([day.holdout for day in recent]),
    )
    user_days = sum(day.holdout.users for day in recent)
    unknown = Interval(0.0, -math.inf, math.inf)
    if user_days < ENOUGH_USER_DAYS or sum(day.model.users for day in recent) < ENOUGH_USER_DAYS:
        return Verdict(False, "too few user-days in the holdout to tell", unknown, user_days, len(recent))
    if model is None or holdout is None:
        return Verdict(False, "nothing was watched in one of the groups", unknown, user_days, len(recent))
    ratio = model[0] / holdout[0]
    margin = min(_NORMAL_95 * math.hypot(model[1], holdout[1]), _ENDLESS)
    lift = Interval(ratio - 1.0, ratio * math.exp(-margin) - 1.0, ratio * math.exp(margin) - 1.0)
    if lift.high < 0:
        return Verdict(True, "its users watch less than the holdout", lift, user_days, len(recent))
    if lift.low > 0:
        return Verdict(False, "its users watch more than the holdout", lift, user_days, len(recent))
    return Verdict(False, "its users watch neither less nor more for certain", lift, user_days, len(recent))


def _mean_and_error(days: Sequence[WatchedDay]) -> tuple[float, float] | None:
    """Return the mean watch time of a user-day and its relative standard error; None if nothing was watched."""
    count = sum(day.users for day in days)
    mean = sum(day.seconds for day in days) / count if count else 0.0
    if not mean > 0:
        return None
    variance = sum(day.users * _variance(day) for day in days)
    again = 1.0 + (sum(day.users > 0 for day in days) - 1) * LIKE_ONESELF
    return mean, math.sqrt(variance * again) / count / mean


def _variance(day: WatchedDay) -> float:
    """Return the variance of a user's watch time within the day. Differences between days affect both groups alike."""
    if day.users < 2:
        return day.squares
    mean = day.seconds / day.users
    return max(0.0, day.squares / day.users - mean * mean) * day.users / (day.users - 1)
