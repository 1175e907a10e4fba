"""A story's totals of views and reactions, stored next to it so every instance can rank by them.

They are a small document in the story's bucket, so they are loaded with the story and arrive by the same change feed.
They are written only when a total has grown by about 40 % (`is_news`): about 20 times for 1,000 views, not 1,000 times.
Authors get the exact sums instead (stories/counts.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.domain.formats import is_number
from shared.domain.records import MAX_STORY_HOURS
from stories.story import HOUR_SECONDS, STORY_ID

TOTALS = "totals:"
STEPS_PER_DOUBLING = 2
MOST = 2**32 - 1


@dataclass(frozen=True, slots=True)
class StoryTotals:
    """Views and reactions of a story. `facts`: how many facts were counted; the larger number is the later one."""

    story_id: str
    views: int
    reactions: int
    facts: int = 0

    def is_news(self, told: StoryTotals | None) -> bool:
        """Return whether this is later than the published totals `told`, and differs enough to publish."""
        if told is None:
            return self.views + self.reactions > 0
        steps = (_step(self.views), _step(self.reactions)) != (_step(told.views), _step(told.reactions))
        return self.facts > told.facts and steps

    def to_document(self) -> dict[str, Any]:
        """Return the stored shape. Its time to live is longer than the story's."""
        return {
            "id": TOTALS + self.story_id,
            "kind": "totals",
            "views": self.views,
            "reactions": self.reactions,
            "facts": self.facts,
            "ttl": MAX_STORY_HOURS * HOUR_SECONDS,
        }

    @classmethod
    def from_document(cls, body: Mapping[str, Any]) -> StoryTotals | None:
        """Parse a stored document; None if it holds no valid totals."""
        id = str(body.get("id"))
        amounts = [body.get(name) for name in ("views", "reactions", "facts")]
        if not id.startswith(TOTALS) or not STORY_ID.matches(story_id := id.removeprefix(TOTALS)):
            return None
        if not all(is_number(each) for each in amounts):
            return None
        return cls(story_id, *(min(max(0, int(each)), MOST) for each in amounts if each is not None))


def _step(amount: int) -> int:
    return int(STEPS_PER_DOUBLING * math.log2(1 + amount))
