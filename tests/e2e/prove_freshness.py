"""`make prove-freshness` measures how soon writes show in feeds of every process, with production's intervals.

Another program writes a video as the CMS does; a client that keeps pages as long as `Cache-Control` allows requests it
from every process. An event is sent to one process; every process is requested until the user's feed has changed. Such
a feed is personalized, so clients may not cache it.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.results import FRESH, RECORD, keep
from local.demo import SDK_KEY, demo_videos
from shared.adapters.documents.port import VIDEOS, Upsert
from shared.adapters.documents.sqlite import SqliteStore
from shared.adapters.tenant_directory import save_key, save_tenant
from shared.domain.keys import Identity
from shared.domain.records import Tenant, Video
from tests.e2e.fleet import Member, fleet, new_environment
from tests.e2e.sdk_client import SdkClient
from tests.served_app import new_user

CONTENT_SECONDS, EVENT_SECONDS = 15.0, 10.0
LONGEST_SECONDS = 60.0
TENANT = "tenant_fresh"
ASK_SECONDS = 0.2


def client_of(http: aiohttp.ClientSession, member: Member, user: str | None = None) -> SdkClient:
    """A client of one process, for a new user by default."""
    return SdkClient(http, member.url, user or new_user(), TENANT)


async def until(seen: Callable[[], Awaitable[bool]]) -> float:
    """Return the seconds until `seen` is true."""
    began = time.monotonic()
    while not await seen():
        if time.monotonic() - began > LONGEST_SECONDS:
            return float("inf")
        await asyncio.sleep(ASK_SECONDS)
    return time.monotonic() - began


async def content_round(
    store: SqliteStore, http: aiohttp.ClientSession, members: list[Member], number: int, known: str | None
) -> float:
    """Add a video to the popular feed or that of the user `known`; return the seconds until every process serves it."""
    video = Video(
        id=f"vid_new_{'personal' if known else 'popular'}_{number}",
        title="New",
        playback_url="https://cdn.example/new.m3u8",
        category="fitness",
        duration_seconds=20.0,
        maturity_rating="G",
        editorial_boost=10.0,
        published_at=time.time(),
    )
    await store.write(VIDEOS, TENANT, [Upsert(video.to_document())])

    async def seen_by(member: Member) -> float:
        client = client_of(http, member, known)

        async def seen() -> bool:
            page = await client.feed(limit=50)
            return any(item["videoId"] == video.id for item in page["items"])

        return await until(seen)

    return max(await asyncio.gather(*map(seen_by, members)))


async def event_round(http: aiohttp.ClientSession, members: list[Member], user: str) -> float:
    """Dismiss the first video of the user's feed; return the seconds from the 202 until no process serves it."""
    sender = client_of(http, members[0], user)
    unwanted: str = (await sender.feed())["items"][0]["videoId"]
    await sender.post([{"type": "not_interested", "videoId": unwanted, "timestamp": int(time.time() * 1000)}])

    async def gone_from(member: Member) -> float:
        async def gone() -> bool:
            page = await client_of(http, member, user).feed(limit=50)
            return page["mode"] == "personalized" and all(item["videoId"] != unwanted for item in page["items"])

        return await until(gone)

    return max(await asyncio.gather(*map(gone_from, members)))


async def run(arguments: argparse.Namespace) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        environment = new_environment(Path(folder))
        timeout = aiohttp.ClientTimeout(total=10)
        async with (
            fleet(environment, arguments.processes, shared_port=False) as members,
            aiohttp.ClientSession(timeout=timeout) as http,
        ):
            store = SqliteStore(Path(folder) / "documents.db", time.time)
            await _make_tenant(store, Identity(environment["IDENTITY_SECRET"]))
            for member in members:
                await until(lambda member=member: _serves(client_of(http, member), "fallback"))
            known = client_of(http, members[0])
            await known.become_known()
            for member in members:
                await until(lambda member=member: _serves(client_of(http, member, known.user), "personalized"))
            found: dict[str, Any] = {"popular": [], "personal": [], "event": []}
            for number in range(arguments.rounds):
                found["popular"].append(await content_round(store, http, members, number, None))
                found["personal"].append(await content_round(store, http, members, number, known.user))
                found["event"].append(await event_round(http, members, known.user))
            await store.close()
    print(f"{arguments.processes} processes, {arguments.rounds} rounds; seconds until every process showed it")
    kept = True
    for name, what, objective in (
        ("popular", "a video written, in the popular feed, caches honored", CONTENT_SECONDS),
        ("personal", "a video written, in a personalized feed", CONTENT_SECONDS),
        ("event", "an event, after its 202", EVENT_SECONDS),
    ):
        slowest = max(found[name])
        kept &= slowest <= objective
        each = " ".join(f"{seconds:.1f}" for seconds in found[name])
        verdict = "kept" if slowest <= objective else "BROKEN"
        keep(
            f"freshness: {what}",
            f"{slowest:.1f} s at the slowest, objective {objective:g} s",
            topic=FRESH,
            what=what,
            command="python -m tests.e2e.prove_freshness",
            against=f"{arguments.processes} processes on one machine",
        )
        print(f"  {what:54}{each:>28}   slowest {slowest:5.1f}, objective {objective:g}: {verdict}")
    return kept


async def _serves(client: SdkClient, mode: str) -> bool:
    try:
        return bool((await client.feed())["mode"] == mode)
    except RuntimeError:
        return False


async def _make_tenant(store: SqliteStore, identity: Identity) -> None:
    """Create a tenant with so few videos that a page of 50 shows all of them."""
    videos = demo_videos(20, time.time(), random.Random(1))
    await store.write(VIDEOS, TENANT, [Upsert(video.to_document()) for video in videos])
    await save_key(store, identity, TENANT, "app", SDK_KEY, frozenset({"sdk"}))
    await save_tenant(store, Tenant(TENANT, "R", count_anonymous_events=True))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.prove_freshness", description=__doc__)
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(RECORD, action="store_true", help="keep the result for docs/results.md")
    return 0 if asyncio.run(run(parser.parse_args())) else 1


if __name__ == "__main__":
    sys.exit(main())
