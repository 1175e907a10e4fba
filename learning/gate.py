"""Decides which model a tenant serves: the personal model only if it was shown to beat popularity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from learning.evidence import Evidence, pooled
from learning.ranking_metrics import Interval

POOLED_DAYS = 7
ENOUGH_REQUESTS = 100
"""With fewer requests that have a long view, nothing is decided."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether to serve the personal model, the reason, and the lift over the tenant's fitted popularity it is based
    on."""

    personal: bool
    why: str
    lift: Interval
    days: int


def decide(days: Sequence[Evidence], deep: Sequence[Evidence] = (), admitted: bool = False) -> Decision:
    """Decide from the held-back days, newest last. `admitted`: whether the personal model was served after the previous
    night.

    The newest day decides if its interval excludes 0, else up to seven days together: the model is admitted if the 95 %
    lower bound of its lift is above 0. If the first 20 positions are hit too rarely to tell, the first 100 of the same
    days can decide (`deep`). An admitted model stays while its lift over the week is above 0 and it does not lose on
    the newest day. With few requests the bound moves across 0 and back, and the tenant would lose its model each time.
    Otherwise popularity is served: the only risk is a smaller gain.
    """
    if not days:
        return Decision(False, "no held-back day yet", Interval(0.0, -float("inf"), float("inf")), 0)
    newest, week = days[-1], pooled(days[-POOLED_DAYS:])
    count = min(len(days), POOLED_DAYS)
    if week.requests < ENOUGH_REQUESTS:
        return Decision(False, "too few requests to tell", week.lift(), count)
    lift = newest.lift()
    if newest.requests >= ENOUGH_REQUESTS and lift.high < 0:
        return Decision(False, "it lost on the newest day", lift, 1)
    if newest.requests >= ENOUGH_REQUESTS and lift.low > 0:
        return Decision(True, "it won on the newest day", lift, 1)
    lift = week.lift()
    if week.least_lift() > 0:
        return Decision(True, "it won over the week", lift, count)
    deeper = pooled(deep[-POOLED_DAYS:])
    if lift.value > 0 and deeper.least_lift() > 0:
        return Decision(True, "it won over the week, in the first 100 places", deeper.lift(), min(len(deep), count))
    if lift.value > 0 and admitted:
        return Decision(True, "it won before, and has not lost since", lift, count)
    return Decision(False, "its lift is not above 0 for certain", lift, count)
