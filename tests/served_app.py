"""Serves the real function app on a socket, with a clock tests move and a store they can break."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import orjson

import bootstrap
import function_app
from local.demo import save_videos
from local.host import LocalHost
from shared.adapters import backends
from shared.adapters.blobs.port import Blobs, LinkedBlobs
from shared.adapters.bus.port import Bus
from shared.adapters.documents.port import DocumentStore
from shared.adapters.documents.sqlite import SqliteStore
from shared.adapters.flags.evaluation import PERSONALIZED_FEED
from shared.adapters.live.port import Live
from shared.adapters.tenant_directory import PLATFORM, save_key, save_tenant
from shared.domain.records import Tenant, Video
from shared.settings import Settings
from tests.api import contract
from tests.emulators.clock import MovableClock
from tests.faulty_bus import FaultyBus
from tests.faulty_documents import FaultyDocuments

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_SECONDS = 120.0
"""Longest wait for an expected result: a test fails for a broken promise, not for a busy machine."""
_numbers = itertools.count(1)


def new_user() -> str:
    """Return a unique user hash."""
    return hashlib.sha256(secrets.token_bytes(16)).hexdigest()


def make_video(id: str, category: str = "fitness", rating: str = "PG", **fields: Any) -> Video:
    """A video that anybody may see, changed by `fields`."""
    given = {"title": id.replace("_", " "), "playback_url": f"https://cdn.example/{id}.m3u8", "tags": (category,)}
    return Video(id=id, category=category, maturity_rating=rating, **{"duration_seconds": 30.0, **given, **fields})


def make_videos(count: int, categories: Iterable[str] = ("fitness", "cooking", "travel")) -> list[Video]:
    """`vid_<category>_<n>`, n from 1, the categories in turn."""
    names = list(categories)
    return [
        make_video(f"vid_{names[i % len(names)]}_{i // len(names) + 1}", names[i % len(names)]) for i in range(count)
    ]


@dataclass(frozen=True)
class Answer:
    """An HTTP response; `json` is None where there is no JSON body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body) if self.body else None

    @property
    def code(self) -> str | None:
        """The stable problem code."""
        return self.json.get("code") if self.body else None

    @property
    def ids(self) -> list[str]:
        """The videos of a feed, in order."""
        return [item["videoId"] for item in self.json["items"]]


@dataclass(frozen=True)
class Client:
    """One tenant's key and one user, as an SDK holds them."""

    app: App
    tenant_id: str
    key: str
    user: str

    def as_user(self, user: str | None = None) -> Client:
        """Return a client of another user of the same tenant."""
        user = user or new_user()
        self.app.secrets.add(user)
        return replace(self, user=user)

    def with_key(self, key: str) -> Client:
        self.app.secrets.add(key)
        return replace(self, key=key)

    @property
    def headers(self) -> dict[str, str]:
        return {"X-Tenant-Id": self.tenant_id, "X-Api-Key": self.key, "X-User": self.user}

    @property
    def user_key(self) -> str:
        """The partition key of this user's signals."""
        return self.app.services.identity.user_key(self.tenant_id, self.user)

    async def get(self, path: str, headers: Mapping[str, str] | None = None, **query: Any) -> Answer:
        return await self.app.request("GET", path, {**self.headers, **(headers or {})}, query)

    async def feed(self, headers: Mapping[str, str] | None = None, **query: Any) -> Answer:
        return await self.get("/v1/feed", headers, **query)

    async def post_raw(self, body: bytes, headers: Mapping[str, str] | None = None) -> Answer:
        sent = {**self.headers, "Content-Type": "application/json", **(headers or {})}
        return await self.app.request("POST", "/v1/events/batch", sent, body=body)

    async def post(self, events: list[Any], headers: Mapping[str, str] | None = None) -> Answer:
        return await self.post_raw(json.dumps({"events": events}).encode(), headers)

    async def signals(self) -> Answer:
        """Request this user's signals from the debug endpoint."""
        return await self.with_key(self.app.ops_key).get("/v1/debug/user-signals")

    async def walk(self, pages: int = 100, **query: Any) -> list[Answer]:
        """Request pages by cursor until the feed ends, at most `pages`."""
        found = [await self.feed(**query)]
        while found[-1].json["nextCursor"] is not None and len(found) < pages:
            found.append(await self.feed(cursor=found[-1].json["nextCursor"], **query))
        return found


