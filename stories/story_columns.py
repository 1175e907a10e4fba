"""A tenant's stories as NumPy columns, to filter all of them at once. No I/O.

New rows are appended, and changed rows are overwritten in place. Ended and deleted stories are dropped once they are
half of all rows, and at least `SPARE_ROWS`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stories.circle import Keys
from stories.identity import key_of
from stories.story import FRIENDS, HELD, LIVE, PUBLIC, Story
from stories.story_totals import StoryTotals
from stories.visibility import StoryViewer

Mask = NDArray[np.bool_]
_GONE, _LIVE, _HELD = 0, 1, 2
_STATE = {LIVE: _LIVE, HELD: _HELD}
_PRIVATE, _PUBLIC, _FRIENDS, _AUDIENCE = 0, 1, 2, 3
_COLUMNS = (
    *("_author", "code", "_author_keys", "created", "_expires"),
    *("views", "reactions", "_shown_to", "_rating", "_state"),
)
_FIRST_ROWS = 256
SPARE_ROWS = 1_000


class StoryColumns:
    """Columns of stories by row number; `stories[row]` holds the story itself."""

    def __init__(self) -> None:
        self.stories: list[Story | None] = []
        self._row_of: dict[str, int] = {}
        self._invited: dict[int, set[int]] = {}
        self.folded: dict[str, str] = {}
        """Story id → folded text for search; filled by the first search (stories/story_search.py)."""
        self.changed: set[int] | None = None
        """Rows written since the ranking last read them (stories/story_videos.py); None: all of them."""
        self._codes: dict[int, int] = {}
        self._ascending: tuple[Keys, NDArray[np.intp]] = np.zeros(0, np.uint64), np.zeros(0, np.intp)
        self._allocate(_FIRST_ROWS)

    def _allocate(self, rows: int) -> None:
        self._author = np.zeros(rows, np.uint64)
        self.code = np.zeros(rows, np.int32)
        self._author_keys = np.zeros(rows, np.uint64)
        self.created = np.zeros(rows)
        self._expires = np.zeros(rows)
        self.views = np.zeros(rows, np.uint32)
        self.reactions = np.zeros(rows, np.uint32)
        self._shown_to = np.zeros(rows, np.int8)
        self._rating = np.zeros(rows, np.int16)
        self._state = np.zeros(rows, np.int8)

    def __len__(self) -> int:
        return len(self._row_of)

    def get(self, story_id: str) -> Story | None:
        row = self._row_of.get(story_id)
        return None if row is None else self.stories[row]

    def row(self, story_id: str) -> int | None:
        """Return the row of a story; None if it is not loaded."""
        return self._row_of.get(story_id)

    @property
    def author_keys(self) -> Keys:
        """Author keys by code; the column `code` holds each row's. `drop_ended` assigns new codes."""
        return self._author_keys[: len(self._codes)]

    def codes_of(self, keys: Keys) -> tuple[NDArray[np.intp], Mask]:
        """Return the codes of those keys that are authors, in the order of `keys`, and a mask of these keys.

        Sorted keys are found fastest.
        """
        ascending, codes = self._ascending
        if len(ascending) != len(self._codes):
            codes = self.author_keys.argsort()
            ascending = self.author_keys[codes]
            self._ascending = ascending, codes
        if not len(ascending):
            return np.zeros(0, np.intp), np.zeros(len(keys), np.bool_)
        at = np.searchsorted(ascending, keys)
        at[at == len(ascending)] = 0
        found: Mask = ascending[at] == keys
        return codes[at[found]], found

    def are_by(self, keys: Keys) -> Mask:
        """Return a mask by author code: whether the author is among `keys`."""
        mask = np.zeros(len(self._codes), np.bool_)
        mask[self.codes_of(keys)[0]] = True
        return mask

    def apply(self, story: Story) -> None:
        """Add a story, or overwrite its row."""
        row = self._row_of.get(story.id)
        if row is None:
            if story.state not in _STATE:
                return
            row = len(self.stories)
            if row == len(self._author):
                self._grow()
            self._row_of[story.id] = row
            self.stories.append(story)
        else:
            self._uninvite(row)
            self.folded.pop(story.id, None)
            self.stories[row] = story
        self._set(row, story)

    def take_totals(self, totals: StoryTotals) -> None:
        """Set a story's views and reactions."""
        row = self._row_of.get(totals.story_id)
        if row is not None:
            self.views[row], self.reactions[row] = totals.views, totals.reactions

    def _set(self, row: int, story: Story) -> None:
        shown = {PUBLIC: _PUBLIC, FRIENDS: _AUDIENCE if story.audience else _FRIENDS}.get(story.visibility, _PRIVATE)
        key = story.author_key
        code = self._codes.setdefault(key, len(self._codes))
        self._author[row], self.code[row], self._author_keys[code] = key, code, key
        self.created[row], self._expires[row] = story.created_at, story.expires_at
        self._shown_to[row], self._rating[row] = shown, story.rating_rank
        self._state[row] = _STATE.get(story.state, _GONE)
        if self.changed is not None:
            self.changed.add(row)
        for each in story.audience:
            self._invited.setdefault(key_of(each), set()).add(row)

    def _uninvite(self, row: int) -> None:
        before = self.stories[row]
        for each in before.audience if before else ():
            self._invited.get(key_of(each), set()).discard(row)

    def drop_ended(self, now: float) -> int:
        """Drop ended and deleted stories if there are many; return how many active ones there are."""
        count = len(self.stories)
        kept = (self._state[:count] != _GONE) & (self._expires[:count] > now)
        left = int(kept.sum())
        if count - left < max(SPARE_ROWS, left):
            return left
        stories = [each for each, keep in zip(self.stories, kept, strict=True) if keep and each is not None]
        views, reactions = self.views[:count][kept], self.reactions[:count][kept]
        self.stories, self._row_of, self._invited, self.folded = [], {}, {}, {}
        self._codes, self.changed = {}, None
        self._ascending = np.zeros(0, np.uint64), np.zeros(0, np.intp)
        self._allocate(max(_FIRST_ROWS, 2 * len(stories)))
        for story in stories:
            self.apply(story)
        self.views[: len(views)], self.reactions[: len(views)] = views, reactions
        return left

    def _grow(self) -> None:
        for name in _COLUMNS:
            column = getattr(self, name)
            setattr(self, name, np.concatenate((column, np.zeros_like(column))))

    def visible_rows(self, viewer: StoryViewer, now: float) -> NDArray[np.intp]:
        """Return the rows of every story that this viewer can see; the vectorized form of `may_see`."""
        count = len(self.stories)
        author, code, state = self._author[:count], self.code[:count], self._state[:count]
        shown_to = self._shown_to[:count]
        allowed: Mask = (shown_to == _PUBLIC) | ((shown_to == _FRIENDS) & self.are_by(viewer.friends)[code])
        invited = self._invited.get(viewer.key)
        if invited:
            allowed[list(invited)] = True
        for hidden in (viewer.circle.blocked, viewer.circle.blocked_by):
            if len(hidden):
                allowed &= ~self.are_by(hidden)[code]
        allowed &= (self._rating[:count] <= viewer.maturity) & (state == _LIVE)
        allowed |= (author == np.uint64(viewer.key)) & (state != _GONE)
        return np.flatnonzero(allowed & (self._expires[:count] > now))
