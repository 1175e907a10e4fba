"""Measures the Studio's list of 50,000 videos, in this process: no sockets, the embedded store, all else real.

`first result` is the time to the first page of 30, from the call to the bytes of the response: median, 99th percentile,
and CPU. The very first call also loads the tenant's index and catalog.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from dataclasses import replace

import azure.functions as func
import numpy as np
import orjson

import bootstrap
from benchmarks.measuring import UNLIMITED, measure_async
from bootstrap import App
from cms.videos.api import VideosApi
from local.demo import save_videos
from local.serving import first_flags, local_settings
from shared.adapters.backends import flags_file
from shared.adapters.tenant_directory import save_key, save_tenant
from shared.domain.records import Tenant, Video
from shared.web.endpoint import endpoints_of

VIDEOS, TENANT, KEY = 50_000, "tenant_large", "benchmark-key-of-an-editor"
LIST = next(each for each in endpoints_of(VideosApi) if each.method == "GET" and each.path == "v1/cms/videos")
CATEGORIES = ("fitness", "cooking", "travel", "music", "news", "comedy")
WORDS = (
    "minutes",
    "morning",
    "Crème",
    "brûlée",
    "Ёлка",
    "город",
    "東京",
    "core",
    "quick",
    "best",
    "street",
    "🎧",
    "of",
)
CALLS = 30
QUERIES: dict[str, dict[str, str]] = {
    "an id": {"q": "vid_031415", "sort": "relevance"},
    "a word of one title": {"q": "rare31415", "sort": "relevance"},
    "the beginning of a word": {"q": "rare314", "sort": "relevance"},
    "two words of many titles": {"q": "creme city 314", "sort": "relevance"},
    "a word of every title": {"q": "of", "sort": "relevance"},
    "a word of none": {"q": "nowhere"},
    "all, by id": {},
    "all, newest first": {"sort": "publishedAt", "direction": "desc"},
    "all, by title": {"sort": "title"},
    "all, most viewed first": {"sort": "views", "direction": "desc"},
    "a category, live, by title": {"category": "travel", "state": "live", "sort": "title"},
}


def main() -> None:
    """Print the table."""
    asyncio.run(_run())


async def _run() -> None:
    with tempfile.TemporaryDirectory() as folder:
        settings = replace(local_settings({"DATA_FOLDER": folder}), catalog_budget_ms=60_000.0, **UNLIMITED)
        first_flags(flags_file(settings))
        app = bootstrap.build(settings)
        await app.start()
        await save_tenant(app.documents, Tenant(TENANT))
        await save_key(app.documents, app.identity, TENANT, "Editor", KEY, frozenset({"cms"}))
        await app.tenants_refresher.refresh()
        await save_videos(app, TENANT, _videos())
        started = time.perf_counter()
        assert (await _list(app, {"q": "rare31415"}))["total"] == 1
        seconds = time.perf_counter() - started
        print(f"\nsearch over {VIDEOS:,} videos: the first call of all, which loads them, {seconds:.1f} s")
        print(f"{'first result in ms':34}{'p50':>8}{'p99':>8}{'CPU':>8}{'found':>9}")
        for name, query in QUERIES.items():
            await _measure(app, name, query)
        await app.close()


async def _measure(app: App, name: str, query: dict[str, str]) -> None:
    total = (await _list(app, query))["total"]
    timing = await measure_async(lambda: _list(app, query), CALLS, warm_up=3)
    print(f"{name:34}{timing.p50 / 1000:8.1f}{timing.p99 / 1000:8.1f}{timing.cpu / 1000:8.1f}{total:9,}")


async def _list(app: App, query: dict[str, str]) -> dict[str, int]:
    headers = {"x-tenant-id": TENANT, "x-api-key": KEY}
    url, params = "http://localhost/v1/cms/videos", {"limit": "30", **query}
    request = func.HttpRequest("GET", url, headers=headers, params=params, route_params={}, body=b"")
    api = app.apis[VideosApi]
    answer = await api.edge.answer(LIST, api, request)
    assert answer.status_code == 200, answer.get_body()
    found: dict[str, int] = orjson.loads(answer.get_body())
    return found


def _videos() -> list[Video]:
    draw, now = np.random.default_rng(1), time.time()
    chosen = draw.integers(0, len(WORDS) - 1, (VIDEOS, 5))
    ages = draw.uniform(-30, 700, VIDEOS)
    return [
        Video(
            id=f"vid_{n:06}",
            title=" ".join((f"rare{n}", *(WORDS[each] for each in chosen[n]), "of City")),
            playback_url=f"https://cdn.example/{n}.m3u8",
            category=CATEGORIES[n % len(CATEGORIES)],
            tags=(f"tag{n % 40}", f"tag{n % 7}"),
            creator=f"creator_{n % 300}",
            duration_seconds=10.0 + n % 80,
            maturity_rating="PG",
            published_at=now - 86_400 * float(ages[n]),
        )
        for n in range(VIDEOS)
    ]


if __name__ == "__main__":
    main()
