"""Converts a tenant's stories to videos of the ranking, in the same rows as their columns.

They are built when a ranked row is first requested, and then updated with changed stories. The author becomes the
video's creator. The videos are only scored; the columns of stories decide before who can see them.
"""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary

import numpy as np

from ranking.catalog_stats import CatalogStats
from ranking.columns import VideoColumns
from ranking.stats import (
    APPROVALS,
    DECAYED,
    DEMAND_7D,
    HALF_LIVES,
    IMPRESSIONS,
    VIEWS,
    WATCH_FRACTION,
    StatsTable,
)
from shared.domain.records import Video
from stories.story import HELD, LIVE, Story
from stories.story_columns import StoryColumns

SLICE = 100
"""Stories converted before yielding to the event loop; about 2 ms."""


class StoryVideos:
    """Stories as videos, by the stories' rows, and their statistics."""

    def __init__(self) -> None:
        self.columns = VideoColumns()
        self.stats = CatalogStats(self.columns)
        self._minute = -1

    def take(self, stories: StoryColumns, most: int) -> None:
        """Convert up to `most` changed rows, the lowest first, so new videos are appended in the order of rows."""
        assert stories.changed is not None
        rows = sorted(stories.changed)[:most]
        self.columns.upsert_all([video_of(story) for row in rows if (story := stories.stories[row]) is not None])
        stories.changed.difference_update(rows)

    def count(self, stories: StoryColumns, now: float) -> None:
        """Recompute the statistics from views and reactions, once a minute. `now`: seconds since the epoch."""
        minute = int(now // 60)
        if minute != self._minute:
            self._minute = minute
            self.stats.replace(statistics_of(self.columns, stories, now))


class VideosOfStories:
    """Cache of `StoryVideos` by story columns."""

    def __init__(self) -> None:
        self._kept: WeakKeyDictionary[StoryColumns, StoryVideos] = WeakKeyDictionary()

    async def of(self, stories: StoryColumns, now: float) -> StoryVideos:
        """Return the videos of all current stories, with statistics. Use them before the next await."""
        while True:
            videos = self._kept.get(stories)
            if videos is None or stories.changed is None:
                videos = self._kept[stories] = StoryVideos()
                stories.changed = set(range(len(stories.stories)))
            if len(stories.changed) <= SLICE:
                videos.take(stories, SLICE)
                videos.count(stories, now)
                return videos
            videos.take(stories, SLICE)
            await asyncio.sleep(0)


def statistics_of(videos: VideoColumns, stories: StoryColumns, now: float) -> StatsTable:
    """Return counters of viewed stories, as if the views of each had been spread evenly since it was posted.

    n views at a constant rate over an age a, decayed with half-life h, sum to n · h ÷ (a · ln 2) · (1 − 2^(−a ÷ h)).
    For a ≪ h that is n; for a ≫ h it is the rate times the mean lifetime h ÷ ln 2. A view counts as watched in full,
    because apps do not report how long a story was shown.
    """
    rows = np.flatnonzero(stories.views[: len(videos)])
    age = np.maximum(now - stories.created[rows], 60.0)[:, None]
    half_lives = np.array(HALF_LIVES)
    left = half_lives / (age * np.log(2.0)) * -np.expm1(-age / half_lives * np.log(2.0))
    decayed = np.zeros((len(rows), DECAYED))
    decayed[:, : len(HALF_LIVES)] = stories.views[rows, None] * left
    week = left[:, DEMAND_7D]
    for column in (IMPRESSIONS, VIEWS, WATCH_FRACTION):
        decayed[:, column] = stories.views[rows] * week
    decayed[:, APPROVALS] = stories.reactions[rows] * week
    return StatsTable.of(videos.key[rows], decayed, now)


def video_of(story: Story) -> Video:
    """Convert a story to a video of the ranking."""
    return Video(
        id=story.id,
        title="",
        playback_url="",
        category=story.category or "",
        tags=story.tags,
        creator=story.author_id,
        duration_seconds=(story.media.duration_seconds if story.media else None) or 0.0,
        maturity_rating=story.rating,
        active=story.state in (LIVE, HELD),
        published_at=story.created_at,
        expires_at=story.expires_at,
    )
