"""Measures the feed handler in this process: no sockets, all else real (keys, cursor, signals store, ranking, JSON).

`ratio` is CPU per request over a handler that only parses the same request and answers 8 kB of fixed bytes. `+store`
reads the user's signals from SQLite on every request; without it they are in memory, as for a second page.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from itertools import cycle

import azure.functions as func
import orjson

import bootstrap
import function_app  # noqa: F401 (sets up the memory of the process, as an instance does)
from benchmarks.measured import record
from benchmarks.measuring import UNLIMITED, Timing, measure_async
from bootstrap import App
from events.batch import Batch, encode
from events.schema import parse_event
from feed.api import FeedApi
from local.demo import SDK_KEY, demo_videos, save_videos
from local.serving import first_flags, local_settings
from shared.adapters.backends import flags_file
from shared.adapters.tenant_directory import save_key, save_tenant
from shared.domain.records import Tenant
from shared.web.endpoint import endpoints_of

GET_FEED = next(each for each in endpoints_of(FeedApi) if each.name == "get_feed")
USERS = 200
AT_ONCE = 25
REQUESTS = 1_500
COMMAND = "python -m benchmarks feed_handler, a page of 20 items of the demo"


def main() -> None:
    """Print the table."""
    print("\nfeed handler, in process, µs per request")
    print(f"{'':34}{'p50':>8}{'p99':>8}{'CPU':>8}{'ratio':>8}")
    asyncio.run(_run())


async def alone(videos: int) -> tuple[Timing, Timing]:
    """Measure the handler for a catalog of `videos`, with signals in memory: personalized, and the fallback."""
    with tempfile.TemporaryDirectory() as folder:
        settings = replace(local_settings({"DATA_FOLDER": folder}), signals_cache_seconds=10.0, **UNLIMITED)
        first_flags(flags_file(settings))
        services = bootstrap.build(settings)
        await services.start()
        users = await prepare(services, "tenant", videos)
        known = cycle([_request("tenant", user) for user in users])
        strangers = cycle([_request("tenant", "e" * 60 + f"{n:04x}") for n in range(USERS)])
        personalized = await measure_async(lambda: serve(next(known), services), REQUESTS, warm_up=USERS)
        fallback = await measure_async(lambda: serve(next(strangers), services), REQUESTS, warm_up=USERS)
        await services.close()
        return personalized, fallback


async def _run() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, cache_seconds in (("", 10.0), (" +store", 0.0)):
            settings = replace(
                local_settings({"DATA_FOLDER": f"{folder}/{cache_seconds}"}),
                signals_cache_seconds=cache_seconds,
                **UNLIMITED,
            )
            first_flags(flags_file(settings))
            services = bootstrap.build(settings)
            await services.start()
            nothing = await _no_op()
            if not name:
                _row("ready bytes", nothing, nothing)
            for videos in (500, 2_000, 10_000):
                tenant = f"tenant-{videos}"
                users = await prepare(services, tenant, videos)
                requests = cycle([_request(tenant, user) for user in users])
                timing = await measure_async(lambda: serve(next(requests), services), REQUESTS)  # noqa: B023
                _row(f"personalized, {videos} videos{name}", timing, nothing)
                await _record_a_page(tenant, users[0], services)
                if not name:
                    strangers = cycle([_request(tenant, "e" * 60 + f"{n:04x}") for n in range(USERS)])
                    timing = await measure_async(lambda: serve(next(strangers), services), REQUESTS)  # noqa: B023
                    _row(f"fallback, {videos} videos", timing, nothing)
            await services.close()


def _row(name: str, timing: Timing, base: Timing) -> None:
    print(f"{name:34}{timing.p50:8.0f}{timing.p99:8.0f}{timing.cpu:8.0f}{timing.cpu / base.cpu:8.1f}")


def _request(tenant: str, user: str, more: Mapping[str, str] | None = None) -> func.HttpRequest:
    headers = {"x-tenant-id": tenant, "x-api-key": SDK_KEY, "x-user": user, **(more or {})}
    return func.HttpRequest("GET", "http://localhost/v1/feed", headers=headers, params={}, body=b"")


async def serve(request: func.HttpRequest, services: App) -> None:
    api = services.apis[FeedApi]
    response = await api.edge.answer(GET_FEED, api, request)
    assert response.status_code == 200, response.get_body()


async def _record_a_page(tenant: str, user: str, services: App) -> None:
    """Record the bytes of a page for the bill, and its gzip bytes where the app compresses."""
    api = services.apis[FeedApi]
    for name, headers in (("feed_response_bytes", {}), ("feed_response_compressed_bytes", {"accept-encoding": "gzip"})):
        answer = await api.edge.answer(GET_FEED, api, _request(tenant, user, headers))
        if not headers or "Content-Encoding" in answer.headers:
            record(name, len(answer.get_body()), "bytes", COMMAND)


async def _no_op() -> Timing:
    ready = orjson.dumps({"items": ["x" * 390] * 20})
    request = _request("tenant", "0" * 64)

    async def answer() -> None:
        assert request.headers["x-user"]
        func.HttpResponse(ready, status_code=200, headers={"ETag": "x"}, mimetype="application/json")

    return await measure_async(answer, REQUESTS)


async def prepare(services: App, tenant: str, count: int, people: int = USERS) -> list[str]:
    """Create a tenant of `count` videos, and users with a history of about 60 events each."""
    draw, now = random.Random(count), time.time()
    await save_tenant(services.documents, Tenant(tenant, "R", count_anonymous_events=True))
    await save_key(services.documents, services.identity, tenant, "app", SDK_KEY, frozenset({"sdk"}))
    await services.tenants_refresher.refresh()
    videos = demo_videos(count, now, draw)
    await save_videos(services, tenant, videos)
    users = [f"{n:064x}" for n in range(people)]
    batches = []
    for user in users:
        rows = [
            {
                "type": draw.choice(("video_view", "video_view", "skip", "like")),
                "videoId": draw.choice(videos).id,
                "timestamp": int((now - draw.uniform(0, 6 * 86_400)) * 1000),
                "watchTimeMs": draw.randint(500, 40_000),
            }
            for _ in range(60)
        ]
        events = tuple(parse_event(row, now)[0] for row in rows)
        batches.append(Batch(f"{tenant}-{user}", tenant, services.identity.user_key(tenant, user), now, events))
    for start in range(0, len(batches), AT_ONCE):
        some = batches[start : start + AT_ONCE]
        folded = await asyncio.gather(*(services.signals_consumer.handle(encode(batch)) for batch in some))
        assert set(folded) == {"folded"}
    return users


if __name__ == "__main__":
    main()
