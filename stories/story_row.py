"""The row of stories: authors who have something to show to a viewer, the one with the newest story first. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stories.story import Story
from stories.story_columns import StoryColumns
from stories.visibility import StoryViewer

STORIES_OF_AN_AUTHOR = 30
_DIGITS = 14


@dataclass(frozen=True, slots=True)
class Shelf:
    """What one author shows: the newest `STORIES_OF_AN_AUTHOR`, the oldest of these first."""

    author_id: str
    stories: list[Story]
    unseen: int

    @property
    def latest_at(self) -> float:
        return self.stories[-1].created_at

    @property
    def place(self) -> str:
        """Where the author stands in the row; later in the row is smaller as text."""
        return f"{int(self.latest_at * 1000):0{_DIGITS}d}{self.author_id}"


def row_of(
    columns: StoryColumns, viewer: StoryViewer, seen: Collection[str], now: float, after: str | None, limit: int
) -> tuple[list[Shelf], str | None]:
    """A page of authors behind the place `after`, and the place behind it; None at the end.

    An author who posts during a walk moves to the front, behind which no later page looks: nobody comes twice.
    """
    rows = columns.visible_rows(viewer, now)
    rows = rows[(-columns.created[rows]).argsort(kind="stable")]
    authors = columns.author_of(rows)
    first = np.sort(np.unique(authors, return_index=True)[1])  # each author's newest, in the order of the row
    if after is not None:
        first = first[np.searchsorted(-_ms(columns.created[rows[first]]), -int(after[:_DIGITS])) :]
    page: list[Shelf] = []
    for at in first:
        shelf = _shelf(columns, rows[authors == authors[at]][:STORIES_OF_AN_AUTHOR], seen, viewer)
        if len(page) > limit and page[-1].place[:_DIGITS] != shelf.place[:_DIGITS]:
            break  # those of one millisecond are put in order together
        if after is None or shelf.place < after:
            page.append(shelf)
    page.sort(key=lambda each: each.place, reverse=True)
    return page[:limit], page[limit - 1].place if len(page) > limit else None


def _ms(created: NDArray[np.float64]) -> NDArray[np.int64]:
    return (created * 1000).astype(np.int64)


def _shelf(columns: StoryColumns, rows: NDArray[np.intp], seen: Collection[str], viewer: StoryViewer) -> Shelf:
    stories = [story for row in reversed(rows.tolist()) if (story := columns.stories[row]) is not None]
    own = stories[0].author_id == viewer.id
    return Shelf(stories[0].author_id, stories, 0 if own else sum(story.id not in seen for story in stories))
