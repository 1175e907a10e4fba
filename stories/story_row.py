"""Builds the row of stories in order of time: authors with visible stories, the newest story first. Pure."""

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
    """One author's visible stories: the newest `STORIES_OF_AN_AUTHOR`, the oldest of these first."""

    author_id: str
    stories: list[Story]
    unseen: int

    @property
    def latest_at(self) -> float:
        return self.stories[-1].created_at

    @property
    def place(self) -> str:
        """Sort key of the author in the row, as text; later authors have smaller keys."""
        return f"{int(self.latest_at * 1000):0{_DIGITS}d}{self.author_id}"


class Shown:
    """Stories that a viewer can see: `rows`, the newest first, and the author code of each row."""

    def __init__(self, columns: StoryColumns, viewer: StoryViewer, now: float, without: Keys = NOBODY) -> None:
        """Find the visible stories. `without`: keys of authors to leave out."""
        self.columns = columns
        self._viewer = viewer
        rows = columns.visible_rows(viewer, now)
        self.rows = rows[(-columns.created[rows]).argsort(kind="stable")]
        self.codes = columns.code[self.rows]
        if len(without):
            kept = ~columns.are_by(without)[self.codes]
            self.rows, self.codes = self.rows[kept], self.codes[kept]

    def first(self) -> NDArray[np.intp]:
        """Return the index in `rows` of each author's newest story, ascending."""
        at = np.full(len(self.columns.author_keys), -1, np.intp)
        at[self.codes[::-1]] = np.arange(len(self.rows) - 1, -1, -1)
        return np.sort(at[at >= 0])

    def shelf(self, code: int, seen: Collection[str]) -> Shelf:
        """Return an author's visible stories, by author code. `seen`: ids of stories the viewer has seen."""
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
    """Return a page of authors after the place `after`, and the place to continue after; None at the end.

    `without`: keys of authors already served. An author who posts between two pages moves to the front and is not
    repeated, because later pages only continue downward.
    """
    shown = Shown(columns, viewer, now, without)
    first = shown.first()
    if after is not None:
        first = first[np.searchsorted(-_ms(columns.created[shown.rows[first]]), -int(after[:_DIGITS])) :]
    page: list[Shelf] = []
    for code in shown.codes[first].tolist():
        shelf = shown.shelf(code, seen)
        if len(page) > limit and page[-1].place[:_DIGITS] != shelf.place[:_DIGITS]:
            break  # read all authors of one millisecond, because they are sorted together
        if after is None or shelf.place < after:
            page.append(shelf)
    page.sort(key=lambda each: each.place, reverse=True)
    return page[:limit], page[limit - 1].place if len(page) > limit else None


def _ms(created: NDArray[np.float64]) -> NDArray[np.int64]:
    return (created * 1000).astype(np.int64)
