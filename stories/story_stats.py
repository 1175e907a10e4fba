"""Statistics of an author's last seven days, added up from the sums of their stories."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from shared.adapters.documents.port import PEOPLE, STORY_ACTIVITY, DocumentStore
from stories.activity import partition_of
from stories.counts import COUNTS_ID, day_of, totals
from stories.identity import Person
from stories.posting import POST
from stories.story_forms import EMOJI
from stories.viewer_sketch import ViewerSketch

DAYS, DAY_SECONDS = 7, 86_400
MAX_POSTS = 1_000
READS_AT_ONCE = 16


@dataclass
class Stats:
    """Sums of the last `DAYS` UTC dates, today first.

    `days`: date → views, then reactions by emoji; `posted`: date → stories; `cut`: older stories were not counted.
    """

    days: dict[str, list[int]]
    posted: dict[str, int]
    viewers: ViewerSketch = field(default_factory=ViewerSketch)
    cut: bool = False


class StoryStatistics:
    """Reads sums of stories. Can raise `StoreUnavailable`."""

    def __init__(self, documents: DocumentStore) -> None:
        self._documents = documents

    async def of_story(self, tenant_id: str, story_id: str) -> list[int]:
        """Return a story's views, then its reactions by emoji."""
        stored = await self._documents.read(STORY_ACTIVITY, partition_of(tenant_id, story_id), COUNTS_ID)
        return totals(stored.body["days"] if stored else {})

    async def of_author(self, author: Person, now: float) -> Stats:
        """Add up the author's last days, over about their newest `MAX_POSTS` stories."""
        days = [day_of(now - back * DAY_SECONDS) for back in range(DAYS)]
        stats = Stats({day: [0] * (1 + len(EMOJI)) for day in days}, dict.fromkeys(days, 0))
        turns = asyncio.Semaphore(READS_AT_ONCE)

        async def count(story_id: str) -> None:
            async with turns:
                stored = await self._documents.read(STORY_ACTIVITY, partition_of(author.tenant_id, story_id), COUNTS_ID)
            if stored is None:
                return
            for day, row in stored.body["days"].items():
                if day in stats.days:
                    stats.days[day] = [a + b for a, b in zip(stats.days[day], row, strict=True)]
            stats.viewers.merge(ViewerSketch.from_json(stored.body["viewers"]))

        after, read = None, 0
        while True:
            page = await self._documents.query(PEOPLE, author.partition, id_prefix=POST, after=after)
            for each in page.documents:
                day = day_of(each.body["createdAt"])
                if day in stats.posted:
                    stats.posted[day] += 1
            await asyncio.gather(*(count(each.body["storyId"]) for each in page.documents))
            read, after = read + len(page.documents), page.next
            if after is None or read >= MAX_POSTS:
                stats.cut = after is not None
                return stats
