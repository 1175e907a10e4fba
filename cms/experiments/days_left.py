"""Estimates how many more days a running experiment needs to detect the smallest relevant difference. Pure.

After Kohavi, Tang and Xu, *Trustworthy Online Controlled Experiments* (2020), chapter 17: a difference δ is detected
with power 0.8 (in four of five cases) when its standard error is δ / (z of the interval + z of the power). The standard
error of a ratio falls with the square root of the number of users. Users are assumed to arrive at the same rate as
before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import NormalDist
from typing import Any

from shared.adapters.documents.port import DAY_SECONDS

MEASURE = "watchSeconds"
SMALLEST_LIFT = 0.05
"""The smallest difference worth waiting for: 5 %."""
POWER = 0.8
CONFIDENCE = 0.95
MOST_DAYS = 3_650


def days_left(started_at: float | None, report: Mapping[str, Any] | None) -> int | None:
    """Return the days from the report until each arm can be distinguished from the control; the slowest arm counts.

    0: enough data already. None: unknown, because the experiment has not started or too little was watched.
    """
    if report is None or started_at is None:
        return None
    days = (float(report["at"]) - started_at) / DAY_SECONDS
    intervals = [arm["measures"][MEASURE]["interval"] for arm in report["arms"][1:]]
    if days <= 0 or not intervals or any(interval is None for interval in intervals):
        return None
    z = NormalDist().inv_cdf(1 - (1 - CONFIDENCE) / 2 / len(intervals))
    needed = math.log1p(SMALLEST_LIFT) / (z + NormalDist().inv_cdf(POWER))
    return max(_days_left(interval, z, needed, days) for interval in intervals)


def _days_left(interval: tuple[float, float], z: float, needed: float, days: float) -> int:
    """Return the days for one arm.

    `interval`: lower and upper end of the lift; `z`: the interval's quantile; `needed`: target standard error of the
    lift's logarithm.
    """
    low, high = interval
    if low > 0.0 or high < 0.0:
        return 0
    if low <= -1.0 or not math.isfinite(high):
        return MOST_DAYS
    error = (math.log1p(high) - math.log1p(low)) / 2 / z
    return min(MOST_DAYS, max(0, math.ceil(days * ((error / needed) ** 2 - 1))))
