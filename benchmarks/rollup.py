"""Measures a batch from the bus into statistics and archive, on the Service Bus SDK; then simulates a peak hour.

Figures are µs of CPU for one batch of 20 events, as medians of alternating rounds. The test servers run in another
process, so CPU is the consumer's alone, threads included. `one by one` settles each message by a call of the SDK; `in
ranges` settles consecutive messages together, as the app does. `session` is the cost of taking, holding and leaving a
session, including the read of its document, divided by its batches. `visit` is the fixed cost of a visit, whatever the
number of batches. No network, no TLS, nothing of Azure.
"""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import bootstrap
from benchmarks import peak_hour
from benchmarks.azure_adapters import ROOT, _azure
from benchmarks.measured import record
from bootstrap import App
from events.batch import Batch, encode
from events.schema import Event
from events.stats_consumer import StatsConsumer
from local.demo import demo_videos, save_videos
from local.serving import local_settings
from shared.adapters.bus.port import ROLLUP, OutgoingMessage
from shared.adapters.bus.servicebus import ServiceBusBus
from shared.adapters.tenant_directory import save_tenant
from shared.domain.feed_receipt import FeedReceipt
from shared.domain.fingerprint import fingerprint
from shared.domain.records import Tenant
from shared.settings import Settings
from tests.parts import stats_consumer

TENANT = "rollup-bench"
VIDEOS, BATCHES, EVENTS, ROUNDS, VISITS = 2_000, 2_000, 20, 5, 12
STAGES = ("session", "receive", "statistics", "archive", "settle")
ONE_BY_ONE, IN_RANGES = "one by one", "in ranges"


@dataclass
class Spent:
    """Seconds of CPU by stage. Only one session is processed at a time, so CPU within a call belongs to it."""

    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    def timed(self, stage: str, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def timed(*arguments: Any, **named: Any) -> Any:
            began = time.process_time()
            try:
                return await call(*arguments, **named)
            finally:
                self.seconds[stage] += time.process_time() - began

        return timed


class TimedBus:
    """Bus whose sessions are timed."""

    def __init__(self, inner: ServiceBusBus, spent: Spent) -> None:
        self._inner, self._spent = inner, spent

    async def next_session(self, *arguments: Any) -> Any:
        session = await self._spent.timed("session", self._inner.next_session)(*arguments)
        if session is not None:
            for name, stage in (("receive", "receive"), ("complete", "settle"), ("close", "session")):
                setattr(session, name, self._spent.timed(stage, getattr(session, name)))
        return session

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def main() -> None:
    """Print the tables."""
    program = subprocess.Popen(
        [sys.executable, "-m", "tests.emulators", "--json"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert program.stdout is not None
        if not (line := program.stdout.readline()):
            sys.exit("The test servers did not start: `make test` says what they need.")
        asyncio.run(_measure(replace(local_settings({}), **_azure(json.loads(line)["settings"]))))
    finally:
        program.terminate()
        program.wait(20)
    peak_hour.main()


async def _measure(settings: Settings) -> None:
    app = await _prepare(settings)
    ways = {
        name: ServiceBusBus(
            connection_string=settings.servicebus_connection_string,
            publish_budget_seconds=60,
            settle_ranges=name == IN_RANGES,
        )
        for name in (ONE_BY_ONE, IN_RANGES)
    }
    await _drain(app, ways[IN_RANGES], BATCHES)  # facts are in memory, the document is full
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    for number in range(ROUNDS):
        for name in sorted(ways, reverse=bool(number % 2)):
            rounds[name].append(await _drain(app, ways[name], BATCHES))
    visits = [(await _drain(app, ways[IN_RANGES], 1))["together"] for _ in range(VISITS)]
    for bus in ways.values():
        await bus.close()
    await app.close()
    print(
        f"\nrolling up, Service Bus SDK against our test servers: {BATCHES:,} batches of {EVENTS} events in a session"
    )
    print(f"{'CPU µs a batch':<28}" + "".join(f"{name:>12}" for name in ways))
    for stage in (*STAGES, "other", "together"):
        print(f"{stage:<28}" + "".join(f"{_median(rounds[name], stage):12.0f}" for name in ways))
    together = {name: _median(rounds[name], "together") for name in ways}
    print(f"{'batches a second, one core':<28}" + "".join(f"{1e6 / together[name]:12,.0f}" for name in ways))
    visit_ms = statistics.median(visits) / 1000
    print(f"a visit, {VIDEOS:,} watched videos: {visit_ms:.0f} ms of CPU")
    record("roll_up_visit_cpu_ms", visit_ms, "ms", f"python -m benchmarks rollup, a visit, {VIDEOS:,} watched videos")


def _median(rounds: list[dict[str, float]], stage: str) -> float:
    return statistics.median(each[stage] for each in rounds)


async def _prepare(settings: Settings) -> App:
    app = bootstrap.build(replace(settings, publish_budget_ms=30_000.0, usual_peak_floor=1e6))
    for port in (app.documents, app.bus):  # not `start`: its refresh loops would be counted
        await port.ready()
    await save_videos(app, TENANT, demo_videos(VIDEOS, time.time(), random.Random(1)))
    await save_tenant(app.documents, Tenant(TENANT))
    await app.tenants_refresher.refresh()
    return app


def _batch(draw: random.Random, videos: list[str]) -> Batch:
    """Return a batch as the fold sends it: a page of distinct videos, all counted."""
    now = time.time()
    receipt = FeedReceipt(int(now) - 60, personalized=True, warm=True, key=draw.getrandbits(32))
    events = tuple(
        Event(
            draw.choice(("impression", "video_view", "video_view", "skip", "like")),
            video,
            int((now - draw.uniform(0, 60)) * 1000),
            fingerprint(f"{video}{now}"),
            draw.uniform(0, 40_000),
            place,
            0,
            place,
        )
        for place, video in enumerate(draw.sample(videos, EVENTS))
    )
    return Batch(
        secrets.token_hex(16), TENANT, secrets.token_hex(22), now, events, (receipt,), counted=(True,) * EVENTS
    )


async def _drain(app: App, bus: ServiceBusBus, batches: int) -> dict[str, float]:
    """Drain `batches` waiting in one session; return µs of CPU per batch by stage."""
    draw = random.Random(batches)
    videos = [video.id for video in demo_videos(VIDEOS, time.time(), random.Random(1))]
    waiting = [_batch(draw, videos) for _ in range(batches)]
    for at in range(0, batches, 200):
        chunk = waiting[at : at + 200]
        await asyncio.gather(
            *(app.bus.publish(OutgoingMessage(f"{b.id}.rollup", TENANT, encode(b), ROLLUP)) for b in chunk)
        )
    spent = Spent()
    consumer: StatsConsumer = stats_consumer(
        app, bus=TimedBus(bus, spent), run_seconds=60.0, receive_seconds=60.0, sessions_at_once=1
    )
    writer: Any = consumer._writer
    for name, stage in (("read", "session"), ("add", "statistics"), ("archive", "archive")):
        setattr(writer, name, spent.timed(stage, getattr(writer, name)))
    began, added = time.process_time(), 0
    while added < batches:
        added += await consumer.run()
    together = time.process_time() - began
    found = {stage: spent.seconds[stage] for stage in STAGES}
    found["other"] = together - sum(found.values())
    return {stage: seconds / batches * 1e6 for stage, seconds in {**found, "together": together}.items()}


if __name__ == "__main__":
    main()
