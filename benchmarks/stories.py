"""Measures the stories row of a viewer who follows 2,000 of 4,000 authors, with 10,000 active stories of one tenant.

`CPU` is µs per call in this process; `ratio` is relative to a handler that only answers 8 kB of fixed bytes. Whole
requests include all but sockets: keys, the user's token, two reads of SQLite (three when ranked), the row, and JSON of
the first 20 authors. `order alone` is the row without reads and JSON. The feed's block alternates the same personalized
page with the flags off and on: medians of CPU, and the median of the rounds' ratios with its 95 % interval.
"""

from __future__ import annotations

import asyncio
import gc
import random
import tempfile
import time
from dataclasses import replace
from itertools import cycle
from typing import Any

import azure.functions as func
import numpy as np
import orjson

import bootstrap
from benchmarks.feed_handler import _request as feed_request
from benchmarks.feed_handler import prepare, serve
from benchmarks.measuring import UNLIMITED, Timing, measure, measure_async
from benchmarks.memory import resident_mb
from benchmarks.results import SPEED, STORED, keep
from benchmarks.versions import in_turns, ratio, row
from bootstrap import App
from local.demo import SDK_KEY
from local.serving import local_settings
from ranking.model import global_model
from ranking.personal import PersonalRanking
from shared.adapters.backends import flags_file
from shared.adapters.documents.port import PEOPLE, Upsert
from shared.adapters.flags.evaluation import PERSONALIZED_FEED, STORIES, STORY_RANKED
from shared.domain.alphabet import to_text
from shared.domain.records import RATINGS, Tenant
from shared.web.endpoint import endpoints_of
from stories.api import StoriesApi
from stories.circle import Circle
from stories.closeness import NOBODY_CLOSE
from stories.identity import Person, person_of
from stories.ranked_row import RankedBy, Walk, ranked_row
from stories.story import HOUR_SECONDS, Story, new_story_id
from stories.story_columns import StoryColumns
from stories.story_row import row_of
from stories.story_totals import StoryTotals
from stories.story_videos import StoryVideos
from stories.visibility import StoryViewer
from tests.user_tokens import save_public_key, signer

TENANT = "tenant-2000"
STORY_COUNT, AUTHORS, FOLLOWS, SEEN, CLOSE = 10_000, 4_000, 2_000, 500, 200
REQUESTS, ROUNDS, A_ROUND = 300, 40, 25
MEASURED_TENANTS = 10
"""Tenants with 10,000 stories each, for the measurement of memory."""
GET_STORIES = next(each for each in endpoints_of(StoriesApi) if each.name == "get_stories")
USER = f"{7:064x}"
COMMAND = "python -m benchmarks stories"


def main() -> None:
    """Print the tables."""
    print(f"\nthe row of stories, {FOLLOWS:,} follows, {STORY_COUNT:,} stories")
    print(f"{'':34}{'p50':>8}{'p99':>8}{'CPU':>8}{'ratio':>8}")
    asyncio.run(_run())
    _memory()


def _people(draw: random.Random) -> list[Person]:
    return [Person(TENANT, to_text(draw.randbytes(16))) for _ in range(AUTHORS)]


def _stories(people: list[Person], draw: random.Random, now: float) -> list[Story]:
    """Return the stories in order of posting."""
    times = sorted(now - draw.uniform(60, 23 * HOUR_SECONDS) for _ in range(STORY_COUNT))
    stories = []
    for at in times:
        author = draw.choice(people)
        stories.append(
            Story(
                id=new_story_id(author, at),
                author_id=author.id,
                created_at=at,
                expires_at=at + 24 * HOUR_SECONDS,
                visibility=draw.choice(("public", "friends", "friends")),
                text="Off to the lake, and back by eight.",
                rating="PG",
                category=draw.choice(("travel", "cooking", "music", None)),
                tags=tuple(draw.sample(("food", "guide", "lake", "live", "news"), 2)),
            )
        )
    return stories


