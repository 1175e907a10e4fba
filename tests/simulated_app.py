"""Runs the app for days of simulated time with clients, then checks its state once every fault has ended.

Everything runs in one process: consumers under the local host's message pump, refresh loops, endpoints. The document
store is in memory, the bus SQLite, blobs are files; each fails by plan (`tests/planned_faults.py`).
"""

from __future__ import annotations

import asyncio
import base64
import json
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import azure.functions as func

import bootstrap
from cms.videos.api import VideosApi
from events.api import EventsApi
from events.archive import from_lines
from feed.api import FeedApi
from local.demo import save_videos
from local.host_json import read_host_json
from local.invocation import SERVICE_BUS, HostedFunction, Invoker
from local.triggers import MessagePump
from privacy.api import PrivacyApi
from ranking.stats import STATS_PREFIX, StatsTable, merged
from shared.adapters.blobs.folder import FolderBlobs
from shared.adapters.blobs.port import ARCHIVE, BlobsError
from shared.adapters.bus import sqlite_queue
from shared.adapters.bus.port import (
    LOCK_SECONDS,
    SIGNALS,
    SUBSCRIPTIONS,
    BusError,
    BusUnavailable,
)
from shared.adapters.bus.sqlite import SqliteBus
from shared.adapters.documents.port import DAY_SECONDS, USER_ACTIVITY, VIDEO_STATS, StoreError, query_all
from shared.adapters.flags.evaluation import PERSONALIZED_FEED
from shared.adapters.tenant_directory import save_key, save_tenant
from shared.domain.records import Tenant
from shared.domain.signals_document import from_document
from shared.domain.user_signals import SIGNALS_ID
from shared.settings import Settings
from shared.web.endpoint import endpoints_of
from tests.memory_documents import MemoryDocuments
from tests.planned_faults import BLOBS, BUS, DOCUMENTS, FLAGS, FaultsByTime, PlannedFault
from tests.served_app import ROOT, make_video
from tests.simulated_time import SimulatedClock, SimulatedLoop, SqliteInPlace

START = 1_790_000_000.0
TENANT, KEY = "tenant_1", "a-key-of-every-scope-0123456789"
USERS = [f"{n}" * 64 for n in range(3)]
LEAVES = "e" * 64
"""The user who can be erased; nothing of them is counted below."""
DOWN = "v0"
"""The video that can be taken down."""
LAST_SECONDS = 2 * DAY_SECONDS
LIVE_SECONDS = 240.0
"""Of a longer pause the process runs this much, half before it is frozen and half after."""
MENDING_SECONDS = 3 * 3_600.0
SWITCH_SECONDS = 30.0


class SwitchedFlags:
    """A flag source with only the kill switch."""

    def __init__(self) -> None:
        self.on, self.since = True, 0.0

    async def load(self) -> dict[str, Any]:
        return {"feature_management": {"feature_flags": [{"id": PERSONALIZED_FEED, "enabled": self.on}]}}

    async def close(self) -> None:
        pass


