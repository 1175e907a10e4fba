"""A tenant's stories as the ranking's videos, beside their columns and in the same rows.

Made when somebody first asks for a ranked row, and from then on extended by what has changed. The creator of a story is
its author. A video here is only ever scored: who may see what is decided by the stories' own columns before.
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
"""Stories turned into videos before the event loop gets its turn; about 2 ms."""


class StoryVideos:
    """Videos by the stories' rows, and their statistics."""

    def __init__(self) -> None:
        self.columns = VideoColumns()
        self.stats = CatalogStats(self.columns)
        self._minute = -1

    def take(self, stories: StoryColumns, most: int) -> None:
        """Take in up to so many changed rows, the lowest first: new ones stand at the end, in the order of rows."""
        assert stories.changed is not None
        rows = sorted(stories.changed)[:most]
        self.columns.upsert_all([video_of(story) for row in rows if (story := stories.stories[row]) is not None])
        stories.changed.difference_update(rows)

    def count(self, stories: StoryColumns, now: float) -> None:
        """Let the statistics have the views and reactions as of this minute. `now`: seconds since the epoch."""
        minute = int(now // 60)
        if minute != self._minute:
            self._minute = minute
            self.stats.replace(statistics_of(self.columns, stories, now))


class VideosOfStories:
    """Videos by the columns that they stand beside."""

    def __init__(self) -> None:
        self._kept: WeakKeyDictionary[StoryColumns, StoryVideos] = WeakKeyDictionary()

    async def of(self, stories: StoryColumns, now: float) -> StoryVideos:
        """The videos of every story there is now, and their statistics. Use both before the next await."""
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
    """Counters of stories that somebody has seen, as if the views of each had come evenly since it was posted.

    n views at a constant rate over an age a come, decayed with a half-life h, to n · h ÷ (a · ln 2) · (1 − 2^(−a ÷ h)):
    all of them while a is short beside h, the rate times the mean life h ÷ ln 2 when it is long. A view counts as one
    of the whole story: nobody tells how long somebody looked.
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
    """The story as the ranking sees it."""
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