async def _run() -> None:
    with tempfile.TemporaryDirectory() as folder:
        settings = replace(local_settings({"DATA_FOLDER": folder}), signals_cache_seconds=10.0, **UNLIMITED)
        services = bootstrap.build(settings)
        await _flags(services, on=True)
        await services.start()
        users = await prepare(services, TENANT, 2_000, 50)
        await save_public_key(services.documents, TENANT, signer("ES256"))
        await services.tenants_refresher.refresh()
        nothing = await _no_op()
        _row("ready bytes", nothing, nothing)
        await _rows(services, nothing)
        await _feeds(services, users)
        await services.close()


async def _rows(services: App, nothing: Timing) -> None:
    draw, now = random.Random(1), time.time()
    people = _people(draw)
    stories = _stories(people, draw, now)
    columns = await services.social.catalogs.get(TENANT)
    for story in stories:
        services.social.catalogs.apply(TENANT, story)
        columns.take_totals(StoryTotals(story.id, draw.randint(0, 300), draw.randint(0, 20)))
    me = person_of(services.identity, TENANT, services.identity.user_key(TENANT, USER))
    circle = Circle(follows=np.sort(np.array([each.key for each in people[:FOLLOWS]], np.uint64)))
    seen = [each.id for each in draw.sample(stories, SEEN)]
    close = NOBODY_CLOSE
    for each in draw.sample(people, CLOSE):
        close = close.adding(each.key, draw.randint(1, 9), now)
    body = {"id": "seen", "kind": "seen", "stories": seen, "reacted": [], "closeness": close.to_text(), "ttl": 99_999}
    await services.documents.write(PEOPLE, me.partition, [Upsert(circle.to_document()), Upsert(body)])
    cpu: dict[str, float] = {}
    for order in ("newest", "ranked"):
        request = _request(order)
        page: dict[str, Any] = {}

        async def answer(request: func.HttpRequest = request, page: dict[str, Any] = page) -> None:
            api = services.apis[StoriesApi]
            response = await api.edge.answer(GET_STORIES, api, request)
            assert response.status_code == 200, response.get_body()
            page["body"] = response.get_body()

        timing = await measure_async(answer, REQUESTS)
        shown = orjson.loads(page["body"])
        assert (shown["mode"], len(shown["authors"])) == (order, 20)
        cpu[order] = timing.cpu
        _row(f"{order}: the whole request", timing, nothing)
    viewer = StoryViewer.of(me, circle, Tenant(TENANT), RATINGS["R"])
    known = frozenset(seen)
    newest = measure(lambda: row_of(columns, viewer, known, now, None, 20), REQUESTS)
    _row("newest: order alone", newest, nothing)
    columns.changed = set(range(len(columns.stories)))
    videos = StoryVideos()
    videos.take(columns, STORY_COUNT)
    videos.count(columns, now)
    model = global_model().overridden({"follows_creator": 1.0, "closeness": 1.0})
    signals, _ = await services.feed.signals_of(TENANT, services.identity.user_key(TENANT, USER))
    by = RankedBy(videos, PersonalRanking(model, signals), close, seed=1)
    timing = measure(lambda: ranked_row(columns, viewer, known, now, Walk(), 20, by), REQUESTS)
    _row("ranked: order alone", timing, nothing)
    keep(
        "row of stories",
        f"in their order {newest.cpu / 1000:.1f} ms newest, {timing.cpu / 1000:.1f} ms ranked; the whole request "
        f"{cpu['newest'] / 1000:.1f} and {cpu['ranked'] / 1000:.1f} ms",
        topic=SPEED,
        what=f"the row of stories, {FOLLOWS:,} follows, {STORY_COUNT:,} active stories: CPU of the first 20 authors",
        command=COMMAND,
    )
    print(f"{len(columns.visible_rows(viewer, now)):,} of the stories are for the viewer")


