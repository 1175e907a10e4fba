"""The row of stories: authors who have something to show to a viewer, the one with the newest story first. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stories.circle import Keys
from stories.story import Story
from stories.story_columns import StoryColumns
from stories.visibility import StoryViewer

STORIES_OF_AN_AUTHOR = 30
_DIGITS = 14
NOBODY: Keys = np.zeros(0, np.uint64)


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


class Shown:
    """What a viewer may see: `rows`, the newest first, and the code of each one's author."""

    def __init__(self, columns: StoryColumns, viewer: StoryViewer, now: float, without: Keys = NOBODY) -> None:
        """`without`: keys of authors to leave out."""
        self.columns = columns
        self._viewer = viewer
        rows = columns.visible_rows(viewer, now)
        self.rows = rows[(-columns.created[rows]).argsort(kind="stable")]
        self.codes = columns.code[self.rows]
        if len(without):
            kept = ~columns.are_by(without)[self.codes]
            self.rows, self.codes = self.rows[kept], self.codes[kept]

    def first(self) -> NDArray[np.intp]:
        """Where in `rows` each author's newest story is, in the order of `rows`."""
        at = np.full(len(self.columns.author_keys), -1, np.intp)
        at[self.codes[::-1]] = np.arange(len(self.rows) - 1, -1, -1)
        return np.sort(at[at >= 0])

    def shelf(self, code: int, seen: Collection[str]) -> Shelf:
        """What an author shows, by their code."""
        rows = self.rows[self.codes == code][:STORIES_OF_AN_AUTHOR]
        stories = [story for row in reversed(rows.tolist()) if (story := self.columns.stories[row]) is not None]
        own = stories[0].author_id == self._viewer.id
        return Shelf(stories[0].author_id, stories, 0 if own else sum(story.id not in seen for story in stories))


def row_of(
    columns: StoryColumns,
    viewer: StoryViewer,
    seen: Collection[str],
    now: float,
    after: str | None,
    limit: int,
    without: Keys = NOBODY,
) -> tuple[list[Shelf], str | None]:
    """A page of authors behind the place `after`, and the place behind it; None at the end. `without`: keys of authors
    whom the walk has had already.

    An author who posts during a walk moves to the front, behind which no later page looks: nobody comes twice.
    """
    shown = Shown(columns, viewer, now, without)
    first = shown.first()
    if after is not None:
        first = first[np.searchsorted(-_ms(columns.created[shown.rows[first]]), -int(after[:_DIGITS])) :]
    page: list[Shelf] = []
    for code in shown.codes[first].tolist():
        shelf = shown.shelf(code, seen)
        if len(page) > limit and page[-1].place[:_DIGITS] != shelf.place[:_DIGITS]:
            break  # those of one millisecond are put in order together
        if after is None or shelf.place < after:
            page.append(shelf)
    page.sort(key=lambda each: each.place, reverse=True)
    return page[:limit], page[limit - 1].place if len(page) > limit else None


def _ms(created: NDArray[np.float64]) -> NDArray[np.int64]:
    return (created * 1000).astype(np.int64)
