"""Measures the path of events after the 202: from the bus through the fold into signals, then the roll-up.

`batches/s` is per core: per second of this process's CPU (threads included), from receiving a message to settling it,
32 at once. `ratio` is that rate over the first row's of its table. `RU` are request units per batch by the published
table (`benchmarks.request_units`), counted from reads and writes. The Azure rows use local test servers in another
process: no network, no TLS, nothing of Azure.
"""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import orjson

import bootstrap
from benchmarks.azure_adapters import ROOT, _azure
from benchmarks.request_units import read_units, write_units
from bootstrap import App
from events.batch import Batch, encode
from events.schema import Event
from local.demo import demo_videos, save_videos
from local.serving import local_settings
from shared.adapters import backends
from shared.adapters.bus.port import ROLLUP, SIGNALS, OutgoingMessage
from shared.adapters.documents.port import (
    Container,
    Delete,
    Document,
    DocumentStore,
    Operation,
    Page,
    StoreUnavailable,
)
from shared.adapters.tenant_directory import save_tenant
from shared.domain.fingerprint import fingerprint
from shared.domain.records import Tenant, Video
from shared.domain.user_signals import MAX_DOCUMENT_BYTES
from shared.observability.metrics import Telemetry
from shared.settings import Settings
from tests.parts import signals_consumer, stats_consumer

AT_ONCE = 32
VIDEOS = 40
_numbers = count()


@dataclass
class Counted:
    """Document store that adds up the request units that Cosmos DB would charge."""

    inner: DocumentStore
    units: float = 0.0

    async def read(self, container: Container, partition: str, id: str, *, latest: bool = False) -> Document | None:
        found = await self.inner.read(container, partition, id, latest=latest)
        self.units += read_units(_size(found.body) if found else 0)
        return found

    async def write(self, container: Container, partition: str, operations: Sequence[Operation]) -> list[str | None]:
        self.units += sum(
            write_units(0 if isinstance(operation, Delete) else _size(operation.body)) for operation in operations
        )
        return await self.inner.write(container, partition, operations)

    async def query(self, *arguments: Any, **named: Any) -> Page:
        page = await self.inner.query(*arguments, **named)
        self.units += read_units(sum(_size(document.body) for document in page.documents))
        return page

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def _size(body: dict[str, Any]) -> int:
    return len(orjson.dumps(body))


@dataclass
class Run:
    """Tenants with their videos, and the services on them."""

    services: App
    documents: Counted
    tenants: list[str]
    videos: list[Video]

    def batch(self, draw: random.Random, events: int, users: int) -> Batch:
        now, number = time.time(), next(_numbers)
        tenant = self.tenants[number % len(self.tenants)]
        told = tuple(
            Event(
                draw.choice(("impression", "video_view", "video_view", "skip", "like")),
                draw.choice(self.videos).id,
                int((now - draw.uniform(0, 86_400)) * 1000),
                fingerprint(f"{number} {at}"),
                draw.uniform(0, 40_000),
            )
            for at in range(events)
        )
        user = f"user-{draw.randrange(users)}-of-{tenant}"
        return Batch(secrets.token_hex(16), tenant, user, now, told, trusted=True)