async def _feeds(services: App, users: list[str]) -> None:
    """Compare the plain feed's page with the flags of stories off and on."""
    print(f"\na personal page of the feed, µs of CPU\n{'':24}{'off':>10}{'on':>10}{'ratio':>8}   95 % interval")
    requests = cycle([feed_request(TENANT, user) for user in users])
    costs: tuple[list[float], list[float]] = ([], [])
    for number in range(ROUNDS):
        for which in in_turns(number):
            await _flags(services, on=which == 1)
            for request in [next(requests) for _ in range(5)]:
                await serve(request, services)
            began = time.process_time()
            for _ in range(A_ROUND):
                await serve(next(requests), services)
            costs[which].append((time.process_time() - began) / A_ROUND * 1e6)
    print(row("stories, story-ranked", *costs))
    middle, low, high = ratio(*costs)
    keep(
        "feed beside stories",
        f"{middle:.2f} times ({low:.2f} to {high:.2f})",
        topic=SPEED,
        what="a personal page of the feed with the flags of stories on, to the same with them off: CPU",
        command=COMMAND,
    )


def _memory() -> None:
    draw, now = random.Random(2), time.time()
    people = _people(draw)
    made = [_stories(people, draw, now) for _ in range(MEASURED_TENANTS)]
    gc.collect()
    before, held = resident_mb(), []
    for stories in made:
        columns = StoryColumns()
        for story in stories:
            columns.apply(story)
        held.append(columns)
    gc.collect()
    beside = resident_mb()
    videos = []
    for columns in held:
        columns.changed = set(range(STORY_COUNT))
        videos.append(StoryVideos())
        videos[-1].take(columns, STORY_COUNT)
        videos[-1].count(columns, now)
        videos[-1].stats.static(now)
    gc.collect()
    after = resident_mb()
    print(f"\nmemory per {STORY_COUNT:,} stories, beside the stories themselves")
    keep(
        "memory of stories",
        f"{(beside - before) / MEASURED_TENANTS:.1f} MB columns, {(after - beside) / MEASURED_TENANTS:.1f} MB videos "
        "where somebody asks for the ranked row",
        topic=STORED,
        what=f"memory per {STORY_COUNT:,} active stories, beside the stories themselves",
        command=COMMAND,
    )
    print(f"columns {(beside - before) / MEASURED_TENANTS:.1f} MB, videos {(after - beside) / MEASURED_TENANTS:.1f} MB")


def _request(order: str) -> func.HttpRequest:
    token = signer("ES256").token(TENANT, USER, time.time())
    headers = {"x-tenant-id": TENANT, "x-api-key": SDK_KEY, "x-user": USER, "x-user-token": token}
    params = {"order": order, "limit": "20"}
    return func.HttpRequest("GET", "http://localhost/v1/stories", headers=headers, params=params, body=b"")


async def _flags(services: App, *, on: bool) -> None:
    flags = [{"id": PERSONALIZED_FEED, "enabled": True}, *({"id": id, "enabled": on} for id in (STORIES, STORY_RANKED))]
    flags_file(services.settings).write_bytes(orjson.dumps({"feature_management": {"feature_flags": flags}}))
    await services.flags.refresh(0.0)
    assert services.flags.on(STORIES, TENANT) == on


async def _no_op() -> Timing:
    ready = orjson.dumps({"items": ["x" * 390] * 20})
    request = _request("newest")

    async def answer() -> None:
        assert request.headers["x-user"]
        func.HttpResponse(ready, status_code=200, headers={"ETag": "x"}, mimetype="application/json")

    return await measure_async(answer, 10 * REQUESTS)


def _row(name: str, timing: Timing, base: Timing) -> None:
    print(f"{name:34}{timing.p50:8.0f}{timing.p99:8.0f}{timing.cpu:8.0f}{timing.cpu / base.cpu:8.1f}", flush=True)


if __name__ == "__main__":
    main()
