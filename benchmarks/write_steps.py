"""Measures a batch on the write path in this process, over the Azure SDKs, for `benchmarks.write_path`.

The program's text runs in the folder of a version (`python -c`), so it measures that version. The environment names its
test servers. It reads lines such as `post 600`. Each step processes the messages of the step before:

| step | from | to | answers |
|---|---|---|---|
| `post` | the request | its 202: the message is on the bus | CPU µs a batch |
| `fold` | the message | signals written, and what was new handed on | CPU µs a batch |
| `rollup` | that message, its receipt and settlement too | statistics and archive | CPU µs a batch |

Batches arrive as at one instance: at random times, `RATE` a second, from tenants of very unequal size. Work of the
Functions host (receiving and settling for the fold) is not timed.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import os
import random
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import accumulate, count, cycle
from typing import Any

import azure.functions as func
import orjson

import bootstrap
import function_app  # noqa: F401 (sets up the memory of the process, as an instance does)
from benchmarks.feed_handler import GET_FEED
from benchmarks.measuring import UNLIMITED
from events.api import EventsApi
from events.batch import Batch, encode, parts
from events.schema import parse_event
from feed.api import FeedApi
from local.demo import SDK_KEY, demo_videos, save_videos
from local.serving import local_settings
from shared.adapters.bus.port import SIGNALS
from shared.adapters.flags.app_configuration import FlagStore
from shared.adapters.flags.evaluation import PERSONALIZED_FEED
from shared.adapters.tenant_directory import save_key, save_tenant
from shared.domain.records import Tenant
from shared.settings import Settings
from shared.web.endpoint import endpoints_of
from tests.parts import stats_consumer

RATE = 200.0
"""Batches a second at one instance: 600 over three."""
AT_ONCE = 32
"""Most concurrent calls: on a busy machine all would become due together and be refused."""
TENANTS, VIDEOS, USERS, HISTORY = 40, 120, 400, 60
NEVER_SECONDS = 3_600.0
POST = next(each for each in endpoints_of(EventsApi) if each.method == "POST")
TYPES = {"impression": 8, "video_view": 8, "skip": 4, "like": 0.23}
"""Weights of the drawn event types: 0.23 likes for 8 impressions, as in KuaiRand."""
LONG_SHARE = 0.06
"""Share of videos of five minutes and more, as in the same log; the others have up to a minute and a half."""


LEAN = "MEASURE_LEAN"


def _lean(settings: Settings) -> Any:
    """Return the store with the flags `lean-reads` and `lean-writes` on; earlier versions do not have them."""
    return importlib.import_module("benchmarks.lean").lean_cosmos(settings)


class Steps:
    """Tenants whose users watch the served videos. Each step returns the seconds of CPU for its batches."""

    async def prepare(self) -> Steps:
        """Start the parts that the steps need, without refresh loops, which are no cost of a batch."""
        settings = replace(
            local_settings(),
            content_refresh_seconds=NEVER_SECONDS,
            publish_budget_ms=30_000.0,
            signals_budget_ms=5_000.0,
            usual_peak_floor=1e9,
            **UNLIMITED,
        )
        with FlagStore.from_settings(settings) as flags:
            flags.seed([{"id": PERSONALIZED_FEED, "enabled": True}])
        self.app = app = bootstrap.build(settings, documents=_lean(settings) if os.environ.get(LEAN) else None)
        for port in (app.documents, app.bus):
            await port.ready()
        self.draw, self.serial = random.Random(1), count()
        self.names = [f"tenant-{number}" for number in range(TENANTS)]
        videos = [
            replace(video, duration_seconds=400.0) if self.draw.random() < LONG_SHARE else video
            for video in demo_videos(VIDEOS, time.time(), self.draw)
        ]
        for name in self.names:
            await save_tenant(app.documents, Tenant(name, "R"))
            await save_key(app.documents, app.identity, name, "app", SDK_KEY, frozenset({"sdk"}))
            await save_videos(app, name, videos)
        await app.tenants_refresher.refresh()
        await app.flags_refresher.refresh()
        weights = list(accumulate(1 / (rank + 1) for rank in range(TENANTS)))
        users = [(self.draw.choices(self.names, cum_weights=weights)[0], f"{n:064x}") for n in range(USERS)]
        ids = [video.id for video in videos]
        for name in self.names:
            await app.video_facts.get(name, ids)  # once an hour per instance, so no cost of a batch
        for tenant, user in users:
            await self._give_history(tenant, user, ids)
        self.pages = cycle([(tenant, user, *await self._page(tenant, user)) for tenant, user in users])
        return self

    async def _give_history(self, tenant: str, user: str, videos: list[str]) -> None:
        now = time.time()
        rows = [
            {
                "type": self._type(),
                "videoId": self.draw.choice(videos),
                "timestamp": int((now - self.draw.uniform(0, 6 * 86_400)) * 1000),
                "watchTimeMs": self.draw.randint(500, 40_000),
            }
            for _ in range(HISTORY)
        ]
        key = self.app.identity.user_key(tenant, user)
        batch = Batch(f"{next(self.serial):032x}", tenant, key, now, tuple(parse_event(row, now)[0] for row in rows))
        assert await self.app.signals_consumer.handle(encode(batch)) == "folded"

    async def _page(self, tenant: str, user: str) -> tuple[str, list[str]]:
        api = self.app.apis[FeedApi]
        headers = {"x-tenant-id": tenant, "x-api-key": SDK_KEY, "x-user": user}
        request = func.HttpRequest("GET", "http://localhost/v1/feed", headers=headers, params={}, body=b"")
        answer = await api.edge.answer(GET_FEED, api, request)
        page = json.loads(answer.get_body())
        assert len(page["items"]) == 20, page
        return page["feedRequestId"], [item["videoId"] for item in page["items"]]

    def _type(self) -> str:
        return self.draw.choices(list(TYPES), list(TYPES.values()))[0]

    def _request(self) -> func.HttpRequest:
        """Return a request with events about each video of a page."""
        number, (tenant, user, receipt, videos), now = next(self.serial), next(self.pages), time.time()
        rows = [
            {
                "type": self._type(),
                "videoId": video,
                "timestamp": int((now - self.draw.uniform(0, 60)) * 1000),
                "watchTimeMs": self.draw.randint(500, 40_000),
                "feedRequestId": receipt,
                "rankPosition": place,
                "eventId": f"e{number}-{place}",
            }
            for place, video in enumerate(videos)
        ]
        headers = {
            "x-tenant-id": tenant,
            "x-api-key": SDK_KEY,
            "x-user": user,
            "content-type": "application/json",
            "idempotency-key": str(number),
        }
        body = orjson.dumps({"events": rows})
        return func.HttpRequest("POST", "http://localhost/v1/events/batch", headers=headers, params={}, body=body)

    async def post(self, times: int) -> float:
        api, requests = self.app.apis[EventsApi], [self._request() for _ in range(times)]

        async def one(request: func.HttpRequest) -> None:
            answer = await api.edge.answer(POST, api, request)
            assert answer.status_code == 202, answer.get_body()

        return await self._paced([lambda request=request: one(request) for request in requests], [1] * times)

    async def fold(self, times: int) -> float:
        receiver, messages, waiting = await self.app.bus.receiver(SIGNALS), [], times
        while waiting > 0:
            found = await receiver.receive(200, 5.0)
            assert found, f"{waiting} batches did not come"
            messages += found
            waiting -= sum(len(parts(message.body)) for message in found)
        consumer = self.app.signals_consumer
        calls = [lambda body=message.body: consumer.handle(body) for message in messages]
        spent = await self._paced(calls, [len(parts(message.body)) for message in messages])
        await receiver.complete(messages)
        await receiver.close()
        return spent

    async def rollup(self, times: int) -> float:
        began, added = time.process_time(), 0
        while added < times:
            added += await stats_consumer(self.app, receive_seconds=1.0).run()
        return time.process_time() - began

    async def _paced(self, calls: list[Callable[[], Awaitable[Any]]], batches: list[int]) -> float:
        """Make the calls at random times, each with its number of batches, and wait for all of them."""
        began = time.process_time()
        running, slots = [], asyncio.Semaphore(AT_ONCE)
        due = time.perf_counter()

        async def one(call: Callable[[], Awaitable[Any]]) -> None:
            try:
                await call()
            finally:
                slots.release()

        for call, size in zip(calls, batches, strict=True):
            due += self.draw.expovariate(RATE / size)
            if (early := due - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            await slots.acquire()
            running.append(asyncio.ensure_future(one(call)))
        await asyncio.gather(*running)
        return time.process_time() - began


def main() -> None:
    """Answer lines until the input ends."""
    loop = asyncio.new_event_loop()
    steps = loop.run_until_complete(Steps().prepare())
    print("ready", flush=True)
    for line in sys.stdin:
        name, times = line.split()
        gc.collect()
        seconds = loop.run_until_complete(getattr(steps, name)(int(times)))
        print(seconds / int(times) * 1e6, flush=True)
    os._exit(0)  # connections stay open; closing them is not measured


if __name__ == "__main__":
    main()
