"""From an order to a page: variety by MMR, and rules against streaks, one-creator pages and near-duplicate titles.

Maximal marginal relevance (Carbonell & Goldstein, SIGIR 1998): the next place goes to the video with the highest
score − `context.diversity` × (its similarity to the most similar video already on the page).

Nothing is lost: what is passed over keeps its place in line, so it comes later on the page or on a later one. When
only such videos are left they are served, for a short page would be the worse answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ranking.columns import NO_CODE, Rows, VideoColumns
from ranking.request import Context

Similarity = Callable[[VideoColumns, Rows], NDArray[np.float64]]
"""(m, m) similarities in [0, 1] of some rows."""


@dataclass(slots=True, eq=False)
class Order:
    """Candidates and their scores: the best of them from best to worst, equal ones by their video's key.

    `all_rows` and `all_scores` are the candidates in any order, those too; the page seldom needs more than the best.
    """

    rows: Rows
    scores: NDArray[np.float64]
    all_rows: Rows
    all_scores: NDArray[np.float64]

    def beyond(self) -> tuple[Rows, NDArray[np.float64]]:
        """The others, in any order. Of equal scores all are among the best, or none."""
        if len(self.rows) == len(self.all_rows):
            return self.rows[:0], self.scores[:0]
        below = np.flatnonzero(self.all_scores < self.scores[-1])
        return self.all_rows[below], self.all_scores[below]


def metadata_similarity(columns: VideoColumns, rows: Rows) -> NDArray[np.float64]:
    """0.5 for the same creator, 0.3 for the same category, 0.2 × the share of common tags; no tag is no likeness.

    A tag is one of 64 bits (`VideoColumns.tag_bits`): two that share a bit look alike, which costs variety a little.
    """
    creator, category, bits = columns.creator[rows], columns.category[rows], columns.tag_bits[rows]
    same: NDArray[np.float64] = 0.5 * ((creator[:, None] == creator) & (creator != NO_CODE))
    same += 0.3 * ((category[:, None] == category) & (category != NO_CODE))
    count = np.maximum(np.bitwise_count(bits), 1)
    both = np.bitwise_count(bits[:, None] & bits)
    shared = both / (count[:, None] + count - both)
    shared *= 0.2
    same += shared
    return same


def diversify(
    columns: VideoColumns,
    order: Order,
    context: Context,
    *,
    look: int,
    similarity: Similarity = metadata_similarity,
    explored: int | None = None,
    explored_place: int = 0,
) -> Rows:
    """The rows of the page, at most `context.limit`.

    Variety is sought among the best `look`; the rest is looked at only when a rule leaves none of these.
    `explored`: a row to put at `explored_place`, or at the first place after it where no rule forbids.
    """
    page = _Page(columns, order, context, look, explored)
    if context.diversity > 0:
        page.seek_variety(similarity(columns, order.rows[:look]))
    while len(page.rows) < context.limit:
        if explored is not None and len(page.rows) >= explored_place and page.admits(explored):
            page.add(explored)
            explored = None
        elif (position := page.best()) is not None:
            page.take(position)
        elif (row := page.look_further()) is not None:
            page.add(row)
        else:
            break
    return np.array(page.rows, np.int64)


class _Page:
    """The page so far, and what its rules still admit.

    Of the best `look` it keeps what each is worth beside those on the page, −∞ for one that can no longer come. What
    lies beyond is only looked at when a rule leaves none of these (`_Rest`).
    """

    def __init__(self, columns: VideoColumns, order: Order, context: Context, look: int, explored: int | None) -> None:
        self.rows: list[int] = []
        self.used: set[int] = set() if explored is None else {explored}
        self.titles: set[int] = set()
        self.full: set[int] = set()  # creators who have their share of the page
        self._columns, self._order, self._context, self._look = columns, order, context, look
        best = order.rows[:look]
        self._near: list[int] = best.tolist()
        self._near_category, self._near_creator = columns.category[best], columns.creator[best]
        self._near_title = columns.title[best]
        self._category: list[int] = self._near_category.tolist()
        self._creator: list[int] = self._near_creator.tolist()
        self._title: list[int] = self._near_title.tolist()
        ascending = np.sort(self._near_title)
        self._repeated: set[int] = set(ascending[1:][ascending[1:] == ascending[:-1]].tolist())
        self._worth = order.scores[:look].copy()
        self._beside: NDArray[np.float64] | None = None
        if explored in self._near:
            self._worth[self._near.index(explored)] = -math.inf
        self._rest: _Rest | None = None
        self._streak, self._last = 0, NO_CODE
        self._creators: dict[int, int] = {}
        for row in context.served:
            self._run(int(columns.category[row]))
            self._bar_title(int(columns.title[row]))

    def seek_variety(self, likeness: NDArray[np.float64]) -> None:
        """From now on a video is worth less beside those it is like."""
        self._beside = self._order.scores[: self._look] - self._context.diversity * likeness

    @property
    def _capped(self) -> int | None:
        """The category of which another video would make too long a run."""
        cap = self._context.streak_cap
        return self._last if cap and self._streak >= cap and self._last >= 0 else None

    def admits(self, row: int) -> bool:
        """Whether no rule is against this video in the next place."""
        columns = self._columns
        if int(columns.title[row]) in self.titles or int(columns.creator[row]) in self.full:
            return False
        return int(columns.category[row]) != self._capped

    def best(self) -> int | None:
        """The admitted one of the best, as its position, with the highest score − likeness; of equal ones the first."""
        worth, capped = self._worth, self._capped
        if not len(worth):
            return None
        position = int(worth.argmax())
        if capped is not None and self._category[position] == capped:
            worth = np.where(self._near_category == capped, -math.inf, worth)
            position = int(worth.argmax())
        return None if worth[position] == -math.inf else position

    def look_further(self) -> int | None:
        """The best row when none of the first ones is admitted: first by all rules, then by ever fewer of them.

        Rather many of a creator than a streak, rather a streak than a near-duplicate, rather that than nothing.
        """
        if self._rest is None:
            self._rest = _Rest(self._columns, self._order, self._look)
        row = self._rest.first(self, self._capped)
        return self._rest.first_by_fewer_rules(self, self._capped) if row is None else row

    def take(self, position: int) -> None:
        """Put one of the best in the next place."""
        if self._beside is not None:
            np.minimum(self._worth, self._beside[position], out=self._worth)
        self._worth[position] = -math.inf
        self._bar_title(self._title[position], also_near=self._title[position] in self._repeated)
        self._put(self._near[position], self._category[position], self._creator[position])

    def add(self, row: int) -> None:
        """Put any video in the next place."""
        columns = self._columns
        if row in self._near:
            self.take(self._near.index(row))
        else:
            self._bar_title(int(columns.title[row]))
            self._put(row, int(columns.category[row]), int(columns.creator[row]))

    def _put(self, row: int, category: int, creator: int) -> None:
        self.rows.append(row)
        self.used.add(row)
        self._run(category)
        if creator >= 0:
            count = self._creators[creator] = self._creators.get(creator, 0) + 1
            if count == self._context.creator_cap:
                self.full.add(creator)
                self._worth[self._near_creator == creator] = -math.inf

    def _bar_title(self, title: int, also_near: bool = True) -> None:
        """Let no near-duplicate come; 0 is no title."""
        if title:
            self.titles.add(title)
            if also_near:
                self._worth[self._near_title == title] = -math.inf

    def _run(self, category: int) -> None:
        """Count the run of equal categories at the end. Videos without a category make no streak."""
        self._streak = self._streak + 1 if category == self._last else 1
        self._last = category


class _Rest:
    """Every candidate, with what it is worth while it may still come. A bar is found when a search meets it, and then
    taken off for all rows alike at once, so that no catalog (one creator, one title) makes a search long."""

    def __init__(self, columns: VideoColumns, order: Order, look: int) -> None:
        rows, scores = order.beyond()
        self._rows = rows = np.concatenate([order.rows, rows])
        self._left = np.concatenate([order.scores, scores])
        self._category, self._creator, self._title = columns.category[rows], columns.creator[rows], columns.title[rows]
        self._keys = columns.key
        self._fresh, self._varied = self._left.copy(), self._left.copy()
        self._varied[:look] = -math.inf  # whoever asks has found none of these admitted

    def first(self, page: _Page, capped: int | None) -> int | None:
        """The best row that every rule admits."""
        return self._first(self._varied, page.used, capped, page.titles, page.full)

    def first_by_fewer_rules(self, page: _Page, capped: int | None) -> int | None:
        """The best row without the creators' cap; else without the streaks' cap; else any that is left."""
        row = self._first(self._fresh, page.used, capped, page.titles)
        if row is None and capped is not None:
            row = self._first(self._fresh, page.used, None, page.titles)
        return self._first(self._left, page.used) if row is None else row

    def _first(
        self,
        worth: NDArray[np.float64],
        used: set[int],
        capped: int | None = None,
        titles: Set[int] = frozenset(),
        full: Set[int] = frozenset(),
    ) -> int | None:
        open_ = worth if capped is None else np.where(self._category == capped, -math.inf, worth)
        while len(open_) and open_[position := self._highest(open_)] > -math.inf:
            row, title, creator = (int(of[position]) for of in (self._rows, self._title, self._creator))
            if row in used:
                barred: int | NDArray[np.bool_] = position
            elif title in titles:
                barred = self._title == title
            elif creator in full:
                barred = self._creator == creator
            else:
                return row
            worth[barred] = open_[barred] = -math.inf
        return None

    def _highest(self, worth: NDArray[np.float64]) -> int:
        """Where the most is; of equal ones that with the lowest key."""
        position = int(worth.argmax())
        equal = np.flatnonzero(worth == worth[position])
        return position if len(equal) == 1 else int(equal[self._keys[self._rows[equal]].argmin()])
