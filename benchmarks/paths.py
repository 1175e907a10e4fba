"""Measures one operation of the feed path and of the events path in this process, for `benchmarks.paired`.

The program's text runs in the folder of a version (`python -c`), so it measures that version. It reads lines such as
`feed 30` and answers each with the CPU time of one operation in µs, threads included. All is real except the document
store (in memory) and the bus before the fold (it only stores messages). Three apps share the store: one reads a user's
signals on every request, one keeps them in memory, and one has its kill switch pulled.
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import fields, replace
from itertools import count, cycle
from typing import Any

import azure.functions as func
import orjson

import bootstrap
import function_app  # noqa: F401 (sets up the memory of the process, as an instance does)
from benchmarks import feed_handler
from benchmarks.measuring import UNLIMITED
from bootstrap import App
from events.api import EventsApi
from feed.api import FeedApi
from local.demo import SDK_KEY
from local.serving import first_flags, local_settings
from shared.adapters.backends import flags_file
from shared.adapters.flags.evaluation import PERSONALIZED_FEED
from shared.adapters.flags.switching import switched
from shared.settings import Settings
from shared.web.endpoint import endpoints_of
from tests.memory_documents import MemoryDocuments
from tests.parts import signals_consumer, stats_consumer

TENANT = "tenant"
VIDEOS = 2_000
POST = next(each for each in endpoints_of(EventsApi) if each.method == "POST")
TYPES = ("impression", "video_view", "video_view", "skip", "like")


class KeepingBus:
    """Bus that stores published messages."""

    def __init__(self, bus: Any) -> None:
        self._bus = bus
        self.kept: list[Any] = []

    async def publish(self, message: Any) -> None:
        self.kept.append(message)

    def taken(self) -> list[Any]:
        """Return the messages published since the last call."""
        kept, self.kept = self.kept, []
        return kept

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)


class Paths:
    """A tenant whose users watch the served videos. Each method returns seconds of CPU for `times` operations."""

    async def prepare(self, folder: str) -> Paths:
        """Start the app, with 200 users who have watched 60 videos each."""
        documents = MemoryDocuments()
        self.app = await _started(folder, documents, keep_seconds=0.0)
        prepare: Any = getattr(feed_handler, "prepare", None) or feed_handler._prepare  # type: ignore[attr-defined]
        users = await prepare(self.app, TENANT, VIDEOS)  # older versions name it with an underscore
        await stats_consumer(self.app, receive_seconds=1.0).run()
        self.bus = KeepingBus(self.app.bus)
        self.events = self.app.apis[EventsApi]
        self.events._bus = self.bus
        self.consumer = signals_consumer(self.app)
        self.consumer._bus = self.bus
        for part in (self.events, self.consumer):
            if hasattr(part, "_packer"):  # older versions have no packer
                part._packer._bus = self.bus
        self.draw, self.serial = random.Random(1), count()
        self.keeping = await _started(folder, documents, keep_seconds=10.0)
        self.switched = await _started(folder, documents, keep_seconds=10.0, personalized=False)
        self.feeds = cycle([feed_handler._request(TENANT, user) for user in users])
        strangers = [f"{number:04x}" * 16 for number in range(60_000, 60_200)]
        self.strangers = cycle([feed_handler._request(TENANT, user) for user in strangers])
        self.gzip = {
            kind: cycle([_accepting_gzip(user) for user in known])
            for kind, known in (("kept", users), ("newcomer", strangers))
        }
        self.pages = cycle([(user, *await self._page(user)) for user in users])
        return self

    async def _page(self, user: str) -> tuple[str, list[str]]:
        api = self.app.apis[FeedApi]
        answer = await api.edge.answer(feed_handler.GET_FEED, api, feed_handler._request(TENANT, user))
        page = json.loads(answer.get_body())
        return page["feedRequestId"], [item["videoId"] for item in page["items"]]

    def _batch(self) -> func.HttpRequest:
        """Return a request with events about each video of a page."""
        number, (user, receipt, videos), now = next(self.serial), next(self.pages), time.time()
        rows = [
            {
                "type": self.draw.choice(TYPES),
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
            "x-tenant-id": TENANT,
            "x-api-key": SDK_KEY,
            "x-user": user,
            "content-type": "application/json",
            "idempotency-key": str(number),
        }
        body = orjson.dumps({"events": rows})
        return func.HttpRequest("POST", "http://localhost/v1/events/batch", headers=headers, params={}, body=body)

    async def feed(self, times: int) -> float:
        """Measure a personalized page of 20 videos of 2,000, with signals read from the store."""
        return await _timed(self.app, self.feeds, times)

    async def kept(self, times: int) -> float:
        """Measure a personalized page for a user whose signals are in memory."""
        return await _timed(self.keeping, self.feeds, times)

    async def newcomer(self, times: int) -> float:
        """Measure a page for a user without stored data, requested again within seconds."""
        return await _timed(self.keeping, self.strangers, times)

    async def kept_gzip(self, times: int) -> float:
        """Measure `kept` for a client that accepts gzip."""
        return await _timed(self.keeping, self.gzip["kept"], times)

    async def newcomer_gzip(self, times: int) -> float:
        """Measure `newcomer` for a client that accepts gzip."""
        return await _timed(self.keeping, self.gzip["newcomer"], times)

    async def switched_off(self, times: int) -> float:
        """Measure a page while the kill switch is pulled."""
        return await _timed(self.switched, self.feeds, times)

    async def post(self, times: int) -> float:
        """Measure a batch of 20 events from the request to its message."""
        requests = [self._batch() for _ in range(times)]
        began = time.process_time()
        for request in requests:
            answer = await self.events.edge.answer(POST, self.events, request)
            assert answer.status_code == 202, answer.get_body()
        return time.process_time() - began

    async def fold(self, times: int) -> float:
        """Measure a batch from its message to the user's signals and the message to the roll-up."""
        await self.post(times)
        bodies = [message.body for message in self.bus.taken()]
        began = time.process_time()
        for body in bodies:
            assert await self.consumer.handle(body) == "folded"
        return time.process_time() - began

    async def rollup(self, times: int) -> float:
        """Measure batches from that message to statistics and archive, over the embedded bus, `times` in one write."""
        await self.fold(times)
        for message in self.bus.taken():
            await self.app.bus.publish(message)
        began = time.process_time()
        added = await stats_consumer(self.app, receive_seconds=1.0).run()
        assert added == times, added
        return time.process_time() - began


