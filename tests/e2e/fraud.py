"""Fraud trials: how far an app key can move a tenant's popular feed.

Each trial runs on two tenants with the same videos and honest views: with the current counting rule, and with the
former one, which counted every event that quotes a valid receipt.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import bootstrap
from bootstrap import App
from events.attribution import Sender, attribute
from events.batch import Batch, encode
from events.schema import parse_event
from local.demo import save_videos
from local.serving import local_settings
from ranking.columns import key64
from ranking.stats import STATS_PREFIX, StatsTable, merged
from shared.adapters.bus.port import ROLLUP, OutgoingMessage
from shared.adapters.documents.port import VIDEO_STATS, query_all
from shared.adapters.tenant_directory import save_tenant
from shared.domain.event_types import MAX_EVENTS, VIDEO_VIEW
from shared.domain.feed_receipt import FeedReceipt, sign
from shared.domain.records import Tenant
from tests.served_app import make_videos

BEFORE, NOW_COUNTED = "before", "now"
VIDEOS, HONEST = 100, 60
PAGE = 20
WATCHED_MS = 30_000


@dataclass(frozen=True)
class Outcome:
    """Result of a trial: the video's rank among all (1 the first) and its views of the week, before and after."""

    rank_before: int
    rank_after: int
    views_before: int
    views_after: int

    @property
    def bought(self) -> int:
        return self.views_after - self.views_before


@dataclass
class Trial:
    """A tenant with its own app. `counting` is `BEFORE` or `NOW_COUNTED`."""

    services: App
    counting: str
    tenant: str
    number: int = 0

    async def prepare(self) -> None:
        await save_tenant(self.services.documents, Tenant(self.tenant, "R"))
        await save_videos(self.services, self.tenant, make_videos(VIDEOS))
        await self.services.tenants_refresher.refresh()
        for user in range(HONEST):  # the first videos are watched most
            page = [f"vid_fitness_{n}" for n in range(1, 1 + PAGE - user % PAGE)]
            await self.send(f"honest {user}", page, [(video, 1) for video in page])

    @property
    def videos(self) -> list[str]:
        return [video.id for video in make_videos(VIDEOS)]

    async def send(self, user: str, page: Sequence[str], told: Sequence[tuple[str, int]]) -> None:
        """Serve a page to a user, who reports the given number of views per video."""
        now, services = self.services.clock(), self.services
        user_key = services.identity.user_key(self.tenant, hashlib.sha256(user.encode()).hexdigest())
        keys = services.keys.for_purpose("feed-request")
        shown = np.array([key64(video) for video in page], np.uint64)
        receipt = sign(FeedReceipt(int(now) - 60, True, True), keys, self.tenant, user_key, shown)
        rows = []
        for video, times in told:
            for _ in range(times):
                self.number += 1
                at = int(now * 1000) - 50_000 + self.number % 40_000
                event = {"type": VIDEO_VIEW, "videoId": video, "timestamp": at, "watchTimeMs": WATCHED_MS}
                rows.append({**event, "eventId": str(self.number), "feedRequestId": receipt})
        for start in range(0, len(rows), MAX_EVENTS):
            parsed = [parse_event(row, now) for row in rows[start : start + MAX_EVENTS]]
            events, requests = attribute(parsed, keys, Sender(self.tenant, user_key, now))
            self.number += 1
            batch = Batch(f"{self.number:032x}", self.tenant, user_key, now, events, requests)
            await self._deliver(batch)

    async def _deliver(self, batch: Batch) -> None:
        if self.counting == NOW_COUNTED:
            assert await self.services.signals_consumer.handle(encode(batch)) == "folded"
            return
        quoting = tuple(event.request is not None for event in batch.events)
        told = Batch(
            batch.id, batch.tenant_id, batch.user_key, batch.accepted_at, batch.events, batch.requests, counted=quoting
        )
        await self.services.bus.publish(OutgoingMessage(f"{batch.id}.rollup", self.tenant, encode(told), ROLLUP))

    async def standing(self, video: str) -> tuple[int, int]:
        """Return the video's rank by long views of the week, and its views."""
        while (await self.services.bus.depth(ROLLUP))[0]:
            await self.services.stats_consumer.run()
        stored = await query_all(self.services.documents, VIDEO_STATS, self.tenant, STATS_PREFIX)
        table = merged(StatsTable.unpack(str(shard.body["packed"])) for shard in stored if "packed" in shard.body)
        views = {each: table.week(each, self.services.clock())["views"] for each in self.videos}
        return 1 + sum(count > views[video] for count in views.values()), views[video]


@asynccontextmanager
async def trial(folder: Path, counting: str) -> AsyncIterator[Trial]:
    """A prepared tenant; with the former counting rule also without the limit of the usual peak."""
    floor = {"USUAL_PEAK_FLOOR": "1000000000"} if counting == BEFORE else {}
    services = bootstrap.build(local_settings({"DATA_FOLDER": str(folder), "ROLLUP_SECONDS": "5", **floor}))
    try:
        await services.documents.ready()
        await services.bus.ready()
        made = Trial(services, counting, f"fraud-{counting}")
        await made.prepare()
        yield made
    finally:
        await services.close()


async def one_user(trial: Trial, events: int, *, on_page: bool) -> Outcome:
    """One invented user with one receipt sends so many views of the last video."""
    wanted = trial.videos[-1]
    before = await trial.standing(wanted)
    page = [wanted] if on_page else ["vid_fitness_1"]
    await trial.send("invented", page, [(wanted, events)])
    after = await trial.standing(wanted)
    return Outcome(before[0], after[0], before[1], after[1])


async def many_users(trial: Trial, users: int) -> Outcome:
    """Each of so many invented users gets a normal page with the last video and views each video once."""
    wanted = trial.videos[-1]
    before = await trial.standing(wanted)
    page = [wanted, *(f"vid_cooking_{n}" for n in range(1, 5))]
    for user in range(users):
        await trial.send(f"invented {user}", page, [(video, 1) for video in page])
    after = await trial.standing(wanted)
    return Outcome(before[0], after[0], before[1], after[1])
