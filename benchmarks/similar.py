"""Compares a list of similar videos with the plain feed, in this process: no sockets, all else real.

`ratio` is CPU per request over that of a personalized page of the same tenant in the same run. Both alternate, so other
load on the machine affects both. `list alone` is `ranking.neighbors` without the handler. Both nightly tables are
present in their real size, and signals are in memory.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import cycle
from statistics import median

import azure.functions as func
import numpy as np

import bootstrap
from benchmarks.feed_handler import GET_FEED, prepare
from benchmarks.measuring import UNLIMITED
from benchmarks.ranking import _next_watch
from bootstrap import App
from feed.api import FeedApi
from feed.similar_api import SimilarApi
from local.demo import SDK_KEY
from local.serving import first_flags, local_settings
from ranking import RankingOptions, build, global_model, similar
from shared.adapters.backends import flags_file
from shared.web.endpoint import endpoints_of

GET_SIMILAR = next(each for each in endpoints_of(SimilarApi))
ROUNDS, CALLS = 40, 25


def main() -> None:
    """Print the table."""
    print("\nlists of similar videos, in process, µs of CPU per request: median of the rounds")
    print(f"{'':34}{'CPU':>8}{'ratio':>8}")
    asyncio.run(_run())


async def _run() -> None:
    with tempfile.TemporaryDirectory() as folder:
        settings = replace(local_settings({"DATA_FOLDER": folder}), signals_cache_seconds=60.0, **UNLIMITED)
        first_flags(flags_file(settings))
        services = bootstrap.build(settings)
        await services.start()
        for videos in (500, 2_000, 10_000):
            await _compare(services, videos)
        await services.close()


async def _compare(services: App, videos: int) -> None:
    tenant = f"tenant-{videos}"
    users = cycle(await prepare(services, tenant, videos))
    catalog = await services.feed.catalogs.get(tenant)
    columns, stats, draw = catalog.columns, catalog.stats, np.random.default_rng(1)
    watched = columns.key[draw.integers(0, videos, 40 * videos)]
    stats.use_cowatch(build(draw.integers(0, videos, len(watched)), watched, draw.random(len(watched))))
    stats.use_next_watch(_next_watch(np.sort(columns.key), draw))
    ids = cycle(columns.ids)

    async def feed() -> None:
        api = services.apis[FeedApi]
        answer = await api.edge.answer(GET_FEED, api, _request(tenant, next(users), "feed", ""))
        assert answer.status_code == 200, answer.get_body()

    async def listed() -> None:
        api, id = services.apis[SimilarApi], next(ids)
        answer = await api.edge.answer(GET_SIMILAR, api, _request(tenant, next(users), f"videos/{id}/similar", id))
        assert answer.status_code in (200, 404), answer.get_body()

    model, rows, options = global_model(), columns.rows(), RankingOptions(time.time(), streak_cap=0)

    async def alone() -> None:
        similar(columns, stats, int(rows[0]), rows, model, None, options)

    spent = [[await _cpu(each) for each in (feed, listed, alone)] for _ in range(ROUNDS)][1:]
    for place, name in enumerate(("personalized feed", "similar", "list alone")):
        cpu, ratio = median(each[place] for each in spent), median(each[place] / each[0] for each in spent)
        print(f"{f'{name}, {videos:,} videos':34}{cpu:8.0f}{ratio:8.2f}")


async def _cpu(call: Callable[[], Awaitable[None]]) -> float:
    started = time.process_time()
    for _ in range(CALLS):
        await call()
    return (time.process_time() - started) / CALLS * 1e6


def _request(tenant: str, user: str, path: str, id: str) -> func.HttpRequest:
    headers = {"x-tenant-id": tenant, "x-api-key": SDK_KEY, "x-user": user}
    url = f"http://localhost/v1/{path}"
    return func.HttpRequest("GET", url, headers=headers, params={}, route_params={"id": id}, body=b"")


if __name__ == "__main__":
    main()
