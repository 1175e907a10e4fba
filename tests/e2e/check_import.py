"""`python -m tests.e2e.check_import --videos V --exposures E` checks that an import matches its log.

Imports into an empty folder. Then compares, for ten users, the debug signals with a plain count over the log, and their
feeds with each other and with the fallback. Exits with 1 on any difference.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import aiohttp

from local.importer import (
    DEFAULT_COLUMNS,
    hash_user,
    import_videos,
    make_tenant,
    read_rows,
    replay,
    to_batches,
    to_events,
    to_video,
)
from local.serving import local_settings, running
from shared.adapters.tenant_directory import PLATFORM, save_key
from shared.domain.records import DEFAULT_HALF_LIFE_DAYS

TENANT = "imported"
OPS_KEY = "operators-of-the-check"
DAY_MS = 86_400_000
RELATIVE_TOLERANCE = 1e-3
"""Tolerance: signals hold float32 sums and times in whole minutes."""


async def check(videos: Path, exposures: Path) -> bool:
    """Print a line per user; True when everything agrees."""
    with tempfile.TemporaryDirectory() as folder:
        settings = local_settings({"DATA_FOLDER": folder})
        async with running(settings, port=0, demo=False) as app:
            now = time.time()
            key = await make_tenant(app.app, TENANT)
            await save_key(app.app.documents, app.app.identity, PLATFORM, "operators", OPS_KEY, frozenset({"ops"}))
            await app.app.tenants_refresher.refresh()
            catalog = [to_video(row, DEFAULT_COLUMNS, "PG") for row in read_rows(videos)]
            await import_videos(app.app, TENANT, catalog)
            log = to_events(read_rows(exposures), DEFAULT_COLUMNS, now)
            await replay(app.url, app.app, TENANT, key, to_batches(log, TENANT))
            await app.host.run_timer("roll_up")
            categories = {video["id"]: video["mainTag"] for video in catalog}
            users = _ten_users(log)
            async with aiohttp.ClientSession() as session:
                return await _compare(session, app.url, key, users, log, categories)


def _ten_users(log: dict[Any, list[dict[str, Any]]]) -> list[Any]:
    """Return the five users with the longest history, and five from the middle."""
    longest = sorted((user for user, events in log.items() if len(events) >= 20), key=lambda user: -len(log[user]))
    return longest[:5] + longest[len(longest) // 2 :][:5]


async def _compare(
    session: aiohttp.ClientSession,
    url: str,
    key: str,
    users: list[Any],
    log: dict[Any, list[dict[str, Any]]],
    categories: dict[str, str],
) -> bool:
    fine = True
    feeds: dict[Any, list[str]] = {}
    for user in users:
        headers = {"X-Tenant-Id": TENANT, "X-Api-Key": key, "X-User": hash_user(TENANT, user)}
        async with session.get(f"{url}/v1/feed", headers=headers) as response:
            page = await response.json()
        feeds[user] = [item["videoId"] for item in page["items"]]
        asked_at = time.time()
        async with session.get(f"{url}/v1/debug/user-signals", headers={**headers, "X-Api-Key": OPS_KEY}) as response:
            stored = await response.json()
        problems = _differences(stored, log[user], categories, asked_at)
        if page["mode"] != "personalized":
            problems.append(f"feed is {page['mode']} ({page['reason']})")
        fine = fine and not problems
        print(
            f"user {user}: {len(log[user])} events, {len(stored['categoryStats'])} categories, "
            f"lost above the cap {stored['categoryStatsLost']}: {'; '.join(problems) or 'agrees'}"
        )
    async with session.get(
        f"{url}/v1/feed", headers={"X-Tenant-Id": TENANT, "X-Api-Key": key, "X-User": "0" * 64}
    ) as response:
        fallback = [item["videoId"] for item in (await response.json())["items"]]
    pairs = [(a, b) for a, b in itertools.combinations(feeds, 2) if feeds[a] == feeds[b]]
    plain = [user for user in feeds if feeds[user] == fallback]
    overlap = [len(set(feeds[a]) & set(feeds[b])) for a, b in itertools.combinations(feeds, 2)]
    print(
        f"equal feeds among users: {len(pairs)}; equal to the fallback: {len(plain)}; "
        f"videos two users' feeds share: {sum(overlap) / len(overlap):.1f} of 20 on average"
    )
    return fine and not pairs and not plain


def _differences(
    stored: dict[str, Any], events: list[dict[str, Any]], categories: dict[str, str], now: float
) -> list[str]:
    """Return where the stored signals and a plain count over the log differ."""
    views: dict[str, float] = defaultdict(float)
    watch_ms: dict[str, float] = defaultdict(float)
    skips: dict[str, float] = defaultdict(float)
    week_views, week_skips, week_watch_ms = 0, 0, 0
    today = int(now * 1000) // DAY_MS
    for event in events:
        category = categories.get(event["videoId"])
        weight = 2.0 ** (-(now * 1000 - event["timestamp"]) / (DEFAULT_HALF_LIFE_DAYS * DAY_MS))
        this_week = today - event["timestamp"] // DAY_MS < 7
        if event["type"] == "video_view":
            week_views += this_week
            week_watch_ms += event["watchTimeMs"] * this_week
            if category:
                views[category] += weight
                watch_ms[category] += weight * event["watchTimeMs"]
        elif event["type"] in ("skip", "not_interested"):
            week_skips += this_week
            if category:
                skips[category] += weight
    lost = stored["categoryStatsLost"]
    found: list[str] = []
    for category in {*views, *skips}:
        row = stored["categoryStats"].get(category, {"views": 0.0, "watchTimeMs": 0.0, "skips": 0.0})
        for name, truth in (("views", views[category]), ("skips", skips[category])):
            if (
                not truth - lost - RELATIVE_TOLERANCE * truth - 1e-4
                <= row[name]
                <= truth * (1 + RELATIVE_TOLERANCE) + 1e-4
            ):
                found.append(f"{category} {name} {row[name]} instead of {truth:.4f}")
        if not lost and abs(row["watchTimeMs"] - watch_ms[category]) > RELATIVE_TOLERANCE * watch_ms[category] + 1:
            found.append(f"{category} watchTimeMs {row['watchTimeMs']} instead of {watch_ms[category]:.1f}")
    if stored["totalViewsLast7d"] != week_views or stored["totalWatchTimeLast7dMs"] != week_watch_ms:
        found.append(f"7 days: {stored['totalViewsLast7d']} views instead of {week_views}")
    rate = week_skips / (week_views + week_skips) if week_views + week_skips else 0.0
    if abs(stored["skipRateLast7d"] - rate) > 1e-4:
        found.append(f"skip rate {stored['skipRateLast7d']} instead of {rate:.4f}")
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=Path, required=True)
    parser.add_argument("--exposures", type=Path, required=True)
    arguments = parser.parse_args()
    sys.exit(0 if asyncio.run(check(arguments.videos, arguments.exposures)) else 1)
