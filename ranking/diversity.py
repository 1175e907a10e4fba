"""From an order to a page: variety by MMR, and rules against streaks, one-creator pages and near-duplicate titles.

Maximal marginal relevance (Carbonell & Goldstein, SIGIR 1998): the next place goes to the video with the highest
score − `context.diversity` × (its similarity to the most similar video already on the page).

Nothing is lost: what is passed over keeps its place in line, so it comes later on the page or on a later one. When
only such videos are left they are served, for a short page would be the worse answer.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ranking.columns import NO_CODE, Rows, VideoColumns
from ranking.request import Context

Similarity = Callable[[VideoColumns, Rows], NDArray[np.float64]]
"""(m, m) similarities in [0, 1] of some rows."""


def metadata_similarity(columns: VideoColumns, rows: Rows) -> NDArray[np.float64]:
    """0.5 for the same creator, 0.3 for the same category, 0.2 × the share of common tags; no tag is no likeness."""
    creator, category = columns.creator[rows], columns.category[rows]
    same: NDArray[np.float64] = 0.5 * ((creator[:, None] == creator) & (creator != NO_CODE))
    same += 0.3 * ((category[:, None] == category) & (category != NO_CODE))
    tags = columns.tags[rows]
    # One bit per tag, 64 in all: two tags that share a bit look alike, which costs variety a little and time nothing.
    bits = np.where(tags == NO_CODE, np.uint64(0), np.uint64(1) << (tags.astype(np.uint64) & np.uint64(63)))
    signature = np.bitwise_or.reduce(bits, axis=1)
    either = np.bitwise_count(signature[:, None] | signature)
    same += 0.2 * (np.bitwise_count(signature[:, None] & signature) / np.maximum(either, 1))
    return same


def diversify(
    columns: VideoColumns,
    ordered: Rows,
    scores: NDArray[np.float64],
    context: Context,
    *,
    look: int,
    complete: bool = True,
    similarity: Similarity = metadata_similarity,
    explored: int | None = None,
    explored_place: int = 0,
) -> NDArray[np.int64] | None:
    """Positions in `ordered` (rows from best to worst, with their `scores`) of the page, at most `context.limit`.

    `complete` False means that `ordered` is only the top of the candidates: None when a rule asks for more of them.

    Variety is sought among the best `look`; the rest is looked at only when a rule leaves none of these.
    `explored`: a position to put at `explored_place`, or at the first place after it where no rule forbids.
    """
    page = _Page(columns, ordered, scores[:look], context)
    if context.diversity > 0:
        page.likeness = similarity(columns, ordered[:look])
    if explored is not None:
        page.close(explored)
    while len(page.positions) < context.limit:
        if explored is not None and len(page.positions) >= explored_place and page.admits(explored):
            page.add(explored)
            explored = None
            continue
        chosen = page.best()
        if chosen is None and not complete:
            return None
        if chosen is None:
            chosen = page.look_further(explored)
        if chosen is None:
            break
        page.add(chosen)
    return np.array(page.positions, np.int64)


class _Page:
    """The page so far, and what its rules still admit.

    Arrays over the best `look` positions are kept up to date with each video that is added, so that the next place
    costs a handful of operations on short arrays and no loop over candidates.
    """

    def __init__(self, columns: VideoColumns, ordered: Rows, scores: NDArray[np.float64], context: Context) -> None:
        self.positions: list[int] = []
        self.likeness: NDArray[np.float64] | None = None
        self._context = context
        self._category, self._title = columns.category[ordered], columns.title[ordered]
        self._creator = columns.creator[ordered]
        look = len(scores)
        self._near_category = self._category[:look]
        self._with_title = _places(self._title[:look])
        self._with_creator = _places(self._creator[:look])
        self._scores = scores.copy()  # −∞ once a video is on the page, or against a rule for good
        self._likest: NDArray[np.float64] = np.zeros(look)
        self._worth = self._scores
        self._streak, self._last = 0, NO_CODE
        self._titles: set[int] = set()
        self._creators: dict[int, int] = {}
        for row in context.served:
            self._run(int(columns.category[row]))
            self._use_title(int(columns.title[row]))

    def admits(self, position: int) -> bool:
        """Whether no rule is against this video in the next place."""
        if self._capped and int(self._category[position]) == self._last:
            return False
        if int(self._title[position]) in self._titles:
            return False
        creator, cap = int(self._creator[position]), self._context.creator_cap
        return not cap or creator < 0 or self._creators.get(creator, 0) < cap

    def best(self) -> int | None:
        """The admitted position of the highest score − likeness among the best; of equal ones the first."""
        worth = self._worth
        if not len(worth):
            return None
        if self._capped:
            worth = np.where(self._near_category == self._last, -np.inf, worth)
        position = int(worth.argmax())
        return position if worth[position] > -np.inf else None

    def close(self, position: int) -> None:
        """Let no search among the best find this one."""
        if position < len(self._scores):
            self._scores[position] = -np.inf

    @property
    def _capped(self) -> bool:
        """Whether another video of the last category would make too long a run."""
        cap = self._context.streak_cap
        return bool(cap) and self._streak >= cap and self._last >= 0

    def look_further(self, explored: int | None) -> int | None:
        """The best position when none of the first ones is admitted: first by all rules, then by ever fewer of them.

        Rather many of a creator than a streak, rather a streak than a near-duplicate, rather that than nothing.
        """
        left = np.ones(len(self._title), np.bool_)
        left[self.positions] = False
        if explored is not None:
            left[explored] = False
        fresh = left & ~np.isin(self._title, np.fromiter(self._titles, np.uint32, len(self._titles)))
        varied = fresh & (self._category != self._last) if self._capped else fresh
        full = [creator for creator, count in self._creators.items() if count >= self._context.creator_cap]
        shared = varied & ~np.isin(self._creator, full) if self._context.creator_cap and full else varied
        for rule in (shared, varied, fresh, left):
            if rule.any():
                return int(rule.argmax())
        return None

    def add(self, position: int) -> None:
        """Put a video in the next place."""
        self.positions.append(position)
        self._run(int(self._category[position]))
        self._use_title(int(self._title[position]))
        creator = int(self._creator[position])
        if creator >= 0:
            count = self._creators[creator] = self._creators.get(creator, 0) + 1
            if count == self._context.creator_cap:
                self._scores[self._with_creator.get(creator, [])] = -np.inf
        self.close(position)
        if self.likeness is None:
            return
        if position < len(self._scores):
            np.maximum(self._likest, self.likeness[position], out=self._likest)
        self._worth = self._scores - self._context.diversity * self._likest

    def _use_title(self, title: int) -> None:
        if title and title not in self._titles:
            self._titles.add(title)
            self._scores[self._with_title.get(title, [])] = -np.inf

    def _run(self, category: int) -> None:
        """Count the run of equal categories at the end. Videos without a category make no streak."""
        self._streak = self._streak + 1 if category == self._last else 1
        self._last = category


def _places(codes: NDArray[np.generic]) -> dict[int, list[int]]:
    """Code → the positions that have it."""
    places: dict[int, list[int]] = {}
    for position, code in enumerate(codes.tolist()):
        places.setdefault(code, []).append(position)
    return places
