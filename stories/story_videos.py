"""A tenant's stories as the ranking's videos, beside their columns and in the same rows.

Made when somebody first asks for a ranked row, and from then on extended by what has changed. The creator of a story is
its author. A video here is only ever scored: who may see what is decided by the stories' own columns before.
"""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary

from ranking.catalog_stats import CatalogStats
from ranking.columns import VideoColumns
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

    def take(self, stories: StoryColumns, most: int) -> None:
        """Take in up to so many changed rows, the lowest first: new ones stand at the end, in the order of rows."""
        assert stories.changed is not None
        rows = sorted(stories.changed)[:most]
        self.columns.upsert_all([video_of(story) for row in rows if (story := stories.stories[row]) is not None])
        stories.changed.difference_update(rows)


class VideosOfStories:
    """Videos by the columns that they stand beside."""

    def __init__(self) -> None:
        self._kept: WeakKeyDictionary[StoryColumns, StoryVideos] = WeakKeyDictionary()

    async def of(self, stories: StoryColumns) -> StoryVideos:
        """The videos of every story there is now. Use both before the next await."""
        while True:
            videos = self._kept.get(stories)
            if videos is None or stories.changed is None:
                videos = self._kept[stories] = StoryVideos()
                stories.changed = set(range(len(stories.stories)))
            if len(stories.changed) <= SLICE:
                videos.take(stories, SLICE)
                return videos
            videos.take(stories, SLICE)
            await asyncio.sleep(0)


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
