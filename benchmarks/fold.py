"""Measures folding a batch of 20 events into a user's signals.

`pure` is the arithmetic alone. `document` adds decoding and encoding the document. `store` is the whole consumer on
SQLite, one batch after another. `ratio` is CPU per batch over parsing the message's JSON alone.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from dataclasses import replace
from itertools import count
from typing import Any

import orjson

import bootstrap
from benchmarks.measuring import Timing, measure, measure_async
from events.batch import Batch, decode, encode
from events.fold import fold
from events.schema import Event
from events.video_facts import Facts
from local.demo import demo_videos, save_videos
from local.serving import first_flags, local_settings
from shared.adapters.backends import flags_file
from shared.adapters.tenant_directory import save_tenant
from shared.domain.event_types import TYPE_CODES
from shared.domain.fingerprint import fingerprint
from shared.domain.records import Tenant
from shared.domain.signals_document import VERSIONS, from_document, to_document
from shared.domain.user_signals import Signals

EVENTS = 20
TIMES = 500


def main() -> None:
    """Print the table."""
    now, draw = time.time(), random.Random(1)
    videos = demo_videos(500, now, draw)
    facts = {video.id: Facts(video.category, video.tags, video.creator, video.duration_seconds) for video in videos}
    numbers = count()

    def events() -> tuple[Event, ...]:
        return tuple(
            Event(
                draw.choice(("impression", "video_view", "video_view", "skip", "like")),
                draw.choice(videos).id,
                int((now - draw.uniform(0, 86_400)) * 1000),
                fingerprint(str(next(numbers))),
                draw.uniform(0, 40_000),
            )
            for _ in range(EVENTS)
        )

    batches = [Batch(f"{n:032x}", "tenant", f"user-{n % 50}", now, events()) for n in range(TIMES + 50)]
    bodies = [encode(batch) for batch in batches]
    known = typical(batches, facts, now)
    documents = {version: to_document(known, version) for version in VERSIONS}
    turn = count()

    def next_batch() -> Batch:
        return batches[next(turn) % len(batches)]

    print(f"\nfold, {EVENTS} events a batch, µs per batch")
    print(f"{'':34}{'p50':>8}{'p99':>8}{'CPU':>8}{'ratio':>8}{'events/s':>10}")
    base = measure(lambda: orjson.loads(bodies[next(turn) % len(bodies)]), TIMES)
    _row("parse the JSON of a message", base, base)
    _row("decode a message", measure(lambda: decode(bodies[next(turn) % len(bodies)]), TIMES), base)
    _row("pure", measure(lambda: fold(known, next_batch().events, facts, 14.0, now), TIMES), base)
    for version, document in documents.items():

        def whole(document: dict[str, Any] = document, version: int = version) -> None:
            to_document(fold(from_document(document), next_batch().events, facts, 14.0, now), version)

        def for_a_ranking(document: dict[str, Any] = document) -> None:
            from_document(document, whole=False)

        _row(f"document of version {version}", measure(whole, TIMES), base)
        _row(f"read for a ranking, version {version}", measure(for_a_ranking, TIMES), base)
    _row("store", asyncio.run(_through_the_store(bodies)), base)
    for version, document in documents.items():
        print(f"a typical user in version {version}: {len(orjson.dumps(document)):,} bytes")


def typical(batches: list[Batch], facts: dict[str, Facts], now: float) -> Signals:
    """Return the signals of a user of two weeks: 15 pages of 20 videos, 300 events."""
    known = None
    for age, batch in enumerate(batches[:15]):
        days_ms = (14 - age) * 86_400_000
        told = [replace(event, at_ms=event.at_ms - days_ms) for event in batch.events]
        known = fold(known, told, facts, 14.0, now, now - days_ms / 1000)
        pairs = [(place, TYPE_CODES[event.type]) for place, event in enumerate(told)]
        known.counted = known.counted.with_counted(age, int(now) - 600 * (15 - age), pairs)
    assert known is not None
    for event in batches[14].events:
        known.daily_counts = known.daily_counts.with_counted(int(now // 86_400), fingerprint(event.video_id))
    return known


async def _through_the_store(bodies: list[bytes]) -> Timing:
    with tempfile.TemporaryDirectory() as folder:
        settings = local_settings({"DATA_FOLDER": folder})
        first_flags(flags_file(settings))
        services = bootstrap.build(settings)
        await services.start()
        await save_tenant(services.documents, Tenant("tenant", "R"))
        await save_videos(services, "tenant", demo_videos(500, time.time(), random.Random(1)))
        consumer, turn = services.signals_consumer, iter(bodies)

        async def one() -> None:
            assert await consumer.handle(next(turn)) == "folded"

        timing = await measure_async(one, TIMES)
        await services.close()
        return timing


def _row(name: str, timing: Timing, base: Timing) -> None:
    rate = EVENTS * 1e6 / timing.p50
    print(f"{name:34}{timing.p50:8.0f}{timing.p99:8.0f}{timing.cpu:8.0f}{timing.cpu / base.cpu:8.1f}{rate:10,.0f}")


if __name__ == "__main__":
    main()
