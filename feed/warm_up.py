"""Made-up videos and signals: a process builds two pages from them, and throws them away, before it serves users.

One-time costs of the first page (a library loaded late, memory allocated) are then paid before a user asks.
"""

from __future__ import annotations

from feed.catalog import Catalog
from ranking.user_features import COLD_START_EVENTS
from shared.adapters.documents.port import Document
from shared.domain.records import DEFAULT_HALF_LIFE_DAYS, Tenant, Video
from shared.domain.user_signals import Signals

TENANT = Tenant("", "G")
"""No real tenant has this id."""
VIDEOS, CATEGORIES = 60, 4
DAY = 86_400.0


def made_up_catalog(now: float) -> Catalog:
    """Return a catalog of generated videos."""
    catalog = Catalog()
    for number in range(VIDEOS):
        category = f"category-{number % CATEGORIES}"
        video = Video(
            id=f"video-{number}",
            title="",
            playback_url="https://cdn.invalid/video.m3u8",
            category=category,
            tags=(category,),
            creator=category,
            duration_seconds=30.0,
            maturity_rating="G",
            published_at=now - number * DAY,
        )
        catalog.apply(Document(TENANT.id, video.id, video.to_document(), ""))
    return catalog


def made_up_signals(now: float) -> Signals:
    """Return signals with enough events for a personalized page."""
    return Signals(
        DEFAULT_HALF_LIFE_DAYS, newest_minute=int(now // 60), events=COLD_START_EVENTS, updated_at=now, whole=False
    )
