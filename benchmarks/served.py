"""Serves the app in its own process, with generated tenants, videos and users with a history.

`python -m benchmarks.served` prints one line of JSON with its address and stops on SIGTERM. Besides the app's routes it
has `/noop`, a function that answers 8 kB of fixed bytes through the same host. Every ratio is relative to it.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import azure.functions as func
import orjson

from bootstrap import App
from events.batch import Batch, encode
from events.schema import parse_event
from local.demo import SDK_KEY, demo_videos, save_videos
from local.serving import local_settings, running
from ranking.stats import StatEvent, StatsTable
from shared.adapters.documents.port import TENANTS, VIDEO_STATS, Upsert
from shared.adapters.tenant_directory import save_key, save_tenant
from shared.domain.records import Tenant

ROOT = Path(__file__).resolve().parent.parent
HISTORY = 60
AT_ONCE = 25
"""Batches folded concurrently, because the message to the roll-up waits for others."""
CONTENT_KEY = "secret-content-key"
WHO_IS_NOISY = "tenant-0"
READY_BYTES = orjson.dumps({"items": ["x" * 390] * 20})


@dataclass(frozen=True)
class World:
    """Generated data: `tenants` with `videos` each, and `users` with a history. `noisy_rate`: limit of the first
    tenant. `token_key`: public key (PEM) for users' tokens."""

    tenants: int = 1
    videos: int = 500
    users: int = 200
    noisy_rate: float | None = None
    token_key: str = ""


@dataclass(frozen=True)
class Served:
    """A running server."""

    url: str
    pid: int

    def cpu_seconds(self) -> float:
        """Return the CPU time of the process so far, threads included."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mb(self) -> float:
        """Return the resident memory in MB."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1e3


def tenant_id(number: int) -> str:
    return f"tenant-{number}"


def user_hash(tenant: int, user: int) -> str:
    """Return a user's hash. Users with numbers beyond the world's have no history."""
    return f"{tenant:016x}{user:048x}"


@contextmanager
def served(world: World, settings: Mapping[str, str] | None = None) -> Iterator[Served]:
    """Start a server in its own process, on one core if there are two."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "MALLOC_ARENA_MAX": "1",  # as in modules/functionApp.bicep
            "DATA_FOLDER": folder,
            "CONTENT_REFRESH_SECONDS": "5",
            "FLAGS_REFRESH_SECONDS": "1",
            "SIGNALS_CACHE_SECONDS": "0",
            "SIGNALS_BUDGET_MS": "250",
            "USER_REQUESTS_PER_SECOND": "1000000",
            **(settings or {}),
        }
        program = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.served", json.dumps(world.__dict__)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert program.stdout is not None
            line = program.stdout.readline()
            if not line:
                sys.exit("The server did not start; its own message is above.")
            yield Served(json.loads(line)["url"], program.pid)
        finally:
            program.send_signal(signal.SIGTERM)
            program.wait(30)


async def _serve(world: World) -> None:
    import function_app

    async def noop(req: func.HttpRequest) -> func.HttpResponse:
        assert req.headers["x-user"]
        return func.HttpResponse(READY_BYTES, headers={"ETag": "x"}, mimetype="application/json")

    app = function_app.app
    app.function_name("noop")(app.route("noop", methods=["GET"])(noop))
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with running(local_settings(), port=0, demo=False) as served:
        await _build(world, served.app)
        print(json.dumps({"url": served.url}), flush=True)
        await stop.wait()


async def _build(world: World, services: App) -> None:
    now = time.time()
    consumer = services.signals_consumer
    for number in range(world.tenants):
        draw, name = random.Random(number), tenant_id(number)
        rate = world.noisy_rate if name == WHO_IS_NOISY else None
        tenant = Tenant(name, "R", count_anonymous_events=True, feed_requests_per_second=rate)
        await save_tenant(services.documents, tenant)
        await save_key(services.documents, services.identity, name, "app", SDK_KEY, frozenset({"sdk"}))
        await save_key(services.documents, services.identity, name, "content", CONTENT_KEY, frozenset({"cms"}))
        if world.token_key:
            key = {
                "id": "user-token-key:key-1",
                "kind": "user-token-key",
                "keyId": "key-1",
                "publicKey": world.token_key,
            }
            await services.documents.write(TENANTS, name, [Upsert(key)])
        videos = demo_videos(world.videos, now, draw)
        await save_videos(services, name, videos)
        table = StatsTable()
        views: list[StatEvent] = [
            (video.id, now - draw.uniform(0, 1e5), "video_view", 20_000.0, video.duration_seconds) for video in videos
        ]
        table.add(views)
        seed = {"id": "stats:seed", "kind": "stats", "lastSequence": 0, "packed": table.pack()}
        await services.documents.write(VIDEO_STATS, name, [Upsert(seed)])
        batches = []
        for user in range(world.users):
            rows = [
                {
                    "type": draw.choice(("video_view", "video_view", "skip", "like")),
                    "videoId": draw.choice(videos).id,
                    "timestamp": int((now - draw.uniform(0, 6 * 86_400)) * 1000),
                    "watchTimeMs": draw.randint(500, 40_000),
                }
                for _ in range(HISTORY)
            ]
            events = tuple(parse_event(row, now)[0] for row in rows)
            user_key = services.identity.user_key(name, user_hash(number, user))
            batches.append(Batch(f"world-{number}-{user}", name, user_key, now, events))
        for start in range(0, len(batches), AT_ONCE):
            some = batches[start : start + AT_ONCE]
            await asyncio.gather(*(consumer.handle(encode(batch)) for batch in some))
    await services.tenants_refresher.refresh()
    _give_back_free_memory()


def _give_back_free_memory() -> None:
    """Return free memory to the system. Otherwise a leak could fill the memory freed after the build, unnoticed."""
    gc.collect()
    with suppress(OSError, AttributeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)


if __name__ == "__main__":
    asyncio.run(_serve(World(**json.loads(sys.argv[1]))))
