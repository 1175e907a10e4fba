"""Writes demo data: three tenants, a few hundred videos with plausible titles, and a week of past views.

The random seed is fixed, so the demo is the same on every machine.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from bootstrap import App
from ranking.stats import StatEvent, StatsTable
from shared.adapters.documents.port import MAX_OPERATIONS, VIDEO_STATS, VIDEOS, Upsert
from shared.adapters.tenant_directory import PLATFORM, save_key, save_tenant
from shared.domain.records import Tenant, Video

SDK_KEY = "secret-api-key"
OPS_KEY = "secret-ops-key"
CMS_KEY = "secret-cms-key"
"""Key for the Studio of the first tenant."""
DAY = 86_400.0


@dataclass(frozen=True)
class Theme:
    """A category: words for its titles, its tags and its usual rating."""

    name: str
    subjects: tuple[str, ...]
    forms: tuple[str, ...]
    tags: tuple[str, ...]
    rating: str = "PG"


THEMES = (
    Theme(
        "fitness",
        ("Fitness", "Core", "Kettlebell", "Running", "Yoga", "Mobility", "Sprint", "Pilates"),
        ("warmup", "in ten minutes", "for beginners", "without equipment", "mistakes", "finisher", "challenge"),
        ("workout", "health", "training", "home"),
    ),
    Theme(
        "cooking",
        ("Pasta", "Sourdough", "Ramen", "Tacos", "Curry", "Salad", "Dumplings", "Omelette"),
        ("from scratch", "in one pan", "like a chef", "for two", "on a budget", "secrets", "leftovers"),
        ("recipe", "food", "kitchen", "dinner"),
    ),
    Theme(
        "travel",
        ("Lisbon", "Kyoto", "Oaxaca", "Tbilisi", "Patagonia", "Naples", "Zanzibar", "Tromsø"),
        ("in 48 hours", "on foot", "street food", "by train", "hidden corners", "at sunrise", "on a budget"),
        ("city", "nature", "guide", "budget"),
    ),
    Theme(
        "music",
        ("Piano", "Drum", "Guitar", "Synth", "Choir", "Cello", "Beatbox", "Vinyl"),
        ("cover", "loop", "session", "lesson", "battle", "backstage", "in the street"),
        ("live", "practice", "studio", "cover"),
    ),
    Theme(
        "comedy",
        ("Office", "Dating", "Neighbor", "Airport", "Parents", "Gym", "Wedding", "Landlord"),
        ("sketch", "stand-up", "fails", "impressions", "stories", "pranks"),
        ("sketch", "standup", "funny"),
        "PG13",
    ),
    Theme(
        "science",
        ("Black hole", "Octopus", "Volcano", "Battery", "Bacteria", "Comet", "Glacier", "Robot"),
        ("explained", "up close", "in slow motion", "myths", "experiment", "in one minute"),
        ("nature", "space", "howto"),
        "G",
    ),
    Theme(
        "nightlife",
        ("Cocktail", "Casino", "Club", "Poker", "Horror"),
        ("night", "secrets", "rules", "after midnight", "stories"),
        ("party", "drinks"),
        "R",
    ),
)

TENANTS: tuple[tuple[Tenant, int, str], ...] = (
    (
        Tenant("tenant_1", "PG13", {"0-12": "G", "13-17": "PG"}, count_anonymous_events=True),
        300,
        SDK_KEY,
    ),
    (Tenant("tenant_2", "R", count_anonymous_events=True), 200, "secret-api-key-2"),
    (Tenant("tenant_3", "G", count_anonymous_events=True, default_limit=10), 80, "secret-api-key-3"),
)
"""Configuration of each demo tenant, its number of videos, and its app's key."""


async def seed_demo(app: App) -> bool:
    """Write the demo unless its first tenant exists. Return whether it was written."""
    if app.tenants.get(TENANTS[0][0].id) is not None:
        return False
    now = app.clock()
    for number, (tenant, count, key) in enumerate(TENANTS):
        draw = random.Random(number)
        videos = demo_videos(count, now, draw)
        await save_videos(app, tenant.id, videos)
        table = StatsTable()
        table.add(past_views(videos, now, draw))
        seed = {"id": "stats:demo", "kind": "stats", "lastSequence": 0, "packed": table.pack()}
        await app.documents.write(VIDEO_STATS, tenant.id, [Upsert(seed)])
        await save_key(app.documents, app.identity, tenant.id, "app", key, frozenset({"sdk"}))
        await save_tenant(app.documents, tenant)
    first = TENANTS[0][0].id
    await save_key(app.documents, app.identity, first, "content team", CMS_KEY, frozenset({"cms"}))
    await save_key(app.documents, app.identity, PLATFORM, "operators", OPS_KEY, frozenset({"ops"}))
    await app.tenants_refresher.refresh()
    return True


async def save_videos(app: App, tenant_id: str, videos: list[Video]) -> None:
    """Write videos in batches of one partition."""
    for start in range(0, len(videos), MAX_OPERATIONS):
        batch = [Upsert(video.to_document()) for video in videos[start : start + MAX_OPERATIONS]]
        await app.documents.write(VIDEOS, tenant_id, batch)


def demo_videos(count: int, now: float, draw: random.Random) -> list[Video]:
    """Return plausible videos: ids `vid_<category>_<n>`, a few creators per category, ages up to 60 days."""
    videos = []
    for at in range(count):
        theme = THEMES[at % len(THEMES)]
        number = at // len(THEMES) + 1
        subject, form = draw.choice(theme.subjects), draw.choice(theme.forms)
        videos.append(
            Video(
                id=f"vid_{theme.name}_{number}",
                title=f"{subject} {form}" if number > 1 else f"{theme.name.capitalize()} {theme.forms[0]}",
                playback_url=f"https://cdn.example/{theme.name}/{number}.m3u8",
                category=theme.name,
                thumbnail_url=f"https://cdn.example/{theme.name}/{number}.jpg",
                tags=(theme.name, *draw.sample(theme.tags, 2)),
                creator=f"{theme.name}_creator_{draw.randint(1, 5)}",
                duration_seconds=float(draw.randint(8, 90)),
                maturity_rating=theme.rating,
                editorial_boost=2.0 if number == 1 else 0.0,
                language=draw.choice(("en", "en", "es")),
                published_at=now - draw.uniform(0.1, 60) * DAY,
            )
        )
    videos[0] = replace(videos[0], duration_seconds=30.0)
    return videos


def past_views(videos: list[Video], now: float, draw: random.Random) -> list[StatEvent]:
    """Return a week of views: a few videos are liked by many users, most by few."""
    events: list[StatEvent] = []
    for video in videos:
        appeal = draw.betavariate(2, 3)
        for _ in range(int(draw.paretovariate(1.2) * 4) % 60):
            at = now - draw.uniform(0, 7) * DAY
            events.append((video.id, at, "impression", 0.0, video.duration_seconds))
            if draw.random() < appeal:
                watch_ms = video.duration_seconds * 1000 * draw.uniform(0.3, 1.0)
                events.append((video.id, at, "video_view", watch_ms, video.duration_seconds))
            else:
                events.append((video.id, at, "skip", 0.0, video.duration_seconds))
    return events
