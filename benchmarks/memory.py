"""Measures the memory of catalogs in one process: 120 tenants of 2,000 videos and one of 10,000, with statistics.

`per video` is resident memory divided by the number of videos. Idle tenants are evicted above `VIDEOS_IN_MEMORY`, so
this is the most memory that a process needs for content.
"""

from __future__ import annotations

import gc
import random
import resource
import time

from benchmarks.results import SPEED, keep
from feed.catalog import Catalog
from local.demo import demo_videos
from ranking.stats import StatEvent, StatsTable
from shared.adapters.documents.port import Document

TENANTS = [2_000] * 120 + [10_000]


def main() -> None:
    """Print the table."""
    print("\nmemory of the catalogs of one process")
    used, videos = measured()
    print(f"{len(TENANTS)} tenants, {videos:,} videos: {used:,.0f} MB, {used * 1e6 / videos:,.0f} bytes per video")
    keep(
        "memory",
        f"{used:,.0f} MB, {used * 1e6 / videos:,.0f} bytes a video",
        topic=SPEED,
        what=f"memory of the catalogs of {len(TENANTS)} tenants, {videos:,} videos, in one process",
        command="python -m benchmarks memory",
    )
    print(f"peak of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:,.0f} MB")


def measured() -> tuple[float, int]:
    """Return the resident megabytes of the catalogs, and the number of their videos."""
    now = time.time()
    gc.collect()
    before = resident_mb()
    held = []
    for number, count in enumerate(TENANTS):
        held.append(_catalog(count, number, now))
    gc.collect()
    return resident_mb() - before, sum(TENANTS)


def _catalog(count: int, number: int, now: float) -> Catalog:
    draw = random.Random(number)
    catalog = Catalog()
    table = StatsTable()
    events: list[StatEvent] = []
    for video in demo_videos(count, now, draw):
        body = video.to_document()
        body["id"] = f"{video.id}_{number}"
        catalog.apply(Document(f"tenant_{number}", body["id"], body, "1"))
        events.append((body["id"], now - draw.uniform(0, 1e5), "video_view", 20_000.0, video.duration_seconds))
    catalog.end_of_load()
    table.add(events)
    catalog.stats.replace(table)
    catalog.stats.static(now)
    return catalog


def resident_mb() -> float:
    with open("/proc/self/status", encoding="ascii") as status:
        line = next(line for line in status if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1e3


if __name__ == "__main__":
    main()
