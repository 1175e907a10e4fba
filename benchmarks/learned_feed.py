"""Measures the CPU that nightly tables add to a personalized page, in this process: no sockets, all else real.

Two tenants have the same videos and users, and one also has nightly tables (co-watch and next watch) of the real size.
They alternate, so other load on the machine affects both. `adds` is the median of the rounds' differences in µs of CPU,
with its 95 % interval (bootstrap). Signals are in memory.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle
from statistics import median

import numpy as np

import bootstrap
from benchmarks.feed_handler import _request, prepare, serve
from benchmarks.measuring import UNLIMITED
from benchmarks.ranking import _next_watch
from benchmarks.results import SPEED, keep
from benchmarks.versions import DRAWS, in_turns
from bootstrap import App
from local.serving import first_flags, local_settings
from ranking import build
from shared.adapters.backends import flags_file

VIDEOS = (500, 2_000, 10_000)
ROUNDS, CALLS = 60, 25


def main() -> None:
    """Print the table."""
    print("\na personalized page without and with a night's tables, in process, µs of CPU")
    print(f"{'':20}{'without':>10}{'with':>10}{'adds':>8}   95 %")
    asyncio.run(_run())


async def _run() -> None:
    said = []
    for videos in VIDEOS:
        with tempfile.TemporaryDirectory() as folder:
            settings = replace(local_settings({"DATA_FOLDER": folder}), signals_cache_seconds=600.0, **UNLIMITED)
            first_flags(flags_file(settings))
            services = bootstrap.build(settings)
            await services.start()
            said.append(await _compare(services, videos))
            await services.close()
    keep(
        "a night's tables",
        ", ".join(said),
        topic=SPEED,
        what="what a night's tables add to the CPU of a personalized page",
        command="python -m benchmarks learned_feed",
    )


async def _compare(services: App, videos: int) -> str:
    """Measure and print a row; return it in words."""
    tenants = ("plain", "learned")
    requests = [cycle([_request(name, user) for user in await prepare(services, name, videos)]) for name in tenants]
    await _learn(services, tenants[1])
    spent: tuple[list[float], list[float]] = ([], [])
    for number in range(ROUNDS + 10):
        for which in in_turns(number):
            started = time.process_time()
            for _ in range(CALLS):
                await serve(next(requests[which]), services)
            spent[which].append((time.process_time() - started) / CALLS * 1e6)
    without, learned = spent[0][10:], spent[1][10:]  # all data is in memory by then
    middle, low, high = _difference(without, learned)
    print(
        f"{f'{videos:,} videos':20}{median(without):10.0f}{median(learned):10.0f}{middle:8.0f}   {low:.0f} … {high:.0f}"
    )
    return f"{middle:+.0f} µs at {videos:,} videos"


async def _learn(services: App, tenant: str) -> None:
    """Store tables of random numbers for a tenant; their cost does not depend on the values."""
    catalog, draw = await services.feed.catalogs.get(tenant), np.random.default_rng(1)
    keys, count = catalog.columns.key, len(catalog.columns)
    watched = keys[draw.integers(0, count, 40 * count)]
    catalog.stats.use_cowatch(build(draw.integers(0, count, len(watched)), watched, draw.random(len(watched))))
    catalog.stats.use_next_watch(_next_watch(np.sort(keys), draw))


def _difference(before: Sequence[float], after: Sequence[float]) -> tuple[float, float, float]:
    """Return the median of the rounds' differences, and its 95 % interval (bootstrap)."""
    differences = [one - other for other, one in zip(before, after, strict=True)]
    draw = random.Random(1)
    medians = sorted(median(draw.choices(differences, k=len(differences))) for _ in range(DRAWS))
    return median(differences), medians[int(DRAWS * 0.025)], medians[int(DRAWS * 0.975)]


if __name__ == "__main__":
    main()
