"""Dark launch: for a sampled share of users, computes both feeds, serves the baseline, and records how they differ.

The comparison runs in the background; the request does not wait for it.
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
"""How many first positions are compared."""
MAX_UNDER_WAY = 4
"""Limit of concurrent comparisons in this process. Feeds beyond it are served without one and counted."""

Keys = NDArray[np.uint32]
Compute = Callable[[], Awaitable[Keys | None]]


def overlap(baseline: Keys, candidate: Keys, at: int = AT) -> float:
    """Return the share of the first `at` positions that both lists fill with the same videos, in any order; 0 to 1."""
    first, second = baseline[:at], candidate[:at]
    places = max(len(first), len(second))
    return len(np.intersect1d(first, second)) / places if places else 1.0


def rank_correlation(baseline: Keys, candidate: Keys, at: int = AT) -> float:
    """Return Spearman's rank correlation over all videos in the first `at` positions of either list; −1 to 1.

    Videos missing from a list share the mean of the ranks after its end.
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
    """Compares feeds in the background."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._under_way: set[asyncio.Task[None]] = set()

    def compare_later(self, tenant_id: str, baseline: Keys, candidate: Compute) -> None:
        """Compute the other feed after the request is answered, and record how it differs from the served one.

        `baseline` and the result of `candidate` are videos' fingerprints in order. None: too little is known about the
        user to personalize.
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
        except Exception as error:  # a trial must not affect what is served
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
        """Wait for the running comparisons."""
        while self._under_way:
            await asyncio.gather(*self._under_way, return_exceptions=True)

    async def close(self) -> None:
        """Cancel the running comparisons."""
        for task in list(self._under_way):
            task.cancel()
        await self.idle()
