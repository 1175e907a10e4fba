"""Dark launch: for a sampled share of users both feeds are computed and the baseline is served. How they differ is
recorded beside the request, which waits for none of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import numpy as np
from numpy.typing import NDArray

from shared.observability.metrics import Telemetry
from shared.observability.tracebacks import traceback_without_values

log = logging.getLogger("feed.dark_launch")

AT = 20
"""The first places that are compared."""
MAX_UNDER_WAY = 4
"""Comparisons at a time in this process; a feed beyond them is served without one, and counted."""

Keys = NDArray[np.uint32]
Compute = Callable[[], Awaitable[Keys | None]]


def overlap(baseline: Keys, candidate: Keys, at: int = AT) -> float:
    """The share of the first `at` places that both lists fill with the same videos, whatever their order; 0 to 1."""
    first, second = baseline[:at], candidate[:at]
    places = max(len(first), len(second))
    return len(np.intersect1d(first, second)) / places if places else 1.0


def rank_correlation(baseline: Keys, candidate: Keys, at: int = AT) -> float:
    """Spearman's rank correlation over all videos of both lists' first `at` places; -1 to 1.

    A video that a list does not have shares the places behind its end with the others it does not have.
    """
    first, second = baseline[:at], candidate[:at]
    both = np.union1d(first, second)
    if len(both) < 2:
        return 1.0
    one, other = _ranks(both, first), _ranks(both, second)
    spread = float(one.std() * other.std())
    return float(((one - one.mean()) * (other - other.mean())).mean() / spread) if spread else 1.0


def _ranks(videos: Keys, listed: Keys) -> NDArray[np.float64]:
    absent = len(videos) - len(listed)
    ranks = np.full(len(videos), len(listed) + (absent - 1) / 2)
    ranks[np.searchsorted(videos, listed)] = np.arange(len(listed))
    return ranks


class DarkLaunch:
    """Compares in the background."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._under_way: set[asyncio.Task[None]] = set()

    def compare_later(self, tenant_id: str, baseline: Keys, candidate: Compute) -> None:
        """Compute the other feed once the request is answered, and record how it differs from the one served.

        `baseline` and what `candidate` gives are videos' fingerprints in order; None means there was nothing to
        personalize by.
        """
        if len(self._under_way) >= MAX_UNDER_WAY:
            self._telemetry.count("dark_launch_compared", tenant_id, "skipped")
            return
        task = asyncio.create_task(self._compare(tenant_id, baseline, candidate))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _compare(self, tenant_id: str, baseline: Keys, candidate: Compute) -> None:
        telemetry = self._telemetry
        try:
            other = await candidate()
        except Exception as error:  # a trial must not be able to harm what is served
            log.warning("a dark launch failed\n%s", traceback_without_values(error))
            telemetry.count("dark_launch_compared", tenant_id, "failed")
            return
        if other is None:
            telemetry.count("dark_launch_compared", tenant_id, "cold_start")
            return
        telemetry.count("dark_launch_compared", tenant_id, "compared")
        telemetry.observe("dark_launch_overlap", overlap(baseline, other))
        telemetry.observe("dark_launch_correlation", rank_correlation(baseline, other))

    async def idle(self) -> None:
        """Wait for the comparisons under way."""
        while self._under_way:
            await asyncio.gather(*self._under_way, return_exceptions=True)

    async def close(self) -> None:
        """Give up what is under way."""
        for task in list(self._under_way):
            task.cancel()
        await self.idle()