@dataclass
class World:
    """The app on ports that fail by plan, and its clients' records."""

    loop: SimulatedLoop
    folder: Path
    plan: list[PlannedFault]
    unsent: list[tuple[str, str, bytes]] = field(default_factory=list)
    """(Idempotency-Key, user, body) of each batch not yet answered with 202."""
    watched: Counter[str] = field(default_factory=Counter)
    """How many videos each user has watched so far: v1, v2, … in order."""
    wants_takedown: bool = False
    wants_erasure: bool = False
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock = SimulatedClock(self.loop, START)
        self.faults = FaultsByTime(self.plan, self.clock.elapsed)
        self.flags = SwitchedFlags()
        self.store = MemoryDocuments(self.clock.now)
        self.queue = SqliteBus(self.folder / "unused", self.clock.now, poll_seconds=5.0)
        self.queue.writer = self.queue._reader = SqliteInPlace(sqlite_queue.SCHEMA, BusUnavailable)
        self.files = FolderBlobs(self.folder, self.clock.now)
        secret = base64.b64encode(b"for tests only, 32 bytes or more").decode()
        around = self.faults.around
        self.services = bootstrap.build(
            Settings(data_folder=str(self.folder), signing_keys=f"test:{secret}", identity_secret=secret),
            clock=self.clock.now,
            elapsed=self.clock.elapsed,
            documents=around(DOCUMENTS, self.store),
            bus=around(BUS, self.queue),
            blobs=around(BLOBS, self.files),
            flag_source=around(FLAGS, self.flags),
        )

    # ---- the process

    async def start(self) -> None:
        """Start content, the process's and its host's loops, and a first feed: from here on the instance has
        content."""
        services = self.services
        self.faults.mended = True
        await save_tenant(self.store, Tenant(TENANT, "PG13", count_anonymous_events=True))
        await save_key(self.store, services.identity, TENANT, "all", KEY, frozenset({"sdk", "cms", "privacy", "ops"}))
        await save_videos(services, TENANT, [make_video(f"v{n}", "fitness") for n in range(60)])
        for refresher in (services.flags_refresher, services.tenants_refresher):
            assert await refresher.refresh()
            refresher.start()
        settings = read_host_json(json.loads((ROOT / "host.json").read_text()))
        self.pump = MessagePump(
            HostedFunction(
                "fold_signals",
                self._fold,
                {"type": SERVICE_BUS, "subscriptionName": SIGNALS, "dataType": "binary"},
                True,
            ),
            services.bus,
            Invoker(settings.function_timeout),
            settings.extensions.service_bus,
            self.clock,
            LOCK_SECONDS,
        )
        self.pump.start()
        self.timer = asyncio.create_task(self._roll_up())
        await self.look_at_feed()
        self.faults.mended = False

    async def stop(self) -> None:
        self.timer.cancel()
        await self.pump.stop(0.0)
        for refresher in (self.services.flags_refresher, self.services.tenants_refresher):
            await refresher.stop()

    async def _fold(self, body: bytes) -> None:
        try:
            await self.services.signals_consumer.handle(body)
        except Exception as error:
            self._expect(error)
            raise

    async def _roll_up(self) -> None:
        while True:
            await asyncio.sleep(30.0)
            try:
                await self.services.roll_up()
            except Exception as error:
                self._expect(error)

    def _expect(self, error: Exception) -> None:
        if not isinstance(error, StoreError | BusError | BlobsError):
            self.wrong.append(f"a consumer raised {error!r}")

    async def let_pass(self, seconds: float) -> None:
        """Let time pass; most of a long pause is spent frozen."""
        live = min(seconds, LIVE_SECONDS)
        await asyncio.sleep(live / 2)
        self.loop.jump(seconds - live)
        await asyncio.sleep(live / 2)

    # ---- its clients

    async def call(
        self,
        api: type,
        name: str,
        user: str = "",
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        **path: str,
    ) -> tuple[int, Any]:
        """Call an endpoint as the worker does; return status and JSON."""
        declared = next(each for each in endpoints_of(api) if each.name == name)
        sent = {"x-tenant-id": TENANT, "x-api-key": KEY, "content-type": "application/json", **(headers or {})}
        if user:
            sent["x-user"] = user
        url = f"http://localhost/{declared.path}"
        request = func.HttpRequest(declared.method, url, headers=sent, params={}, route_params=path, body=body)
        answer = await self.services.edge.answer(declared, self.services.apis[api], request)
        return answer.status_code, json.loads(answer.get_body() or b"null")

    async def look_at_feed(self) -> None:
        """Fail unless a feed is served, and the kill switch works if flags were readable for long enough."""
        status, page = await self.call(FeedApi, "get_feed", USERS[0])
        if status != 200 or not page["items"]:
            self.wrong.append(f"the feed answered {status} at {self.clock.elapsed():.0f} s: {page}")
            return
        since = self.faults.readable_since(FLAGS)
        in_force = since is not None and self.clock.elapsed() - max(since, self.flags.since) >= SWITCH_SECONDS
        if in_force and (page["reason"] == "kill_switch") is self.flags.on:
            self.wrong.append(f"switched {self.flags.on} since {self.flags.since}, {page['reason']}")

    async def watch(self, user: str, views: int) -> None:
        """Send a batch of views of videos that this user has not watched before."""
        at, first = int(self.clock.now() * 1000), self.watched[user] + 1
        events = [
            {"type": "video_view", "videoId": f"v{first + n}", "timestamp": at - 5_000 + n, "watchTimeMs": 20_000}
            for n in range(views)
        ]
        self.watched[user] += views
        self.unsent.append((f"{user[:8]}-{first}", user, json.dumps({"events": events}).encode()))
        await self.send()

    async def send(self) -> None:
        """Resend batches not yet answered with 202, as SDKs do: the same bytes with the same key."""
        for batch in list(self.unsent):
            key, user, body = batch
            status, answer = await self.call(EventsApi, "post_events", user, body, {"idempotency-key": key})
            if status == 202:
                self.unsent.remove(batch)
                if answer["rejected"]:
                    self.wrong.append(f"rejected: {answer['rejected']}")
            elif status < 500 and status != 429:
                self.wrong.append(f"a good batch was answered with {status}: {answer}")

    async def take_down(self) -> None:
        status, _ = await self.call(VideosApi, "takedown_video", id=DOWN, body=b"{}")
        self.wants_takedown = status != 200

    async def erase(self) -> None:
        """Erase the user; their client sends nothing more."""
        self.unsent = [batch for batch in self.unsent if batch[1] != LEAVES]
        status, _ = await self.call(PrivacyApi, "erase_user", LEAVES)
        self.wants_erasure = status != 200

    def switch(self, on: bool) -> None:
        if self.flags.on is not on:
            self.flags.on, self.flags.since = on, self.clock.elapsed()

    async def act(self, action: tuple[Any, ...]) -> None:
        match action:
            case "watch", int() as user, int() as views:
                await self.watch(USERS[user], views)
            case "leaving user watches", int() as views if not self.erased:
                await self.watch(LEAVES, views)
            case ("take down",):
                self.taken_down = True
                await self.take_down()
            case ("erase",):
                self.erased = True
                await self.erase()
            case "switch", bool() as on:
                self.switch(on)
        await self.look_at_feed()

    taken_down = erased = False

    # ---- afterwards

    async def mend(self) -> None:
        """End all faults. Clients resend what they kept; nobody else intervenes."""
        self.faults.mended = True
        until = self.clock.elapsed() + MENDING_SECONDS
        while self.clock.elapsed() < until:
            await self.send()
            if self.wants_takedown:
                await self.take_down()
            if self.wants_erasure:
                await self.erase()
            await asyncio.sleep(SWITCH_SECONDS)
            busy = [await self.queue.depth(subscription) for subscription in SUBSCRIPTIONS]
            if (
                not any(waiting for waiting, _ in busy)
                and not self.unsent
                and not self.wants_takedown | self.wants_erasure
            ):
                return
        self.wrong.append(f"not done after {MENDING_SECONDS} s: {busy}, {len(self.unsent)} batches unsent")

    async def look_at_everything(self) -> None:
        await self.look_at_feed()
        for subscription in SUBSCRIPTIONS:
            for letter in await self.queue.peek_dead_letters(subscription, 100):
                self.wrong.append(f"a dead letter of {subscription}: {letter.reason}, {letter.description}")
        for user in USERS:
            found = await self._signals_of(user)
            views = int(found.daily["views"].sum()) if found else 0
            if views != self.watched[user]:
                self.wrong.append(f"signals: {views} views of {self.watched[user]}")
        wanted = Counter(f"v{n + 1}" for user in USERS for n in range(self.watched[user]))
        shards = await query_all(self.store, VIDEO_STATS, TENANT, STATS_PREFIX)
        table = merged(StatsTable.unpack(str(shard.body["packed"])) for shard in shards if "packed" in shard.body)
        archived: Counter[str] = Counter()
        leaving = self.services.identity.archive_pseudonym(self.services.identity.user_key(TENANT, LEAVES))
        async for blob in self.files.list(ARCHIVE):
            lines = from_lines(await self.files.read(ARCHIVE, blob.name) or b"")
            archived.update(line["videoId"] for line in lines if line["user"] != leaving)
        gone = await self._views_of_leaving()
        for number in range(1, 60):
            video = f"v{number}"
            counted = table.week(video, self.clock.now())["views"]
            if not wanted[video] <= counted <= wanted[video] + gone[video]:
                self.wrong.append(
                    f"statistics of {video}: {counted} of {wanted[video]}, and {gone[video]} of the erased"
                )
            if archived[video] != wanted[video]:
                self.wrong.append(f"archive of {video}: {archived[video]} of {wanted[video]}")
        if self.taken_down:
            status, page = await self.call(FeedApi, "get_feed", USERS[1])
            if status != 200 or DOWN in [item["videoId"] for item in page["items"]]:
                self.wrong.append(f"a video is on air that was taken down, or no feed comes: {status} {page}")
        if self.erased:
            user_key = self.services.identity.user_key(TENANT, LEAVES)
            left = [
                found.id for found in await query_all(self.store, USER_ACTIVITY, user_key) if found.id != SIGNALS_ID
            ]
            if left or await self._signals_of(LEAVES) is not None:
                self.wrong.append(f"left of an erased user: {left}")

    async def _signals_of(self, user: str) -> Any:
        stored = await self.store.read(USER_ACTIVITY, self.services.identity.user_key(TENANT, user), SIGNALS_ID)
        return from_document(stored.body) if stored else None

    async def _views_of_leaving(self) -> Counter[str]:
        """Return the views of the user who left: they may have counted before, and an unerased user's must."""
        return Counter(f"v{n + 1}" for n in range(self.watched[LEAVES]))


def run(plan: list[PlannedFault], story: list[tuple[float, tuple[Any, ...]]]) -> World:
    """Run steps of (seconds to pass, action) while the plan fails the ports; return the result."""
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner(loop_factory=SimulatedLoop) as runner:

        async def live() -> World:
            world = World(asyncio.get_running_loop(), Path(folder), plan)  # type: ignore[arg-type]
            await world.start()
            for seconds, action in story:
                await world.let_pass(seconds)
                await world.act(action)
                if world.wants_takedown:
                    await world.take_down()
                if world.wants_erasure:
                    await world.erase()
                await world.send()
            end = max((fault.ends for fault in plan), default=0.0)
            await world.let_pass(max(0.0, end - world.clock.elapsed()))
            await world.look_at_feed()
            await world.mend()
            await world.look_at_everything()
            await world.stop()
            return world

        return runner.run(live())
