"""The cached order of the popular feed."""

from __future__ import annotations

import numpy as np

from feed.catalog import Catalog
from feed.editorial import NOTHING
from feed.fallback import Fallback
from feed.filters import Viewer
from ranking.stats import StatsTable
from ranking.user_features import RankingOptions
from shared.adapters.documents.port import Document
from shared.domain.records import RATINGS
from tests.served_app import make_videos

NOW = 1_800_000_000.0


def popular(id: str) -> StatsTable:
    """Statistics in which everybody watched one video."""
    table = StatsTable()
    table.add((id, NOW - 60.0, "video_view", 30_000.0, 30.0) for _ in range(200))
    return table


def test_order_cached_for_other_statistics_is_never_reused() -> None:
    catalog, fallback = Catalog(), Fallback()
    for video in make_videos(6):
        catalog.apply(Document("t", video.id, video.to_document(), "1"))
    viewer, context = Viewer(NOW, RATINGS["PG"], None, np.zeros(0, np.uint32)), RankingOptions(NOW)
    ids = list(catalog.columns.ids)
    catalog.stats.replace(popular(ids[0]))
    for turn in range(1, 30):
        before = fallback.page(catalog, viewer, context, NOTHING)
        assert catalog.columns.ids[before.rows[0]] == ids[(turn - 1) % len(ids)]
        catalog.stats.replace(StatsTable())  # releases the previous table, whose address the next one can reuse
        catalog.stats.replace(popular(ids[turn % len(ids)]))