@dataclass
class App:
    """A served app, with access to its inner objects."""

    url: str
    services: bootstrap.App
    host: LocalHost
    clock: MovableClock
    documents: FaultyDocuments
    bus: FaultyBus
    http: aiohttp.ClientSession
    ops_key: str
    secrets: set[str] = field(default_factory=set)
    """Every key and user hash created: none may appear in a log or a response."""

    @property
    def port(self) -> int:
        return self.host.port

    def now_ms(self, ago_seconds: float = 0.0) -> int:
        """Return the app's time in milliseconds since the epoch."""
        return int((self.clock.now() - ago_seconds) * 1000)

    async def request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """Send a request; every response must match the OpenAPI document."""
        params = {name: str(value) for name, value in (query or {}).items()}
        async with self.http.request(method, self.url + path, headers=headers, params=params, data=body) as response:
            answer = Answer(response.status, dict(response.headers), await response.read())
        contract.check(method, path, answer.status, answer.headers, answer.body)
        return answer

    async def raw(self, text: bytes) -> tuple[int, dict[str, Any]]:
        """Send raw bytes over a new connection; return the status and the JSON of the response."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(text)
            await writer.drain()
            answer = await asyncio.wait_for(reader.read(), PATIENCE_SECONDS)
        finally:
            writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split(b" ", 2)[1]), orjson.loads(body)

    async def tenant(self, videos: Iterable[Video] = (), **configuration: Any) -> Client:
        """Create a tenant with a key of scope `sdk` and a user."""
        tenant_id = f"tenant-{next(_numbers)}-{secrets.token_hex(3)}"
        key, user = secrets.token_urlsafe(24), new_user()
        self.secrets |= {key, user}
        configuration.setdefault("maturity_policy", "PG13")
        await self.save_videos(tenant_id, videos)
        await self.save_key(tenant_id, key, "sdk")
        await self.configure(Tenant(tenant_id, **configuration))
        return Client(self, tenant_id, key, user)

    async def save_key(self, tenant_id: str, key: str, *scopes: str, name: str = "app") -> None:
        self.secrets.add(key)
        await save_key(self.documents, self.services.identity, tenant_id, name, key, frozenset(scopes))
        assert await self.services.tenants_refresher.refresh()

    async def configure(self, tenant: Tenant) -> None:
        await save_tenant(self.documents, tenant)
        assert await self.services.tenants_refresher.refresh()

    async def save_videos(self, tenant_id: str, videos: Iterable[Video]) -> None:
        """Write videos as the CMS would, and update the catalogs in memory."""
        await save_videos(self.services, tenant_id, list(videos))
        await self.see_content()

    async def see_content(self) -> None:
        """Read the change feed now instead of at the next interval."""
        catalogs = self.services.catalogs
        if catalogs.age() is not None:  # before the first feed nothing is cached that could be stale
            assert await catalogs.refresh()

    def write_flags(self, *flags: dict[str, Any]) -> None:
        """Replace the flags file. The app reads it again by itself."""
        write_flags(Path(self.services.settings.flags_file), *flags)

    async def folded(self) -> None:
        """Wait until every accepted batch is in its user's signals."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.host.idle()

    async def rolled_up(self) -> None:
        """Run the roll-up now and update the catalogs' statistics."""
        await self.host.run_timer("roll_up")
        await self.see_content()

    def counted(self, name: str, *labels: str) -> float:
        """Return a counter of the app."""
        return self.services.telemetry.counters[name, labels]


def write_flags(path: Path, *flags: dict[str, Any]) -> None:
    path.write_text(json.dumps({"feature_management": {"feature_flags": list(flags)}}))


def personalized(enabled: bool = True, **conditions: Any) -> dict[str, Any]:
    """The kill switch as a flag record."""
    return {"id": PERSONALIZED_FEED, "enabled": enabled, **({"conditions": conditions} if conditions else {})}


@dataclass(frozen=True)
class Backends:
    """Opened backends for the app to use instead of the embedded ones."""

    documents: DocumentStore
    bus: Bus
    blobs: Blobs


@asynccontextmanager
async def served(
    folder: Path,
    *,
    flags: bool = True,
    operators: bool = True,
    flag_source: str = "file",
    on: Backends | None = None,
    media: LinkedBlobs | None = None,
    live: Live | None = None,
    **settings: Any,
) -> AsyncIterator[App]:
    """Serve the app with its stores in `folder`; a flags file and an operators' key exist unless the test says
    otherwise.

    `on`: its stores are these. `settings` are fields of `Settings`; intervals are as short as allowed. One at a time in
    a process.
    """
    clock = MovableClock()
    flags_file = folder / "flags.json"
    if flags:
        write_flags(flags_file, personalized())
    chosen = {
        "content_refresh_seconds": 0.1,
        "flags_refresh_seconds": 0.1,
        "signals_cache_seconds": 0.0,
        # Generous: on a busy machine only what a test breaks may be late.
        "signals_budget_ms": 250.0,
        "publish_budget_ms": 10_000.0,
        "shed_delay_ms": 60_000.0,
        "refuse_delay_ms": 60_000.0,
        "user_requests_per_second": 1_000_000.0,
        **settings,
    }
    configured = Settings(data_folder=str(folder), flags_file=str(flags_file), flags=flag_source, **chosen)
    # A service's store is not wrapped: the app connects it by itself.
    embedded = configured.document_store == "sqlite"
    store = on.documents if on else SqliteStore(folder / "documents.db", clock.now)
    documents = FaultyDocuments(store) if embedded else None
    bus = FaultyBus(on.bus if on else backends.bus_from(configured, clock.now))
    services = bootstrap.build(
        configured,
        clock=clock.now,
        elapsed=clock.elapsed,
        documents=documents,  # type: ignore[arg-type]
        bus=bus,  # type: ignore[arg-type]
        blobs=on.blobs if on else None,
        media=media,
        live=live,
        local=True,
    )
    bootstrap.use(services)
    try:
        await services.start()
        ops_key = secrets.token_urlsafe(24)
        if operators:
            await save_key(services.documents, services.identity, PLATFORM, "operators", ops_key, frozenset({"ops"}))
        await services.tenants_refresher.refresh()
        host = LocalHost(function_app.app, services.bus, json.loads((ROOT / "host.json").read_text()))
        await host.start(port=0)
        try:
            async with aiohttp.ClientSession() as http:
                url = f"http://127.0.0.1:{host.port}"
                yield App(url, services, host, clock, services.documents, bus, http, ops_key, {ops_key})
        finally:
            await host.stop(2.0)
    finally:
        bootstrap.use(None)
        await services.close()


async def eventually(happened: Callable[[], Awaitable[bool]], seconds: float = PATIENCE_SECONDS) -> None:
    """Poll until `happened`; fails the test when it does not within `seconds`."""
    async with asyncio.timeout(seconds):
        while not await happened():  # noqa: ASYNC110 - what is waited for is on the other side of a socket
            await asyncio.sleep(0.02)