def main() -> None:
    """Print the tables."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_tables("embedded", local_settings({"DATA_FOLDER": folder}), 1_200))
    program = subprocess.Popen(
        [sys.executable, "-m", "tests.emulators", "--json"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert program.stdout is not None
        if line := program.stdout.readline():
            settings = replace(local_settings({}), **_azure(json.loads(line)["settings"]))
            asyncio.run(_tables("Azure adapters, against our test servers", settings, 400))
        else:
            print("left out: the Azure adapters (the test servers did not start: `make test` says what they need)")
    finally:
        program.terminate()
        program.wait(20)


async def _tables(name: str, settings: Settings, batches: int) -> None:
    print(f"\npipeline, {name}: folding")
    print(f"{'tenants':>8}{'events a batch':>16}{'batches/s a core':>18}{'ratio':>8}{'CPU µs':>9}{'RU a batch':>12}")
    base = 0.0
    writes: list[tuple[int, int, float, float]] = []
    for tenants, events in ((10, 20), (10, 1), (10, 100), (120, 20), (1_000, 20)):
        run = await _prepare(settings, tenants)
        await _fold(run, batches // 4, events)  # warm-up: facts are in memory, users have signals
        await _roll_up(run)
        cpu, units = await _fold(run, batches, events)
        base = base or batches / cpu
        print(
            f"{tenants:8,}{events:16}{batches / cpu:18,.0f}{batches / cpu / base:8.2f}"
            f"{cpu / batches * 1e6:9,.0f}{units / batches:12.1f}"
        )
        if events == 20:
            written, cpu, units = await _roll_up(run)
            writes.append((tenants, written, cpu, units))
        await run.services.close()
    print(f"\npipeline, {name}: rolling up {batches:,} batches of 20 events in one run")
    print(f"{'tenants':>8}{'writes per 1,000 batches':>26}{'CPU µs a batch':>16}{'RU a batch':>12}")
    for tenants, written, cpu, units in writes:
        print(f"{tenants:8,}{written / batches * 1_000:26,.0f}{cpu / batches * 1e6:16,.0f}{units / batches:12.2f}")
    _full_document()


async def _prepare(settings: Settings, tenants: int) -> Run:
    documents = Counted(backends.documents_from(settings, time.time, Telemetry()))
    services = bootstrap.build(replace(settings, publish_budget_ms=30_000.0), documents=documents)  # type: ignore[arg-type]
    await services.documents.ready()
    await services.bus.ready()
    names = [f"tenant-{secrets.token_hex(4)}" for _ in range(tenants)]
    videos = demo_videos(VIDEOS, time.time(), random.Random(1))
    for name in names:
        await save_videos(services, name, videos)
        await save_tenant(services.documents, Tenant(name))
    await services.tenants_refresher.refresh()
    return Run(services, documents, names, videos)


async def _fold(run: Run, batches: int, events: int) -> tuple[float, float]:
    """Fold `batches` waiting messages; return seconds of CPU and request units."""
    draw, bus = random.Random(2), run.services.bus
    waiting = [run.batch(draw, events, users=20) for _ in range(batches)]
    for at in range(0, batches, 200):
        chunk = waiting[at : at + 200]
        await asyncio.gather(*(bus.publish(OutgoingMessage(b.id, b.tenant_id, encode(b), SIGNALS)) for b in chunk))
    consumer = signals_consumer(run.services)
    receiver = await bus.receiver(SIGNALS)
    units, cpu, done = run.documents.units, time.process_time(), 0

    async def one(message: Any) -> None:
        await consumer.handle(message.body)
        await receiver.complete([message])

    while done < batches:
        messages = await receiver.receive(AT_ONCE, 5.0)
        await asyncio.gather(*(one(message) for message in messages))
        done += len(messages)
    spent = time.process_time() - cpu, run.documents.units - units
    await receiver.close()
    return spent


async def _roll_up(run: Run) -> tuple[int, float, float]:
    """Drain all waiting messages in one run; return writes of statistics, seconds of CPU and request units."""
    telemetry = run.services.telemetry
    before = telemetry.counters["rollup_writes", ()]
    units, cpu = run.documents.units, time.process_time()
    with suppress(StoreUnavailable):
        while (await run.services.bus.depth(ROLLUP))[0]:
            await stats_consumer(run.services, receive_seconds=1.0).run()
    cpu = time.process_time() - cpu
    return int(telemetry.counters["rollup_writes", ()] - before), cpu, run.documents.units - units


def _full_document() -> None:
    """Measure the most expensive batch: its user's document is at every cap."""
    size = MAX_DOCUMENT_BYTES
    full = read_units(size) + write_units(size) + write_units(200)
    print(f"a batch of a user at every cap ({size:,} bytes): {full:.1f} RU, of which reading {read_units(size):.1f}")


if __name__ == "__main__":
    main()
