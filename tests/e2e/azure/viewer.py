"""A tenant and one user of it: calls as an SDK makes them, and reads of what the stores hold."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from bootstrap import App
from events.archive import from_lines
from local.demo import save_videos
from ranking.stats import STATS_PREFIX, StatsTable, merged
from shared.adapters.blobs.port import ARCHIVE
from shared.adapters.documents.port import VIDEO_STATS, query_all
from shared.adapters.tenant_directory import PLATFORM, save_key, save_tenant
from shared.domain.records import Tenant
from tests.e2e.azure.servers import RunningApp
from tests.parts import stats_consumer
from tests.served_app import make_videos, new_user

VIDEOS_ASKED_FOR = 5
VIEWED = 12
"""Number of a tenant's videos that its user watches, in turn."""
PATIENCE_SECONDS = 60.0
PAUSE_SECONDS = 0.15
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Seen:
    """A response to `GET /v1/feed`, and its duration."""

    status: int
    mode: str | None
    reason: str | None
    videos: int
    seconds: float


@dataclass
class Viewer:
    """Sends as an SDK does: resends an unaccepted batch unchanged until it is accepted."""

    app: RunningApp
    http: aiohttp.ClientSession
    services: App
    tenant_id: str
    key: str
    user: str
    ops_key: str
    unaccepted: list[dict[str, Any]] = field(default_factory=list)
    accepted: list[dict[str, Any]] = field(default_factory=list)

    @property
    def headers(self) -> dict[str, str]:
        return {"X-Tenant-Id": self.tenant_id, "X-Api-Key": self.key, "X-User": self.user}

    @property
    def events_accepted(self) -> int:
        return sum(len(batch["events"]) for batch in self.accepted)

    # ---- over HTTP

    async def feed(self) -> Seen:
        started = time.perf_counter()
        async with self.http.get(f"{self.app.url}/v1/feed?limit={VIDEOS_ASKED_FOR}", headers=self.headers) as answer:
            body = await answer.json(content_type=None)
        seconds = time.perf_counter() - started
        return Seen(answer.status, body.get("mode"), body.get("reason"), len(body.get("items", ())), seconds)

    async def watch(self, views: int) -> int:
        """Send a new batch of views; return the status."""
        now = time.time()
        batch = {
            "events": [
                {
                    "type": "video_view",
                    "videoId": f"vid_fitness_{1 + n % VIEWED}",
                    "timestamp": int((now - 60) * 1000) + next(_numbers),
                    "watchTimeMs": 1_000,
                }
                for n in range(views)
            ]
        }
        self.unaccepted.append(batch)
        return await self._send(batch)

    async def send_the_rest(self) -> None:
        """Resend unaccepted batches until they are accepted."""
        for batch in list(self.unaccepted):
            await until(lambda batch=batch: self._is_accepted(batch), "a batch is accepted")  # type: ignore[misc]

    async def send_again(self) -> int:
        """Resend the first batch, as an overcautious client does."""
        async with self._posting(self.accepted[0]) as answer:
            return answer.status

    async def _is_accepted(self, batch: dict[str, Any]) -> bool:
        return await self._send(batch) == 202

    async def _send(self, batch: dict[str, Any]) -> int:
        async with self._posting(batch) as answer:
            if answer.status == 202:
                self.unaccepted.remove(batch)
                self.accepted.append(batch)
            elif answer.status == 503:
                assert int(answer.headers["Retry-After"]) > 0
            return answer.status

    def _posting(self, batch: dict[str, Any]) -> Any:
        return self.http.post(f"{self.app.url}/v1/events/batch", json=batch, headers=self.headers)

    async def views_in_signals(self) -> int:
        headers = {**self.headers, "X-Api-Key": self.ops_key}
        async with self.http.get(f"{self.app.url}/v1/debug/user-signals", headers=headers) as answer:
            return int((await answer.json())["totalViewsLast7d"]) if answer.status == 200 else 0

    async def metric(self, name: str) -> float:
        """Return a counter of the app, summed over labels; `name` can be cut short before a label's closing brace."""
        async with self.http.get(f"{self.app.url}/metrics", headers={"X-Api-Key": self.ops_key}) as answer:
            lines = (await answer.text()).splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))

    # ---- in the stores

    async def roll_up(self) -> None:
        """Run another instance's roll-up over the waiting messages."""
        await stats_consumer(self.services).run()

    async def views_in_statistics(self) -> int:
        shards = await query_all(self.services.documents, VIDEO_STATS, self.tenant_id, STATS_PREFIX)
        table = merged(StatsTable.unpack(str(shard.body["packed"])) for shard in shards)
        return sum(table.week(f"vid_fitness_{n + 1}", time.time())["views"] for n in range(VIEWED))

    async def lines_in_archive(self) -> int:
        blobs = self.services.blobs
        names = [blob.name async for blob in blobs.list(ARCHIVE, f"{self.tenant_id}/")]
        contents = [await blobs.read(ARCHIVE, name) for name in names]
        return sum(len(list(from_lines(content))) for content in contents if content is not None)


async def new_viewer(app: RunningApp, http: aiohttp.ClientSession, services: App) -> Viewer:
    """A new user in a new tenant that the app has loaded."""
    tenant_id, key, ops_key = f"tenant-{secrets.token_hex(4)}", secrets.token_urlsafe(24), secrets.token_urlsafe(24)
    viewer = Viewer(app, http, services, tenant_id, key, new_user(), ops_key)
    app.secrets |= {key, ops_key, viewer.user}
    await save_videos(services, tenant_id, make_videos(60, ("fitness", "cooking", "travel")))
    await save_key(services.documents, services.identity, PLATFORM, tenant_id, ops_key, frozenset({"ops"}))
    await save_key(services.documents, services.identity, tenant_id, "app", key, frozenset({"sdk"}))
    await save_tenant(services.documents, Tenant(tenant_id, "PG13", count_anonymous_events=True))
    return viewer


async def until(happened: Callable[[], Awaitable[bool]], what: str, seconds: float = PATIENCE_SECONDS) -> float:
    """Poll until it has happened; return the seconds. Fails when it does not within `seconds`."""
    started = time.monotonic()
    while not await happened():
        assert time.monotonic() - started < seconds, f"{seconds:g} s were not enough until {what}"
        await asyncio.sleep(PAUSE_SECONDS)
    return time.monotonic() - started