async def _started(folder: str, documents: MemoryDocuments, keep_seconds: float, personalized: bool = True) -> App:
    """Start an app on the documents, which keeps signals in memory for `keep_seconds`."""
    environment = {"DATA_FOLDER": folder, "FLAGS_FILE": f"{folder}/{'on' if personalized else 'off'}.json"}
    settings = replace(local_settings(environment), signals_cache_seconds=keep_seconds, **UNLIMITED)
    if "usual_peak_floor" in {each.name for each in fields(Settings)}:
        settings = replace(settings, usual_peak_floor=1e9)
    flags = flags_file(settings)
    first_flags(flags)
    if not personalized:
        flags.write_bytes(orjson.dumps(switched(orjson.loads(flags.read_bytes()), PERSONALIZED_FEED, on=False)))
    app = bootstrap.build(settings, documents=documents)
    await app.start()
    return app


def _accepting_gzip(user: str) -> func.HttpRequest:
    headers = {"x-tenant-id": TENANT, "x-api-key": SDK_KEY, "x-user": user, "accept-encoding": "gzip"}
    return func.HttpRequest("GET", "http://localhost/v1/feed", headers=headers, params={}, body=b"")


serve: Any = getattr(feed_handler, "serve", None) or feed_handler._served  # type: ignore[attr-defined]
"""Serves one request; older versions name it with an underscore."""


async def _timed(app: App, requests: Iterator[func.HttpRequest], times: int) -> float:
    began = time.process_time()
    for _ in range(times):
        await serve(next(requests), app)
    return time.process_time() - began


def main() -> None:
    """Answer lines until the input ends."""
    loop = asyncio.new_event_loop()
    with tempfile.TemporaryDirectory() as folder:
        paths = loop.run_until_complete(Paths().prepare(folder))
        for name in ("feed", "kept", "newcomer", "switched_off", "post", "fold", "rollup"):
            loop.run_until_complete(getattr(paths, name)(60))
            paths.bus.taken()
        print("ready", flush=True)
        for line in sys.stdin:
            name, times = line.split()
            gc.collect()
            seconds = loop.run_until_complete(getattr(paths, name)(int(times)))
            paths.bus.taken()
            print(seconds / int(times) * 1e6, flush=True)


if __name__ == "__main__":
    main()
