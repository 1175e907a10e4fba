"""Compares named feeds and filters with the plain feed: the handler in this process, all real except sockets.

Every row alternates with the plain feed of its block, so other load on the machine affects both. `plain` and `row` are
medians of CPU per request in µs. `ratio` is the median of all rounds' ratios, with its 95 % interval (bootstrap). In
the second block no user agreed to personalization: first pages are cached, also of named feeds. A filtered first page
is cut from the cached order, like a plain second page, with which its rows are compared. Receipts and cursors are of
version 2.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import cycle
from urllib.parse import parse_qs, urlencode

import azure.functions as func
import orjson

import bootstrap
from benchmarks.feed_handler import GET_FEED, prepare
from benchmarks.measuring import UNLIMITED
from benchmarks.versions import in_turns, row
from bootstrap import App
from feed.api import FeedApi
from local.demo import SDK_KEY
from local.serving import first_flags, local_settings
from shared.adapters.backends import flags_file
from shared.adapters.documents.port import TENANTS, Upsert

ROUNDS, REQUESTS = 40, 20
USERS = 50
SIZES = (2_000, 10_000)
OFF = {"x-personalization": "off"}
PLAYLIST = "cup"
Query = list[tuple[str, str]]
FEEDS = {
    "everything": {"weights": {"recency": 0.5}},
    "kitchen": {"base": {"categories": ["cooking", "travel", "music"]}, "fallbackOrder": "newest"},
    "cup": {"base": {"playlists": [PLAYLIST]}, "fallbackOrder": "editorial", "weights": {"recency": 0.5}},
}
PERSONAL: dict[str, Query] = {
    "feed: every video, own weights": [("feed", "everything")],
    "feed: three categories": [("feed", "kitchen")],
    "feed: a playlist, own weights": [("feed", "cup")],
    "filter: a category": [("filter.category", "cooking")],
    "filter: two tags": [("filter.tag", "food"), ("filter.tag", "guide")],
    "filter: a playlist": [("filter.playlist", PLAYLIST)],
    "filter: 20 tags": [("filter.tag", f"tag {n}" if n else "food") for n in range(20)],
    "filter: what nothing has": [("filter.creator", "nobody")],
    "feed and three filters": [
        ("feed", "kitchen"), ("filter.category", "cooking"), ("filter.category", "travel"), ("filter.language", "en"),
    ],
}  # fmt: skip
FIRST_PAGES = {name: query for name, query in PERSONAL.items() if name.startswith("feed:")}
CUT_PAGES = {name: query for name, query in PERSONAL.items() if "filter" in name}


VERSION_2 = {"write_receipt_version": "2", "write_cursor_version": "2"}


def main() -> None:
    """Print the table."""
    asyncio.run(_run())


@dataclass
class Handler:
    """Feed handler of one tenant."""

    services: App
    tenant: str
    users: list[str]

    def requests(self, query: Query, headers: Mapping[str, str] | None = None) -> list[func.HttpRequest]:
        """Return one request of each user."""
        query = [("limit", "20"), *query]  # apps usually send a parameter
        url = f"http://localhost/v1/feed?{urlencode(query)}"
        joined = {name: ",".join(values) for name, values in parse_qs(urlencode(query)).items()}
        sent = {"x-tenant-id": self.tenant, "x-api-key": SDK_KEY, **(headers or {})}
        return [
            func.HttpRequest("GET", url, headers={**sent, "x-user": u}, params=joined, body=b"") for u in self.users
        ]

    async def answer(self, request: func.HttpRequest) -> bytes:
        api = self.services.apis[FeedApi]
        response = await api.edge.answer(GET_FEED, api, request)
        assert response.status_code == 200, response.get_body()
        body: bytes = response.get_body()
        return body

    async def cpu(self, requests: cycle[func.HttpRequest]) -> float:
        """Return µs of CPU per request."""
        started = time.process_time()
        for _ in range(REQUESTS):
            await self.answer(next(requests))
        return (time.process_time() - started) / REQUESTS * 1e6

    async def compare(self, name: str, plain: list[func.HttpRequest], other: list[func.HttpRequest]) -> None:
        both = cycle(plain), cycle(other)
        for requests in both:
            await self.cpu(requests)
        costs: tuple[list[float], list[float]] = ([], [])
        for number in range(ROUNDS):
            for which in in_turns(number):
                costs[which].append(await self.cpu(both[which]))
        print(row(name, *costs), flush=True)

    async def second_pages(self) -> list[func.HttpRequest]:
        """Return the requests for each user's second page of the plain feed."""
        first = [orjson.loads(await self.answer(request)) for request in self.requests([], OFF)]
        cursors = [page["nextCursor"] for page in first]
        return [self.requests([("cursor", cursor)], OFF)[at] for at, cursor in enumerate(cursors)]


async def _run() -> None:
    with tempfile.TemporaryDirectory() as folder:
        settings = replace(
            local_settings({"DATA_FOLDER": folder}), signals_cache_seconds=600.0, **VERSION_2, **UNLIMITED
        )
        first_flags(flags_file(settings))
        services = bootstrap.build(settings)
        await services.start()
        for videos in SIZES:
            handler = Handler(services, f"tenant-{videos}", await prepare(services, f"tenant-{videos}", videos, USERS))
            await _with_feeds(handler)
            await _block(handler, videos)
        await services.close()


async def _block(handler: Handler, videos: int) -> None:
    print(f"\npersonal page, {videos:,} videos\n{'':34}{'plain':>10}{'row':>10}{'ratio':>8}   95 % interval")
    plain = handler.requests([])
    await handler.compare("the plain feed again", plain, handler.requests([]))
    for name, query in PERSONAL.items():
        await handler.compare(name, plain, handler.requests(query))
    print(f"\nfirst page without personalization, {videos:,} videos")
    plain = handler.requests([], OFF)
    for name, query in FIRST_PAGES.items():
        await handler.compare(name, plain, handler.requests(query, OFF))
    print(f"\nthe same by filters, over a plain second page, {videos:,} videos")
    plain = await handler.second_pages()
    for name, query in CUT_PAGES.items():
        await handler.compare(name, plain, handler.requests(query, OFF))


async def _with_feeds(handler: Handler) -> None:
    """Store the feeds, and an unordered playlist of 300 videos."""
    catalog = await handler.services.feed.catalogs.get(handler.tenant)
    ids = random.Random(1).sample(catalog.columns.ids, min(300, len(catalog.columns.ids)))
    stored: list[Upsert] = [
        Upsert({"id": f"playlist:{PLAYLIST}", "kind": "playlist", "playlistId": PLAYLIST, "videoIds": ids}),
        *(
            Upsert({"id": f"feed:{id}", "kind": "feed", "feedId": id, "title": id, **body})
            for id, body in FEEDS.items()
        ),
    ]
    await handler.services.documents.write(TENANTS, handler.tenant, stored)
    await handler.services.tenants_refresher.refresh()


if __name__ == "__main__":
    main()
