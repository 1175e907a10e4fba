"""Measures the client's CPU of the Azure adapters against local test servers, which run as another process.

Every figure is a ratio within this run. The test servers have no network, no TLS and nothing of Azure.
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count, cycle
from pathlib import Path
from statistics import median
from typing import Any

import azure.functions as func
from azure.cosmos.aio import CosmosClient
from azure.functions.meta import Datum, get_binding_registry

import bootstrap
from benchmarks.feed_handler import _request, prepare, serve
from benchmarks.lean import lean_cosmos
from benchmarks.measured import OF_BEFORE, record
from benchmarks.measuring import UNLIMITED, Timing, measure, measure_async
from events.batch import Batch, decode, encode
from events.schema import parse_event
from local.serving import local_settings
from shared.adapters.bus.port import ROLLUP, OutgoingMessage
from shared.adapters.bus.servicebus import ServiceBusBus
from shared.adapters.documents.cosmos import CosmosStore
from shared.adapters.documents.port import TENANTS, Create, Upsert
from shared.adapters.flags.app_configuration import FlagStore
from shared.adapters.flags.evaluation import PERSONALIZED_FEED
from shared.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
READS, FEEDS, MESSAGES, VIDEOS = 1_500, 1_000, 3_000, 500
TURNS = 5


def main() -> None:
    """Print the tables."""
    program = subprocess.Popen(
        [sys.executable, "-m", "tests.emulators", "--json"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert program.stdout is not None
        line = program.stdout.readline()
        if not line:
            sys.exit("The test servers did not start: `make test` says what they need.")
        settings = replace(local_settings({}), **_azure(json.loads(line)["settings"]))
        asyncio.run(_reads(settings))
        asyncio.run(_publishing(settings))
        asyncio.run(_decoding(settings))
    finally:
        program.terminate()
        program.wait(20)


def _azure(environment: dict[str, str]) -> dict[str, Any]:
    key = base64.b64encode(bytes(32)).decode()
    secrets = {"SIGNING_KEYS": f"k:{key}", "IDENTITY_SECRET": key}
    chosen = Settings.from_environment({**environment, **secrets})
    names = (
        "signing_keys",
        "identity_secret",
        "document_store",
        "bus",
        "blobs",
        "flags",
        "cosmos_connection_string",
        "servicebus_connection_string",
        "blob_connection_string",
        "app_configuration_connection_string",
    )
    return {name: getattr(chosen, name) for name in names}


def _row(name: str, cpu: float, base: float, unit: str = "µs CPU") -> None:
    print(f"{name:58}{cpu:10.0f} {unit}{cpu / base:8.2f}")


async def _reads(settings: Settings) -> None:
    print("\nCosmos DB, per call; ratio to the SDK's own read_item with its default settings")
    store = CosmosStore.from_settings(settings)
    await store.ready()
    await store.write(TENANTS, "t", [Create({"id": "signals", "filler": ["x" * 70] * 100})])
    async with CosmosClient.from_connection_string(settings.cosmos_connection_string) as client:
        container = client.get_database_client(settings.cosmos_database).get_container_client("tenants")
        bare = await measure_async(lambda: container.read_item("signals", "t"), READS)
    latest = await measure_async(lambda: store.read(TENANTS, "t", "signals", latest=True), READS)
    batch = [Upsert({"id": "marker", "filler": "x" * 100}), Upsert({"id": "signals", "filler": ["x" * 70] * 100})]
    written = await measure_async(lambda: store.write(TENANTS, "t", batch), READS)
    lean_store = lean_cosmos(settings)
    lean_written = await measure_async(lambda: lean_store.write(TENANTS, "t", batch), READS)
    turns = []
    for _ in range(TURNS):
        eventual = await measure_async(lambda: store.read(TENANTS, "t", "signals"), READS)
        lean = await measure_async(lambda: lean_store.read(TENANTS, "t", "signals"), READS)
        turns.append(lean.cpu / eventual.cpu)
    await store.close()
    await lean_store.close()
    record(
        "signals_read_cpu_ms",
        median(turns),
        OF_BEFORE,
        "python -m benchmarks azure_adapters, a read without the SDK over one through it, in turns",
    )
    _row("read_item of the bare SDK, 8 kB", bare.cpu, bare.cpu)
    _row("read through the adapter, eventual", eventual.cpu, bare.cpu)
    _row("read through the adapter, latest", latest.cpu, bare.cpu)
    _row("read without the SDK (flag lean-reads)", lean.cpu, bare.cpu)
    print(f"{'read without the SDK, over one through it':58}{median(turns):10.2f}, median of {TURNS} turns")
    _row("batch of a marker and 8 kB through the adapter", written.cpu, bare.cpu)
    _row("the same batch without the SDK (flag lean-writes)", lean_written.cpu, bare.cpu)
    feed = await _feed(settings)
    _row(f"a whole feed of {VIDEOS} videos, signals read every time", feed.cpu, bare.cpu)


async def _feed(settings: Settings) -> Timing:
    with FlagStore.from_settings(settings) as flags:
        flags.seed([{"id": PERSONALIZED_FEED, "enabled": True}])
    services = bootstrap.build(replace(settings, signals_cache_seconds=0.0, signals_budget_ms=250.0, **UNLIMITED))
    await services.start()
    users = await prepare(services, "tenant", VIDEOS)
    requests = cycle([_request("tenant", user) for user in users])
    timing = await measure_async(lambda: serve(next(requests), services), FEEDS)
    await services.close()
    return timing


async def _publishing(settings: Settings) -> None:
    print(f"\nService Bus, {MESSAGES} messages of 4 kB by 100 callers at once; ratio to one send for each")
    alone, alone_cpu = await _published(settings, 1)
    together, together_cpu = await _published(settings, 200)
    _row("one send for each message", alone, alone, "messages/s")
    _row("coalesced", together, alone, "messages/s")
    _row("one send for each message", alone_cpu, alone_cpu)
    _row("coalesced", together_cpu, alone_cpu)


_ids = count()


async def _published(settings: Settings, max_batch: int) -> tuple[float, float]:
    """Return messages a second, and µs of CPU per message."""
    bus = ServiceBusBus(
        connection_string=settings.servicebus_connection_string, publish_budget_seconds=60, max_batch=max_batch
    )
    await bus.ready()
    body = b"x" * 4_000
    left = iter(range(MESSAGES))

    async def caller() -> None:
        for _ in left:
            n = next(_ids)
            await bus.publish(OutgoingMessage(f"m{n}", f"tenant-{n % 20}", body))

    started, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(caller() for _ in range(100)))
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    await bus.close()
    return MESSAGES / seconds, cpu / MESSAGES * 1e6


async def _decoding(settings: Settings) -> None:
    print("\nFrom a message to a batch of 20 events, per message; ratio to the Functions SDK's batch trigger")
    body = _body()
    stock = _cpu_of_a_batch(100, body)
    single = measure(lambda: decode(_trigger_decode(body, _one_message(body)).get_body()), 2_000).cpu
    bare = measure(lambda: decode(body), 5_000).cpu
    drained = await _drained(settings, body)
    _row("trigger with cardinality many, batches of 100", stock, stock)
    _row("trigger with cardinality one (ours)", single, stock)
    _row("the body alone", bare, stock)
    _row("drained by the session receiver, receipt and settlement too", drained, stock)


def _body() -> bytes:
    now, draw = time.time(), random.Random(1)
    rows = [
        {"type": "video_view", "videoId": f"vid_{n}", "timestamp": int(now * 1000) - n, "watchTimeMs": 9_000}
        for n in (draw.randint(1, 500) for _ in range(20))
    ]
    return encode(Batch("f" * 32, "tenant", "u" * 43, now, tuple(parse_event(row, now)[0] for row in rows)))


def _trigger_decode(body: bytes, metadata: dict[str, Datum]) -> Any:
    converter: Any = get_binding_registry().get("serviceBusTrigger")
    return converter.decode(Datum(body, "bytes"), trigger_metadata=metadata)


def _one_message(body: bytes) -> dict[str, Datum]:
    """Return the metadata that the host sends with the body of one message."""
    texts = {
        "MessageId": "f" * 32,
        "SessionId": "tenant",
        "LockToken": "c9eb9a1c-0b9e-4bd8-9d0b-5a5d6f0d4a11",
        "ContentType": "application/octet-stream",
    }
    parts: dict[str, Any] = {
        "DeliveryCount": 1,
        "SequenceNumber": 123,
        "EnqueuedTimeUtc": "2026-11-20T12:00:00.1230000Z",
        "ExpiresAtUtc": "2026-11-23T12:00:00.1230000Z",
        "LockedUntil": "2026-11-20T12:01:00.1230000Z",
        "LockedUntilUtc": "2026-11-20T12:01:00.1230000Z",
        "UserProperties": {},
        "ApplicationProperties": {},
    }
    metadata = {name: Datum(text, "string") for name, text in texts.items()}
    return metadata | {name: Datum(json.dumps(value), "json") for name, value in parts.items()}


def _cpu_of_a_batch(size: int, body: bytes) -> float:
    """Return µs per message of the SDK's own path: one call with `size` messages, each then decoded."""
    arrays: dict[str, list[Any]] = {
        "MessageIdArray": ["f" * 32] * size,
        "SessionIdArray": ["tenant"] * size,
        "LockTokenArray": ["c9eb9a1c-0b9e-4bd8-9d0b-5a5d6f0d4a11"] * size,
        "ContentTypeArray": ["application/octet-stream"] * size,
        "DeliveryCountArray": [1] * size,
        "SequenceNumberArray": list(range(size)),
        "EnqueuedTimeUtcArray": ["2026-11-20T12:00:00.1230000Z"] * size,
        "ExpiresAtUtcArray": ["2026-11-23T12:00:00.1230000Z"] * size,
        "LockedUntilUtcArray": ["2026-11-20T12:01:00.1230000Z"] * size,
        "UserPropertiesArray": [{}] * size,
        "ApplicationPropertiesArray": [{}] * size,
    }
    metadata = {name: Datum(json.dumps(values), "json") for name, values in arrays.items()}
    converter: Any = get_binding_registry().get("serviceBusTrigger")
    bodies = Datum(_Collection([body] * size), "collection_bytes")

    def one_call() -> None:
        messages: list[func.ServiceBusMessage] = converter.decode(bodies, trigger_metadata=metadata)
        for message in messages:
            decode(message.get_body())

    return measure(one_call, 30, 3).cpu / size


class _Collection:
    """List of byte strings in the host's wire format."""

    def __init__(self, bytes: list[bytes]) -> None:
        self.bytes = bytes


async def _drained(settings: Settings, body: bytes, messages: int = 2_000) -> float:
    bus = ServiceBusBus(connection_string=settings.servicebus_connection_string, publish_budget_seconds=60)
    while (session := await bus.next_session(ROLLUP, 0.5)) is not None:
        await _empty(session.receive, session.complete, lambda body: None)
        await session.close()
    await asyncio.gather(*(bus.publish(OutgoingMessage(f"d{next(_ids)}", "tenant", body)) for _ in range(messages)))
    session = await bus.next_session(ROLLUP, 5.0)
    assert session is not None
    cpu = time.process_time()
    drained = await _empty(session.receive, session.complete, decode)
    cpu = time.process_time() - cpu
    assert drained == messages
    await bus.close()
    return cpu / messages * 1e6


async def _empty(receive: Any, complete: Any, use: Callable[[bytes], object]) -> int:
    taken = 0
    while found := await receive(500, 0.3):
        for message in found:
            use(message.body)
        await complete(found)
        taken += len(found)
    return taken


if __name__ == "__main__":
    main()
